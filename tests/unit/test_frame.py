"""The letterbox: a picture's place in the model's input, and the way back."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fbtasks.frame import STRIDE, Letterbox, margin, tight_input

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


@pytest.mark.parametrize(
    ("source", "full", "tight"),
    [
        ((1920, 1080), (640, 640), (640, 384)),
        ((2560, 1440), (640, 640), (640, 384)),
        ((960, 540), (640, 640), (640, 384)),
        ((640, 480), (640, 640), (640, 480)),
        ((1280, 1024), (640, 640), (640, 512)),
        ((1080, 1920), (640, 640), (384, 640)),
        ((1000, 1000), (640, 640), (640, 640)),
        ((3840, 1080), (640, 640), (640, 192)),
        ((640, 480), (640, 384), (512, 384)),
        ((1920, 1080), (320, 320), (320, 192)),
    ],
)
def test_the_tight_input_of_usual_cameras(
    source: tuple[int, int], full: tuple[int, int], tight: tuple[int, int]
) -> None:
    assert tight_input(*source, *full) == tight


strides = st.integers(1, 40).map(lambda count: count * STRIDE)


@given(width=sides, height=sides, full=st.tuples(strides, strides))
@example(width=89, height=592, full=(224, 1280))
def test_the_tight_input_holds_the_picture_as_large_as_the_full_one(
    width: int, height: int, full: tuple[int, int]
) -> None:
    tight = tight_input(width, height, *full)
    large, small = Letterbox.fit(width, height, *full), Letterbox.fit(width, height, *tight)
    # Half a pixel that the shorter side is rounded down by costs the longer one as much more as it is longer.
    rounding = 1 + max(width, height) / min(width, height) / 2
    for side, limit, before, after in zip(tight, full, large.resized, small.resized, strict=True):
        assert side % STRIDE == 0
        assert 0 < side <= limit
        assert abs(before - after) <= rounding
        assert side - after <= STRIDE + rounding


@given(width=sides, height=sides, tight=st.tuples(strides, strides), more=st.tuples(strides, strides))
def test_a_box_is_the_same_when_the_input_lies_in_a_larger_one(
    width: int, height: int, tight: tuple[int, int], more: tuple[int, int]
) -> None:
    alone = Letterbox.fit(width, height, *tight)
    if min(alone.resized) < 1:
        return
    larger = tight[0] + more[0], tight[1] + more[1]
    left, top = margin(tight, larger)
    box = np.array([[1, 2, tight[0] / 2, tight[1] / 2]], np.float32)
    moved = box + np.array([left, top, left, top], np.float32)
    np.testing.assert_allclose(alone.inside(tight, larger).to_source(moved), alone.to_source(box), atol=0.01, rtol=1e-4)


def test_a_16_to_9_picture_in_the_middle_of_the_full_input_lies_where_the_full_letterbox_puts_it() -> None:
    tight = tight_input(1920, 1080, 640, 640)
    moved = Letterbox.fit(1920, 1080, *tight).inside(tight, (640, 640))
    assert moved == Letterbox.fit(1920, 1080, 640, 640)


def test_boxes_on_the_border_are_clipped_to_the_picture() -> None:
    box = Letterbox.fit(1280, 720, 640, 640)
    back = box.to_source(np.array([[-50, 0, 700, 640]], np.float32))
    assert back.tolist() == [[0, 0, 1280, 720]]


def test_no_boxes_stay_no_boxes() -> None:
    assert Letterbox.fit(1280, 720, 640, 640).to_source(np.empty((0, 4), np.float32)).shape == (0, 4)
