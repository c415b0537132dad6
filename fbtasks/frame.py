"""The letterbox: how a camera's picture is laid into the model's input, and how boxes come back from it."""

from dataclasses import dataclass

import numpy as np

from fbtasks.detections import Float32s

PAD_VALUE = 114
"""Grey of the border, as Ultralytics trains and predicts with."""


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

    @property
    def resized(self) -> tuple[int, int]:
        """Width and height of the picture inside the border, in input pixels."""
        return round(self.width * self.scale), round(self.height * self.scale)

    def to_source(self, xyxy: Float32s) -> Float32s:
        """Boxes `[n, 4]` in input pixels as boxes in source pixels, clipped to the picture.

        Each axis has its own scale: the resized picture has whole pixels, so not quite its source's proportions.
        """
        pad = np.array([self.pad_x, self.pad_y, self.pad_x, self.pad_y], np.float32)
        limit = np.array([self.width, self.height, self.width, self.height], np.float32)
        scale = np.array([*self.resized, *self.resized], np.float32) / limit
        boxes: Float32s = np.clip((xyxy - pad) / scale, 0, limit)
        return boxes
