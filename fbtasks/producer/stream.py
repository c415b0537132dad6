"""What every backend offers of an open video stream."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""A decoded picture, `[height, width, 3]`, blue first."""

Grey = NDArray[np.uint8]
"""A picture without colour, `[height, width]`."""

Size = tuple[int, int]
"""Width and height, in pixels."""

Fit = Callable[[int, int], Size]
"""How large a picture of that width and height is drawn in the end."""

SOFTWARE = "software"
GLANCE: Size = (64, 36)
"""How large a glance is: a cell of it is the mean of some hundred pixels, so that their noise is nearly gone."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a stream that gives pictures.

    Attributes:
        backend: opencv or pyav.
        decoder: what really decodes: `software`, or the kind of hardware.
        codec: FFmpeg's name, `h264` or `hevc` for most; empty when the backend does not tell.
        size: of the pictures.
        fps: frames per second as the camera announces them; None when it does not.
    """

    backend: str
    decoder: str
    codec: str
    size: Size
    fps: float | None


class VideoStream(Protocol):
    """An open video stream. Use it in one thread only, the closing too: FFmpeg crashes when closed during a read."""

    @property
    def decoder(self) -> str:
        """What really decodes: `software`, or the kind of hardware; with `, key frames only` where that is so."""

    def grab(self) -> bool:
        """Wait for the next frame; `False` when there is none or it is damaged."""

    @property
    def has_picture(self) -> bool:
        """Whether the frame last grabbed was decoded: key frames alone may be."""

    def picture(self, fit: Fit | None = None) -> Picture | None:
        """The frame last grabbed, valid until the next call; `None` when it is damaged.

        It has the stream's size, or that of `fit` already where the backend draws it so at less cost.
        """

    @property
    def size(self) -> Size:
        """Of the last picture, in the stream."""

    def glance(self) -> Grey | None:
        """The frame last grabbed, small (`GLANCE`) and grey, to see whether anything moves; `None` when damaged."""

    def facts(self) -> Facts:
        """What is known of the stream; after the first picture."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
