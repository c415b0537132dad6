"""The pacer's rate, its phase, and stamps that never run backwards."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.producer.pacing import APART, PATIENCE, CaptureClock, Pacer, Spacing

START = 1_700_000_000.0
RATES = st.floats(0.5, 30)
SEEDS = st.integers(0, 2**32 - 1)


def picked(times: Sequence[float], fps: float, phase: float = 0.0) -> list[float]:
    pacer = Pacer(fps, phase)
    return [at for at in times if pacer.due(at)]


def steady(fps: float, seconds: float, offset: float = 0.0) -> list[float]:
    return [START + offset + index / fps for index in range(round(fps * seconds))]


def shaken(times: Sequence[float], by: float, seed: int) -> list[float]:
    generator = np.random.default_rng(seed)
    return [at + generator.uniform(-by, by) for at in times]


@pytest.mark.parametrize("source", [5, 6, 7.5, 12.5, 15, 24, 25, 29.97, 30, 50, 60])
def test_a_steady_source_is_thinned_to_the_exact_rate(source: float) -> None:
    assert len(picked(steady(source, 600), 5)) == pytest.approx(3000, abs=2)


@given(st.floats(5.1, 60), st.floats(0, 0.9), SEEDS)
def test_jitter_does_not_change_the_rate(source: float, jitter: float, seed: int) -> None:
    times = shaken(steady(source, 120), jitter / 2 / source, seed)
    assert len(picked(times, 5)) == pytest.approx(600, rel=0.01)


@given(RATES, st.floats(0, 0.99), SEEDS)
def test_a_source_at_just_the_wanted_rate_loses_nothing_to_jitter(fps: float, offset: float, seed: int) -> None:
    times = shaken(steady(fps, 100 / fps, offset / fps), 0.2 / fps, seed)
    assert len(picked(times, fps)) >= len(times) - 1


@given(RATES, st.floats(0, 0.99), st.lists(st.floats(1, 20), min_size=1, max_size=50))
def test_every_frame_of_a_slower_source_is_sent(fps: float, phase: float, gaps: list[float]) -> None:
    times = [START + at for at in accumulate((1.0001 * gap / fps for gap in gaps), initial=0.0)]
    assert picked(times, fps, phase) == times


@given(RATES, st.floats(0, 0.99), st.lists(st.floats(0, 5), min_size=1, max_size=300))
def test_no_stretch_of_time_holds_more_than_its_frames_and_two(fps: float, phase: float, gaps: list[float]) -> None:
    times = picked([START + at for at in accumulate(gaps)], fps, phase)
    for first in range(0, len(times), 7):
        for last in range(first, len(times), 5):
            assert last - first + 1 <= (times[last] - times[first]) * fps + 3


def test_a_pause_is_not_made_up_for() -> None:
    before, after = steady(25, 4), steady(25, 1, offset=60)
    assert len(picked([*before, *after], 5)) == pytest.approx(25, abs=2)


@given(st.floats(5, 60), st.floats(0, 0.99), st.booleans(), SEEDS)
def test_no_frame_is_lost_to_a_crowd(source: float, phase: float, always: bool, seed: int) -> None:
    draw, pacer = np.random.default_rng(seed), Pacer(5.0, phase)
    sent = [pacer.due(at, crowded=always or draw.random() < 0.5) for at in steady(source, 120)]
    assert sum(sent) == pytest.approx(600, abs=2)


@given(st.floats(0, 0.99), SEEDS)
def test_a_crowded_frame_gives_way_to_one_soon_after(phase: float, seed: int) -> None:
    pacer = Pacer(5.0, phase)
    sent = [at for at in shaken(steady(25, 60), 0.002, seed) if pacer.due(at, crowded=True)]
    lateness = [(5 * (at - START) - phase) % 1 for at in sent[1:]]
    assert 0.2 < min(lateness) <= max(lateness) < PATIENCE + 0.05


def gaps_of_four(seed: int, spacing: Spacing | None) -> list[float]:
    """Seconds between frames of four cameras with 25 or 30 pictures a second, five of which each sends."""
    draw = np.random.default_rng(seed)
    pacers = [Pacer(5.0, draw.random()) for _ in range(4)]
    pictures = []
    for number, pacer in enumerate(pacers):
        times = shaken(steady((25, 30)[number % 2], 60, draw.uniform(0, 0.04)), 0.002, seed + number)
        pictures += [(at, pacer) for at in times]
    sent = []
    for at, pacer in sorted(pictures, key=lambda picture: picture[0]):
        if pacer.due(at, crowded=spacing is not None and spacing.is_crowded(at)):
            sent.append(at)
            if spacing is not None:
                spacing.note(at)
    return [later - earlier for earlier, later in pairwise(sent)]


def test_frames_of_several_cameras_keep_apart() -> None:
    apart = [gap for seed in range(10) for gap in gaps_of_four(seed, Spacing(20.0))]
    as_they_come = [gap for seed in range(10) for gap in gaps_of_four(seed, None)]
    assert len(apart) == pytest.approx(len(as_they_come), abs=40)
    assert np.mean(np.array(as_they_come) < APART / 20) > 0.2
    assert np.mean(np.array(apart) < APART / 20) < 0.02


@given(st.lists(st.tuples(st.floats(0.5, 12), st.integers(5, 20)), min_size=1, max_size=6), st.floats(0, 0.99))
def test_a_rate_that_changes_is_kept_exactly(stretches: list[tuple[float, int]], phase: float) -> None:
    pacer, sent, wanted, at = Pacer(5.0, phase), 0, 0.0, START
    for fps, seconds in stretches:
        for _ in range(seconds * 25):
            at += 0.04
            sent += pacer.due(at, fps)
        wanted += fps * seconds
    assert sent == pytest.approx(wanted, abs=2)


def test_a_camera_in_a_hurry_sends_its_next_frame() -> None:
    pacer, at = Pacer(5.0), START
    while not (pacer.due(at, 1.0) and at > START + 5):
        at += 0.04
    assert not pacer.due(at + 0.04, 5.0), "it has just sent one"
    pacer.hurry()
    assert pacer.due(at + 0.08, 5.0)
    assert len([at for at in steady(25, 2, offset=at - START + 0.12) if pacer.due(at)]) == pytest.approx(10, abs=1)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.001, 10)), min_size=1))
def test_stamps_rise_whatever_the_wall_clock_does(steps: list[tuple[float, float]]) -> None:
    clock, wall, monotonic, last = CaptureClock(), START, 5.0, 0.0
    for jump, passed in steps:
        wall, monotonic = wall + passed + jump, monotonic + passed
        stamp = clock.stamp(wall, monotonic)
        assert stamp >= wall
        assert stamp > last
        last = stamp


def test_stamps_show_the_wall_clock_again_after_it_was_set_back() -> None:
    clock = CaptureClock()
    assert clock.stamp(START, 0.0) == START
    assert clock.stamp(START - 59.0, 1.0) == pytest.approx(START + 0.5)
    stamps = [clock.stamp(START - 60.0 + second, second) for second in range(2, 130)]
    assert all(later > earlier for earlier, later in pairwise(stamps))
    assert stamps[-1] == START - 60.0 + 129


def test_a_wall_clock_that_jumps_ahead_and_back_silences_nobody() -> None:
    clock, pacer = CaptureClock(), Pacer(5.0)
    jumps = {100: 3600.0, 110: 0.0, 300: -7200.0, 400: 0.0}
    jump, stamps, sent = 0.0, [], 0
    for index in range(1000):
        jump = jumps.get(index, jump)
        stamps.append(clock.stamp(START + index / 25 + jump, index / 25))
        sent += pacer.due(stamps[-1])
    assert all(later > earlier for earlier, later in pairwise(stamps))
    assert sent >= 0.5 * 40 * 5 - 2, "at half speed, until both agree again"


def test_frames_stay_due_after_the_wall_clock_was_set_back() -> None:
    clock, pacer = CaptureClock(), Pacer(5.0)
    pacer.due(clock.stamp(START, 0.0))
    sent = [pacer.due(clock.stamp(START - 3600 + index / 25, index / 25)) for index in range(1, 251)]
    assert sum(sent) >= 24
