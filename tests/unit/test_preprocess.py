"""JPEG headers and pixels: what is taken, and that what is refused is refused cheaply and by name."""

import contextlib
import time

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fbtasks.errors import BadMessage
from fbtasks.frame import PAD_VALUE, margin
from fbtasks.gpu.preprocess import decode_into, jpeg_size

WIDTH, HEIGHT = 64, 48


def picture() -> NDArray[np.uint8]:
    """RGB, smooth, different in each channel."""
    x, y = np.meshgrid(np.linspace(0, 255, WIDTH), np.linspace(0, 255, HEIGHT))
    return np.ascontiguousarray(np.dstack([x, y, 255 - x]).astype(np.uint8))


def encoded(*flags: int) -> bytes:
    return cv2.imencode(".jpg", picture()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95, *flags])[1].tobytes()


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    start = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:start] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[start + 4 :]


def test_a_picture_comes_back_in_rgb_in_its_place_of_the_batch() -> None:
    batch = np.zeros((3, HEIGHT, WIDTH, 3), np.uint8)
    decode_into(memoryview(b"before" + encoded())[6:], batch[1])
    assert np.abs(batch[1].astype(int) - picture()).mean() < 3
    assert not batch[[0, 2]].any()


def test_size_is_width_then_height() -> None:
    assert jpeg_size(encoded()) == (WIDTH, HEIGHT)
    assert jpeg_size(memoryview(encoded())) == (WIDTH, HEIGHT)


def test_grey_fills_all_three_channels() -> None:
    grey = simplejpeg.encode_jpeg(np.ascontiguousarray(picture()[..., :1]), colorspace="GRAY")
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    decode_into(grey, out)
    assert out.any()
    assert (out == out[..., :1]).all()


def test_cmyk_is_refused() -> None:
    cmyk = simplejpeg.encode_jpeg(np.zeros((HEIGHT, WIDTH, 4), np.uint8), colorspace="CMYK")
    with pytest.raises(BadMessage, match="4 colour components"):
        jpeg_size(cmyk)


def test_progressive_is_refused() -> None:
    with pytest.raises(BadMessage, match="progressive"):
        jpeg_size(encoded(cv2.IMWRITE_JPEG_PROGRESSIVE, 1))


def test_a_wrong_size_is_named() -> None:
    out = np.zeros((HEIGHT, WIDTH - 1, 3), np.uint8)
    with pytest.raises(BadMessage, match="the picture is 64x48, this model takes 63x48 at most"):
        decode_into(encoded(), out)


@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT + 33), (WIDTH + 8, HEIGHT), (WIDTH + 7, HEIGHT + 2)])
def test_a_smaller_picture_lies_in_the_middle_of_its_place(width: int, height: int) -> None:
    out = np.zeros((height, width, 3), np.uint8)
    decode_into(encoded(), out)
    left, top = margin((WIDTH, HEIGHT), (width, height))
    alone = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    decode_into(encoded(), alone)
    np.testing.assert_array_equal(out[top : top + HEIGHT, left : left + WIDTH], alone)
    outside = np.ones((height, width), bool)
    outside[top : top + HEIGHT, left : left + WIDTH] = False
    assert (out[outside] == PAD_VALUE).all()


def test_a_giant_costs_nothing() -> None:
    giant = with_size(encoded(), 20_000, 20_000)
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    begun = time.process_time()
    for _ in range(100):
        with pytest.raises(BadMessage, match="20000x20000"):
            decode_into(giant, out)
    assert time.process_time() - begun < 0.5  # decoding one such picture takes seconds
    assert not out.any()


@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_truncated_pixels_are_refused(part: float) -> None:
    jpeg = encoded()
    with pytest.raises(BadMessage, match="truncated"):
        decode_into(jpeg[: int(len(jpeg) * part)], np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def test_a_truncated_header_is_refused() -> None:
    jpeg = encoded()
    for length in range(2, jpeg.index(b"\xff\xc0") + 9):
        with pytest.raises(BadMessage, match="truncated"):
            jpeg_size(jpeg[:length])


def test_pixels_with_rubbish_in_them_are_refused() -> None:
    jpeg = encoded()
    broken = jpeg[:-400] + b"\xff\x13" * 100 + jpeg[-200:]
    with pytest.raises(BadMessage, match="corrupt"):
        decode_into(broken, np.zeros((HEIGHT, WIDTH, 3), np.uint8))


@pytest.mark.parametrize("data", [b"", b"\xff", b"hello world", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage, match="not a JPEG"):
        jpeg_size(data)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_a_size_or_bad_message(data: bytes, begins_well: bool) -> None:
    try:
        width, height = jpeg_size(b"\xff\xd8" * begins_well + data)
    except BadMessage:
        return
    assert 0 <= min(width, height) <= max(width, height) <= 65_535


@given(st.data())
def test_a_damaged_picture_harms_no_other(data: st.DataObject) -> None:
    jpeg = bytearray(encoded())
    for position in data.draw(st.lists(st.integers(0, len(jpeg) - 1), min_size=1, max_size=8)):
        jpeg[position] ^= data.draw(st.integers(1, 255))
    batch = np.zeros((3, HEIGHT, WIDTH, 3), np.uint8)
    with contextlib.suppress(BadMessage):
        decode_into(bytes(jpeg), batch[1])
    assert not batch[[0, 2]].any()
