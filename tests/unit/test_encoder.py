"""From picture to JPEG: the geometry the frame claims is the geometry of its pixels."""

import cv2
import numpy as np
import pytest

from fbtasks.errors import CameraError
from fbtasks.frame import PAD_VALUE, Letterbox
from fbtasks.producer.encoder import Encoder
from fbtasks.producer.stream import Picture

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)
GREY = (PAD_VALUE, PAD_VALUE, PAD_VALUE)


def plain(width: int, height: int, colour: tuple[int, int, int]) -> Picture:
    return np.full((height, width, 3), colour, np.uint8)


def decoded(jpeg: memoryview) -> Picture:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8)


def assert_near(pixels: np.ndarray, colour: tuple[int, int, int]) -> None:
    assert np.abs(pixels.astype(int) - colour).max(initial=0) <= 4


@pytest.mark.parametrize("size", [(1920, 1080), (960, 540), (640, 640), (320, 240), (480, 800), (333, 777)])
def test_the_picture_lies_where_its_letterbox_says(size: tuple[int, int]) -> None:
    letterbox, jpeg = Encoder(640, 640, 95, tight=False).encode(plain(*size, RED))
    picture = decoded(jpeg)
    assert picture.shape == (640, 640, 3)
    assert (letterbox.width, letterbox.height) == size
    width, height = letterbox.resized
    left, top = letterbox.pad_x, letterbox.pad_y
    right, bottom = left + width, top + height
    # JPEG works in blocks of 16 x 16 here, so the last few pixels beside an edge take from both sides.
    assert_near(picture[top + 16 : bottom - 16, left + 16 : right - 16], RED)
    for border in (
        picture[: max(0, top - 16)],
        picture[bottom + 16 :],
        picture[:, : max(0, left - 16)],
        picture[:, right + 16 :],
    ):
        assert_near(border, GREY)


def test_a_model_input_that_is_not_square() -> None:
    letterbox, jpeg = Encoder(640, 384, 85, tight=False).encode(plain(1920, 1080, GREEN))
    assert decoded(jpeg).shape == (384, 640, 3)
    assert letterbox.resized == (640, 360)
    assert (letterbox.pad_x, letterbox.pad_y) == (0, 12)


@pytest.mark.parametrize(
    ("source", "size"),
    [((1920, 1080), (640, 384)), ((640, 480), (640, 480)), ((1080, 1920), (384, 640)), ((700, 700), (640, 640))],
)
def test_a_tight_picture_has_no_more_border_than_it_needs(source: tuple[int, int], size: tuple[int, int]) -> None:
    letterbox, jpeg = Encoder(640, 640, 95, tight=True).encode(plain(*source, RED))
    picture = decoded(jpeg)
    assert picture.shape[1::-1] == size
    assert letterbox == Letterbox.fit(*source, *size)
    assert letterbox.resized == Letterbox.fit(*source, 640, 640).resized
    assert_near(picture[size[1] // 2, size[0] // 2], RED)


def test_a_picture_that_is_drawn_already_keeps_the_geometry_of_its_source() -> None:
    encoder = Encoder(640, 640, 95, tight=True)
    assert encoder.drawn_size(1920, 1080) == (640, 360)
    letterbox, jpeg = encoder.encode(plain(640, 360, RED), (1920, 1080))
    assert letterbox == Letterbox.fit(1920, 1080, 640, 384)
    assert_near(decoded(jpeg)[32:-32], RED)


def test_a_tight_picture_follows_the_camera_s_resolution() -> None:
    encoder = Encoder(640, 640, 95, tight=True)
    shapes = [decoded(encoder.encode(plain(*size, RED))[1]).shape for size in ((1920, 1080), (640, 480), (960, 540))]
    assert shapes == [(384, 640, 3), (480, 640, 3), (384, 640, 3)]


def test_a_camera_that_changes_its_resolution_leaves_nothing_of_the_old_picture() -> None:
    encoder = Encoder(640, 640, 95, tight=False)
    encoder.encode(plain(640, 640, BLUE))
    letterbox, jpeg = encoder.encode(plain(1280, 720, RED))
    assert (letterbox.width, letterbox.height, letterbox.pad_y) == (1280, 720, 140)
    assert_near(decoded(jpeg)[:120], GREY)


def test_a_finished_jpeg_does_not_change_with_the_next_picture() -> None:
    encoder = Encoder(64, 64, 85, tight=False)
    _, first = encoder.encode(plain(64, 64, BLUE))
    before = bytes(first)
    encoder.encode(plain(64, 64, RED))
    assert bytes(first) == before


def test_a_picture_too_thin_to_be_seen_is_the_camera_s_fault() -> None:
    with pytest.raises(CameraError, match="8000 x 1 "):
        Encoder(64, 64, 85, tight=False).encode(plain(8000, 1, RED))
