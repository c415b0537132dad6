"""Unrest, bouts and changes of posture, in seconds of capture time."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.logic.activity import MOST_HOURS, MOST_NOTED, Activity, Gait, History, gait, observe
from fbtasks.logic.smoother import Position, PostureName, Reading, Smoother, Window


def moving(unrest: float | None, posture: PostureName = "unknown") -> Reading:
    return Reading(posture, None, 1.0, None, None, unrest)


class Horse:
    """One track's motion, driven picture by picture."""

    def __init__(self, fps: float = 5.0) -> None:
        self.activity = Activity()
        self.now = 0.0
        self._step = 1 / fps

    def go(self, seconds: float, unrest: float | None) -> Gait:
        for _ in range(round(seconds / self._step)):
            self.now += self._step
            observe(self.activity, moving(unrest), self.now, self._step)
        return gait(self.activity, self.now)


def test_agitation_is_the_mean_of_the_last_seconds() -> None:
    horse = Horse()
    assert horse.go(4.8, 0.5).agitation_bl_s is None
    assert horse.go(0.4, 0.5).agitation_bl_s == pytest.approx(0.5)
    assert horse.go(7, 0.0).agitation_bl_s == pytest.approx(0.143, abs=0.01)
    assert horse.go(60, 0.3).agitation_bl_s == pytest.approx(0.3, abs=0.01)


@settings(deadline=None)
@given(st.floats(1.0, 30.0))
def test_agitation_does_not_depend_on_the_frame_rate(fps: float) -> None:
    horse = Horse(fps)
    horse.go(30, 0.6)
    assert horse.go(10, 0.0).agitation_bl_s == pytest.approx(0.6 * 2.718**-1, abs=0.06)


def test_unrest_is_remembered_for_seconds_and_unknown_after_a_gap() -> None:
    horse = Horse()
    before = horse.go(200, 0.5)
    assert horse.go(8, None).agitation_bl_s == pytest.approx(before.agitation_bl_s)
    assert horse.go(2, None).agitation_bl_s is None
    assert horse.go(20, 0.1).agitation_bl_s == pytest.approx(0.1, abs=0.04)
    observe(horse.activity, moving(0.5), horse.now + 60, 60.0)
    assert gait(horse.activity, horse.now + 60).agitation_bl_s is None


def test_liveliness_has_lasted_through_short_rests_and_not_through_long_ones() -> None:
    horse = Horse()
    assert horse.go(20, 0.2).lively_since_s == 0
    assert horse.go(3, 0.8).lively_since_s == pytest.approx(3)
    horse.go(4, 0.2)
    assert horse.go(1, 0.8).lively_since_s == pytest.approx(8)
    assert horse.go(5.2, 0.2).lively_since_s == 0
    horse.go(3, 0.8)
    observe(horse.activity, moving(0.8), horse.now + 60, 60.0)
    assert gait(horse.activity, horse.now + 60).lively_since_s == 0


def test_bouts_are_counted_and_forgotten() -> None:
    horse = Horse()
    for _ in range(3):
        horse.go(0.6, 0.5)
        horse.go(2, 0.0)
    assert gait(horse.activity, horse.now).bouts == 0
    for _ in range(3):
        horse.go(4, 0.5)
        horse.go(2, 0.0)
    assert gait(horse.activity, horse.now).bouts == 3
    assert horse.go(700, 0.0).bouts == 0


def test_stillness_ends_with_a_movement() -> None:
    horse = Horse()
    assert horse.go(150, 0.05).still_s == pytest.approx(150)
    assert horse.go(10, None).still_s == pytest.approx(150)
    assert horse.go(0.2, 0.3).still_s == 0.0


def test_lying_down_and_rising_are_told_whatever_is_unknown_between() -> None:
    activity = Activity()
    course: list[PostureName] = ["unknown", "standing", "standing", "unknown", "lying", "unknown", "lying", "standing"]
    told = [observe(activity, moving(None, posture), at, 1.0) for at, posture in enumerate(course)]
    assert told == [False, False, False, False, True, False, False, True]


def test_a_trembling_box_is_still_and_a_pacing_horse_is_not() -> None:
    chance = random.Random(1)
    smoother = Smoother(5.0)
    trembling, pacing = Window(), Window()
    still, walked = Activity(), Activity()
    for index in range(300):
        at = index / 5
        jitter = [chance.gauss(0, 4) for _ in range(4)]
        phase = index % 50
        x = 12 * (phase if phase < 25 else 50 - phase)
        for window, activity, centre in ((trembling, still, 0.0), (pacing, walked, x)):
            position = Position(at, centre + jitter[0], jitter[1], 200 + jitter[2], 150 + jitter[3])
            smoother.observe(window, 0.2, None, position, 200.0)
            observe(activity, smoother.read(window, at), at, 0.2)
    assert (gait(still, 60.0).agitation_bl_s or 1) < 0.1
    assert gait(walked, 60.0).agitation_bl_s == pytest.approx(0.33, abs=0.1)


def test_a_horse_is_compared_with_its_own_past_hours() -> None:
    history = History()
    for hour in range(5):
        for minute in range(60):
            history.watch(3600.0 * hour + 60 * minute, 60.0 if hour != 2 else 30.0)
            if minute in {10, 20}:
                history.changed(3600.0 * hour + 60 * minute)
    assert len(history.changes) == 2
    assert history.usual_per_h(3.4 * 3600) == pytest.approx(8 / 3.5)
    assert history.usual_per_h(3.6 * 3600) is None
    assert History().usual_per_h(0.0) is None


def test_what_is_remembered_is_bounded() -> None:
    history, horse = History(), Horse()
    for hour in range(200):
        history.watch(3600.0 * hour, 1.0)
        for _ in range(MOST_NOTED):
            history.changed(3600.0 * hour)
    assert (len(history.hours), len(history.changes)) == (MOST_HOURS, MOST_NOTED)
    for _ in range(60):
        horse.go(2, 0.5)
        horse.go(1, 0.0)
    assert len(horse.activity.bouts) == MOST_NOTED
