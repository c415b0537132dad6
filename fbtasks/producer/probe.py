"""One look at a camera: whether it opens, what it sends, how soon, and a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import cv2

from fbtasks.errors import CameraError
from fbtasks.producer import capture
from fbtasks.producer.capture import Stream
from fbtasks.producer.diagnosis import why_not
from fbtasks.producer.stream import Facts, Picture
from fbtasks.settings import ProducerSettings

KEY_FRAME = ord("I")
QUESTION_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Found:
    """What a camera was seen to send.

    Attributes:
        facts: as it announces them.
        open_s: until the stream was open, seconds.
        first_picture_s: from the beginning until the first picture, seconds.
        fps: frames per second that came; None when there were too few.
        key_frame_s: mean time between key frames, seconds; None when fewer than two came.
        damaged: frames that could not be decoded.
        picture: the last one, `[height, width, 3]`, blue first.
    """

    facts: Facts
    open_s: float
    first_picture_s: float
    fps: float | None
    key_frame_s: float | None
    damaged: int
    picture: Picture


class _Probed(Stream):
    """A stream that tells which frames are key frames."""

    @property
    def is_key_frame(self) -> bool:
        return int(self._capture.get(cv2.CAP_PROP_FRAME_TYPE)) == KEY_FRAME

    @property
    def at_s(self) -> float:
        """When the frame was taken by the camera's clock, seconds from the stream's beginning."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000


def probe(url: str, limits: ProducerSettings, seconds: float, clock: Callable[[], float] = monotonic) -> Found:
    """Open the camera and watch it for so many seconds after its first picture.

    Raises:
        CameraError: it cannot be opened, or gives no picture; says why, without the URL.
    """
    capture.prepare(limits.transport)
    began = clock()
    try:
        stream = _Probed.open(url, limits.open_timeout_s, limits.read_timeout_s)
    except CameraError:
        raise CameraError(why_not(url, QUESTION_TIMEOUT_S).text) from None
    with stream:
        patience_s = limits.read_timeout_s
        open_s = clock() - began
        return _watched(stream, began=began, open_s=open_s, seconds=seconds, patience_s=patience_s, clock=clock)


def _watched(
    stream: _Probed, *, began: float, open_s: float, seconds: float, patience_s: float, clock: Callable[[], float]
) -> Found:
    times: list[float] = []
    key_frames: list[float] = []
    damaged = 0
    picture: Picture | None = None
    first_at: float | None = None
    deadline = clock() + patience_s
    while clock() < deadline:
        if not stream.grab():
            damaged += 1
            continue
        times.append(stream.at_s)
        if stream.is_key_frame:
            key_frames.append(stream.at_s)
        if picture is None and (picture := stream.picture()) is not None:
            first_at = clock()
            deadline = first_at + seconds
    picture = stream.picture() if times else None
    if picture is None or first_at is None:
        raise CameraError("opens, but gives no picture")
    return Found(
        facts=stream.facts(),
        open_s=open_s,
        first_picture_s=first_at - began,
        fps=_rate(times),
        key_frame_s=1 / rate if (rate := _rate(key_frames)) else None,
        damaged=damaged,
        picture=picture.copy(),
    )


def _rate(times: list[float]) -> float | None:
    """How many a second; None of fewer than two, or where the camera's clock does not run.

    The first few come out of order where the decoder began between two key frames, hence the extremes.
    """
    span_s = max(times) - min(times) if times else 0.0
    return (len(times) - 1) / span_s if span_s > 0 else None
