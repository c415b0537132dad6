"""The letterbox: a picture's place in the model's input, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.frame import Letterbox

sides = st.integers(16, 4000)


@pytest.mark.parametrize(
    ("source", "model", "resized", "pad"),
    [
        # By hand from Ultralytics' LetterBox: sides round(side * scale), left and top round(border / 2 - 0.1).
        ((1920, 1080), (640, 640), (640, 360), (0, 140)),
        ((1280, 720), (640, 640), (640, 360), (0, 140)),
        ((640, 480), (640, 640), (640, 480), (0, 80)),
        ((480, 640), (640, 640), (480, 640), (80, 0)),
        ((500, 375), (640, 640), (640, 480), (0, 80)),
        ((333, 500), (640, 640), (426, 640), (107, 0)),
        ((1000, 667), (640, 640), (640, 427), (0, 106)),  # an odd border: the smaller half comes first
        ((1920, 1080), (640, 384), (640, 360), (0, 12)),
        ((100, 100), (640, 640), (640, 640), (0, 0)),
    ],
)
def test_the_placement_is_that_of_ultralytics(
    source: tuple[int, int], model: tuple[int, int], resized: tuple[int, int], pad: tuple[int, int]
) -> None:
    box = Letterbox.fit(*source, *model)
    assert (box.resized, (box.pad_x, box.pad_y)) == (resized, pad)


@given(width=sides, height=sides, model=st.tuples(sides, sides))
def test_the_picture_fills_the_input_in_one_direction_and_stays_inside(
    width: int, height: int, model: tuple[int, int]
) -> None:
    box = Letterbox.fit(width, height, *model)
    assert any(side == limit for side, limit in zip(box.resized, model, strict=True))
    for side, pad, limit in zip(box.resized, (box.pad_x, box.pad_y), model, strict=True):
        rest = limit - side - pad
        assert pad >= 0
        assert 0 <= rest - pad <= 1, "the border is even, or one pixel wider at the end"


@given(
    width=sides,
    height=sides,
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_box_comes_back_to_where_it_was(width: int, height: int, corners: tuple[float, ...]) -> None:
    box = Letterbox.fit(width, height, 640, 640)
    if min(box.resized) < 1:
        return
    size = np.array([width, height] * 2)
    source = np.sort(np.array(corners).reshape(2, 2), axis=0).reshape(4) * size
    in_input = source * np.array([*box.resized] * 2) / size + np.array([box.pad_x, box.pad_y] * 2)
    back = box.to_source(in_input.astype(np.float32)[None])
    assert back.dtype == np.float32
    np.testing.assert_allclose(back[0], source, atol=1e-3 * max(width, height))


def test_boxes_on_the_border_are_clipped_to_the_picture() -> None:
    box = Letterbox.fit(1280, 720, 640, 640)
    back = box.to_source(np.array([[-50, 0, 700, 640]], np.float32))
    assert back.tolist() == [[0, 0, 1280, 720]]


def test_no_boxes_stay_no_boxes() -> None:
    assert Letterbox.fit(1280, 720, 640, 640).to_source(np.empty((0, 4), np.float32)).shape == (0, 4)
