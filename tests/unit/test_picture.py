"""The picture of an alert, drawn on a real JPEG."""

from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fbtasks.errors import BadMessage
from fbtasks.logic.picture import COLOURS, draw, pictured_at
from fbtasks.producer.encoder import Encoder
from fbtasks.wire import Frame

WIDTH, HEIGHT = 1280, 720
GREEN = (40, 160, 40)


def frame(*, tight: bool = True, **changes: Any) -> Frame:
    """A green picture as the producer sends it: 640 x 360 in a grey border."""
    letterbox, jpeg = Encoder(640, 640, 85, tight=tight).encode(np.full((HEIGHT, WIDTH, 3), GREEN, np.uint8))
    facts: dict[str, Any] = {
        "camera_id": "box-3",
        "seq": 7,
        "captured_at": 1_700_000_000.25,
        "sent_at": 1_700_000_000.5,
        "width": WIDTH,
        "height": HEIGHT,
        "scale": letterbox.scale,
        "pad_x": letterbox.pad_x,
        "pad_y": letterbox.pad_y,
        "jpeg": memoryview(bytes(jpeg)),
    }
    return Frame(**facts | changes)


def pixels(jpeg: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(BytesIO(jpeg)).convert("RGB"))


def close(pixel: Any, colour: Any) -> bool:
    return bool(np.abs(np.asarray(pixel, int) - np.asarray(colour, int)).max() < 45)


def rgb(text: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(text[1:]))


@pytest.mark.parametrize("tight", [True, False])
def test_the_box_lies_on_the_animal_and_the_border_is_gone(tight: bool) -> None:
    drawn = pixels(draw(frame(tight=tight), (320.0, 180.0, 960.0, 540.0), "critical", ["Horse in box-3 lies"]))
    assert drawn.shape[1] == 640
    assert 360 < drawn.shape[0] < 420
    red = rgb(COLOURS["critical"])
    assert all(close(drawn[row, 320], red) for row in (91, 269))
    assert all(close(drawn[180, column], red) for column in (161, 479))
    for row, column in ((5, 5), (180, 320), (180, 140), (350, 630), (0, 320)):
        assert close(drawn[row, column], GREEN[::-1]), (row, column)


def test_words_stand_below_the_picture_and_long_ones_are_broken() -> None:
    plain = pixels(draw(frame(), None, "info", ["Horse lies"]))
    long = pixels(draw(frame(), None, "info", ["Horse lies " * 20]))
    assert close(plain[180, 161], GREEN[::-1]), "nothing is drawn without a box"
    assert plain[360:, 10:200].max() > 200, "white words"
    assert long.shape[0] > plain.shape[0] + 20
    assert long[360:, -4:].max() < 80, "no word is cut at the edge"


def test_it_says_which_frame_it_is() -> None:
    assert pictured_at(draw(frame(), None, "note", ["words"])) == 1_700_000_000.25


@pytest.mark.parametrize("jpeg", [b"", b"no picture", b"\xff\xd8\xff\xe0 torn"])
def test_what_is_no_picture_is_refused(jpeg: bytes) -> None:
    with pytest.raises(BadMessage):
        draw(frame(jpeg=memoryview(jpeg)), None, "info", ["words"])
    with pytest.raises(BadMessage):
        pictured_at(jpeg)


def test_a_torn_picture_is_refused() -> None:
    whole = frame()
    with pytest.raises(BadMessage, match="cannot be decoded"):
        draw(frame(jpeg=whole.jpeg[: len(whole.jpeg) // 2]), None, "info", ["words"])


def test_a_picture_of_another_size_than_the_frame_says_is_refused() -> None:
    small = memoryview(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    huge = memoryview(cv2.imencode(".jpg", np.zeros((16, 5000, 3), np.uint8))[1].tobytes())
    with pytest.raises(BadMessage, match="smaller than its frame says"):
        draw(frame(jpeg=small), None, "info", ["words"])
    with pytest.raises(BadMessage, match="5000 x 16"):
        draw(frame(jpeg=huge), None, "info", ["words"])


def test_a_jpeg_without_our_comment_is_not_ours() -> None:
    with pytest.raises(BadMessage, match="no picture of an alert"):
        pictured_at(bytes(frame().jpeg))
