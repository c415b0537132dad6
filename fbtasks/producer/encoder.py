"""From a camera's picture to the JPEG that the model's worker decodes."""

import cv2
import numpy as np

from fbtasks.errors import CameraError
from fbtasks.frame import PAD_VALUE, Letterbox
from fbtasks.producer.capture import Picture


class Encoder:
    """Letterboxes and encodes the pictures of one camera.

    Args:
        width, height: of the model's input, in pixels.
        quality: JPEG quality, 30 to 100.
    """

    def __init__(self, width: int, height: int, quality: int) -> None:
        self._canvas: Picture = np.full((height, width, 3), PAD_VALUE, np.uint8)
        self._parameters = [cv2.IMWRITE_JPEG_QUALITY, quality]
        self._letterbox: Letterbox | None = None

    def encode(self, picture: Picture) -> tuple[Letterbox, memoryview]:
        """The picture's place in the model's input, and the input as a JPEG.

        Raises:
            CameraError: the picture is too thin to leave a pixel, or OpenCV cannot encode it.
        """
        letterbox = self._place(picture)
        try:
            self._draw(picture, letterbox)
            encoded, jpeg = cv2.imencode(".jpg", self._canvas, self._parameters)
        except cv2.error as error:
            raise CameraError(f"a picture of {letterbox.width} x {letterbox.height} cannot be encoded") from error
        if not encoded:
            raise CameraError(f"a picture of {letterbox.width} x {letterbox.height} cannot be encoded")
        return letterbox, jpeg.data

    def _place(self, picture: Picture) -> Letterbox:
        """The letterbox for this size; a new size also clears the border that the last one left."""
        height, width = picture.shape[:2]
        known = self._letterbox
        if known is None or (known.width, known.height) != (width, height):
            rows, columns = self._canvas.shape[:2]
            known = self._letterbox = Letterbox.fit(width, height, columns, rows)
            self._canvas[:] = PAD_VALUE
        return known

    def _draw(self, picture: Picture, letterbox: Letterbox) -> None:
        width, height = letterbox.resized
        inside = self._canvas[letterbox.pad_y : letterbox.pad_y + height, letterbox.pad_x : letterbox.pad_x + width]
        cv2.resize(picture, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
