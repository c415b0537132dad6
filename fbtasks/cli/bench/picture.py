"""The one frame that a measurement sends over and over: encoded once, as the producer would."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.errors import ConfigError
from fbtasks.frame import Letterbox
from fbtasks.gpu.preprocess import decode_into, jpeg_size
from fbtasks.producer.encoder import Encoder
from fbtasks.settings import Settings
from fbtasks.sim.backdrop import stall

DRAWN = (1280, 720)


def encoded(image: Path | None, settings: Settings) -> tuple[Letterbox, bytes]:
    """The picture's letterbox and JPEG as a producer sends it; without a file, a drawn stall.

    Raises:
        ConfigError: the file is no picture.
    """
    picture = stall(*DRAWN, seed=0) if image is None else _read(image)
    gpu = settings.gpu
    encoder = Encoder(gpu.input_width, gpu.input_height, settings.producer.jpeg_quality, tight=gpu.input == "auto")
    letterbox, jpeg = encoder.encode(picture)
    return letterbox, bytes(jpeg)


def batch(jpeg: bytes, size: int) -> NDArray[np.uint8]:
    """The decoded picture `size` times, uint8 `[size, H, W, 3]`."""
    width, height = jpeg_size(jpeg)
    pictures = np.empty((size, height, width, 3), np.uint8)
    decode_into(jpeg, pictures[0])
    pictures[1:] = pictures[0]
    return pictures


def _read(image: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(image), cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f"{image} is no picture that OpenCV can read")
    return picture.astype(np.uint8, copy=False)
