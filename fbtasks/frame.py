"""The letterbox: how a camera's picture is laid into the model's input, and how boxes come back from it.

The input's full size, 640x640 unless set otherwise, decides how large a picture is drawn. Most of the border that this
leaves says nothing and costs as much as the picture: of a 16:9 picture in 640x640 it is 44 %. So by default a producer
sends only the rows and columns that hold the picture, rounded up to whole strides (`tight_input`): 640x384 for 16:9,
640x480 for 4:3. The picture itself is drawn alike in both, and a GPU worker puts the border back where it has to, so
neither side must know how the other is set.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fbtasks.detections import Float32s

PAD_VALUE = 114
"""Grey of the border, as Ultralytics trains and predicts with."""

STRIDE = 32
"""Detectors look at cells of so many pixels at their coarsest; an input has a whole number of them."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a source picture lies in the model's input.

    The rounding is that of Ultralytics' `LetterBox` and `scale_boxes`, so that the same pixels give the same boxes.

    Attributes:
        width, height: of the source picture, in pixels.
        scale: input pixels per source pixel.
        pad_x, pad_y: left and top border, in input pixels.
    """

    width: int
    height: int
    scale: float
    pad_x: int
    pad_y: int

    @classmethod
    def fit(cls, width: int, height: int, input_width: int, input_height: int) -> "Letterbox":
        """The largest placement of a `width` x `height` picture in the input that keeps its proportions."""
        scale = min(input_width / width, input_height / height)
        pad_x = round((input_width - round(width * scale)) / 2 - 0.1)
        pad_y = round((input_height - round(height * scale)) / 2 - 0.1)
        return cls(width, height, scale, pad_x, pad_y)

    def inside(self, size: tuple[int, int], larger: tuple[int, int]) -> "Letterbox":
        """The same picture when its input, of `size`, lies in the middle of a larger one; both width and height."""
        if size == larger:
            return self
        left, top = margin(size, larger)
        return replace(self, pad_x=self.pad_x + left, pad_y=self.pad_y + top)

    @property
    def resized(self) -> tuple[int, int]:
        """Width and height of the picture inside the border, in input pixels."""
        return round(self.width * self.scale), round(self.height * self.scale)

    def to_source(self, xyxy: Float32s) -> Float32s:
        """Boxes `[n, 4]` in input pixels as boxes in source pixels, clipped to the picture.

        Each axis has its own scale: the resized picture has whole pixels, so not quite its source's proportions.
        """
        pad, scale, limit = _placement(self)
        boxes: Float32s = np.minimum(np.maximum((xyxy - pad) / scale, 0), limit)
        return boxes


@lru_cache(maxsize=1024)
def _placement(box: Letterbox) -> tuple[Float32s, Float32s, Float32s]:
    """Border, scale and source size, each `[4]` for left, top, right and bottom; a camera's are always the same."""
    pad = np.array([box.pad_x, box.pad_y] * 2, np.float32)
    limit = np.array([box.width, box.height] * 2, np.float32)
    return pad, np.array(box.resized * 2, np.float32) / limit, limit


def margin(size: tuple[int, int], larger: tuple[int, int]) -> tuple[int, int]:
    """Left and top border of an input, width and height, in the middle of a larger one."""
    return (larger[0] - size[0]) // 2, (larger[1] - size[1]) // 2


def tight_input(width: int, height: int, input_width: int, input_height: int) -> tuple[int, int]:
    """Width and height of the input without the border that is not needed: less than a stride is left on each axis.

    As Ultralytics' letterbox with `auto=True`.

    Args:
        width, height: of the source picture, in pixels.
        input_width, input_height: of the full input, multiples of `STRIDE`.
    """
    inner_width, inner_height = Letterbox.fit(width, height, input_width, input_height).resized
    return whole_strides(inner_width), whole_strides(inner_height)


def whole_strides(side: int) -> int:
    """The side rounded up; one stride at least, for a picture so thin that nothing is left of it."""
    return max(1, -(-side // STRIDE)) * STRIDE
