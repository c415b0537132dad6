"""From a camera's picture to the JPEG that the model's worker decodes."""

import cv2
import numpy as np

from fbtasks.errors import CameraError
from fbtasks.frame import PAD_VALUE, Letterbox, tight_input
from fbtasks.producer.stream import Picture, Size


class Encoder:
    """Letterboxes and encodes the pictures of one camera.

    Args:
        width, height: of the model's full input, in pixels.
        quality: JPEG quality, 30 to 100.
        tight: leave out the border that is not needed, see `fbtasks.frame`; else every JPEG has the full size.
    """

    def __init__(self, width: int, height: int, quality: int, *, tight: bool) -> None:
        self._full = width, height
        self._tight = tight
        self._canvas: Picture = np.empty((0, 0, 3), np.uint8)
        self._parameters = [cv2.IMWRITE_JPEG_QUALITY, quality]
        self._letterbox: Letterbox | None = None

    def drawn_size(self, width: int, height: int) -> Size:
        """How large a picture of that width and height is drawn."""
        return self._place(width, height).resized

    def encode(self, picture: Picture, size: Size | None = None) -> tuple[Letterbox, memoryview]:
        """The picture's place in the model's input, and the input as a JPEG.

        Args:
            size: of the picture in its stream, when it has been drawn to `drawn_size` already.

        Raises:
            CameraError: the picture is too thin to leave a pixel, or OpenCV cannot encode it.
        """
        height, width = picture.shape[:2]
        letterbox = self._place(*(size or (width, height)))
        try:
            self._draw(picture, letterbox)
            encoded, jpeg = cv2.imencode(".jpg", self._canvas, self._parameters)
        except cv2.error as error:
            raise CameraError(f"a picture of {letterbox.width} x {letterbox.height} cannot be encoded") from error
        if not encoded:
            raise CameraError(f"a picture of {letterbox.width} x {letterbox.height} cannot be encoded")
        return letterbox, jpeg.data

    def _place(self, width: int, height: int) -> Letterbox:
        """The letterbox for this size; a new size gets a canvas of its own, all border."""
        known = self._letterbox
        if known is None or (known.width, known.height) != (width, height):
            columns, rows = tight_input(width, height, *self._full) if self._tight else self._full
            known = self._letterbox = Letterbox.fit(width, height, columns, rows)
            self._canvas = np.full((rows, columns, 3), PAD_VALUE, np.uint8)
        return known

    def _draw(self, picture: Picture, letterbox: Letterbox) -> None:
        width, height = letterbox.resized
        inside = self._canvas[letterbox.pad_y : letterbox.pad_y + height, letterbox.pad_x : letterbox.pad_x + width]
        if picture.shape == inside.shape:
            inside[:] = picture
        else:
            cv2.resize(picture, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
