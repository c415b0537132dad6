import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.logic.smoother import Position, Reading, Smoother, Window

SMOOTHER = Smoother(window_s=5.0)


def feed(window: Window, p_lying: float | None, seconds: float, fps: float, *, speed: float = 0.0) -> Reading:
    """Go on for `seconds` with a box of 200 px that moves at `speed` px/s; the last reading."""
    start = window.bins[-1].end_at if window.bins else 0.0
    reading = SMOOTHER.read(window, start)
    for index in range(1, round(seconds * fps) + 1):
        at = start + index / fps
        SMOOTHER.observe(window, 1 / fps, p_lying, Position(at, speed * at, 0.0), 200.0)
        reading = SMOOTHER.read(window, at)
    return reading


def test_posture_needs_enough_of_the_window() -> None:
    window = Window()
    assert feed(window, 0.9, 1.8, 5).posture == "unknown"
    assert feed(window, 0.9, 0.4, 5).posture == "lying"


def test_hysteresis_keeps_a_posture_between_the_thresholds() -> None:
    window = Window()
    assert feed(window, 0.9, 10, 5).posture == "lying"
    assert feed(window, 0.5, 10, 5).posture == "lying"
    assert feed(window, 0.2, 10, 5).posture == "standing"
    assert feed(window, 0.5, 10, 5).posture == "standing"


def test_between_the_thresholds_nothing_is_known_at_first() -> None:
    assert feed(Window(), 0.5, 10, 5).posture == "unknown"


def test_an_unknown_time_ends_a_posture_without_starting_another() -> None:
    window = Window()
    feed(window, 0.9, 10, 5)
    reading = feed(window, None, 4, 5)
    assert reading.posture == "unknown"
    assert reading.p_lying == pytest.approx(0.9)
    assert reading.coverage == pytest.approx(0.2, abs=0.05)
    assert feed(window, None, 4, 5).p_lying is None


def test_a_gap_counts_as_not_observed() -> None:
    window = Window()
    feed(window, 0.9, 10, 5)
    SMOOTHER.observe(window, 4.0, 0.9, Position(14.0, 0.0, 0.0), 200.0)
    reading = SMOOTHER.read(window, 14.0)
    assert reading.posture == "unknown"
    assert reading.coverage == pytest.approx(0.2, abs=0.05)


def test_pictures_in_which_the_track_is_not_seen_count_as_not_observed() -> None:
    window = Window()
    reading = SMOOTHER.read(window, 0.0)
    for index in range(100):
        if index % 4 == 0:
            SMOOTHER.observe(window, 0.2, 0.9, Position(index / 5, 0.0, 0.0), 200.0)
        reading = SMOOTHER.read(window, index / 5)
    assert reading.posture == "unknown"
    assert reading.coverage == pytest.approx(0.25, abs=0.05)


@settings(deadline=None, max_examples=50)
@given(st.floats(2.0, 60.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.5, 4.5))
def test_the_mean_weighs_time_not_pictures(fps: float, first: float, second: float, share_s: float) -> None:
    window = Window()
    feed(window, first, 10.0, fps)
    reading = feed(window, second, share_s, 25.0)
    assert reading.p_lying == pytest.approx(first + (second - first) * share_s / 5.0, abs=0.5 / fps + 0.04)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([2.5, 5.0, 10.0, 25.0]), st.floats(0.0, 600.0))
def test_speed_does_not_depend_on_the_frame_rate(fps: float, speed: float) -> None:
    reading = feed(Window(), None, 3.0, fps, speed=speed)
    assert reading.speed_px_s == pytest.approx(speed, abs=1e-6)
    assert reading.speed_bl_s == pytest.approx(speed / 200.0, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000))
def test_jitter_is_no_speed(seed: int) -> None:
    """Boxes of a resting horse that jump by up to 5 % of its length, as YOLO11n's do on real clips."""
    chance, window = random.Random(seed), Window()
    for index in range(50):
        jumped = Position(index / 5, chance.uniform(-10, 10), chance.uniform(-10, 10))
        SMOOTHER.observe(window, 0.2, None, jumped, 200.0 + chance.uniform(-10, 10))
        reading = SMOOTHER.read(window, index / 5)
        assert reading.speed_bl_s is None or reading.speed_bl_s < 0.4


def test_speed_is_unknown_from_too_few_positions() -> None:
    window = Window()
    SMOOTHER.observe(window, 0.0, None, Position(0.0, 0.0, 0.0), 200.0)
    assert SMOOTHER.read(window, 0.0).speed_px_s is None
    SMOOTHER.observe(window, 0.1, None, Position(0.1, 50.0, 0.0), 200.0)
    assert SMOOTHER.read(window, 0.1).speed_px_s is None
    SMOOTHER.observe(window, 0.4, None, Position(0.5, 50.0, 0.0), 200.0)
    assert SMOOTHER.read(window, 0.5).speed_px_s is not None
    assert SMOOTHER.read(window, 3.0).speed_px_s is None


@pytest.mark.parametrize("fps", [0.4, 0.5, 1.0])
def test_speed_is_known_at_low_frame_rates_too(fps: float) -> None:
    window = Window()
    assert feed(window, None, 12.5, fps, speed=50.0).speed_px_s == pytest.approx(50.0)
    assert len(window.positions) == 2


def test_speed_is_unknown_over_a_gap() -> None:
    window = Window()
    feed(window, None, 2.0, 5.0, speed=50.0)
    SMOOTHER.observe(window, 3.5, None, Position(5.5, 0.0, 0.0), 200.0)
    assert SMOOTHER.read(window, 5.5).speed_px_s is None


def test_one_merged_box_does_not_change_the_body_length() -> None:
    window = Window()
    feed(window, None, 3.0, 5, speed=100.0)
    SMOOTHER.observe(window, 0.2, None, Position(3.2, 320.0, 0.0), 450.0)
    reading = SMOOTHER.read(window, 3.2)
    assert reading.speed_px_s is not None
    assert reading.speed_bl_s == pytest.approx(reading.speed_px_s / 200.0)


@pytest.mark.parametrize("window_s", [1.0, 5.0, 600.0])
def test_memory_is_bounded_whatever_the_frame_rate_and_the_length(window_s: float) -> None:
    smoother, window = Smoother(window_s), Window()
    for index in range(3000):
        smoother.observe(window, 1 / 60, 0.5, Position(index / 60, 0.0, 0.0), 200.0)
        smoother.read(window, index / 60)
    assert len(window.bins) <= 70
    assert len(window.positions) <= 61
