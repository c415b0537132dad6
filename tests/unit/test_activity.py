"""Unrest, struggles and changes of posture, in seconds of capture time."""

import random
from math import pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.logic.activity import (
    APART_S,
    HELD_S,
    MOST_HOURS,
    MOST_NOTED,
    STRUGGLES_WITHIN_S,
    Activity,
    Gait,
    History,
    gait,
    observe,
)
from fbtasks.logic.motion import Corners
from fbtasks.logic.smoother import Position, PostureName, Reading, Smoother, Window

BOX: Corners = (100.0, 100.0, 300.0, 200.0)


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
            observe(self.activity, moving(unrest), BOX, self.now, self._step)
        return gait(self.activity, self.now)


class Down:
    """A horse on the ground whose box trembles by a share of its sides, as a detector's does, and heaves at times."""

    def __init__(self, fps: float = 5.0, jitter: float = 0.013) -> None:
        self.activity = Activity()
        self.now = 0.0
        self._step = 1 / fps
        self._jitter = jitter
        self._chance = random.Random(3)
        self.lie(60)

    def lie(self, seconds: float, heaves: float = 0.0, posture: PostureName = "lying", *, vague: bool = False) -> int:
        """How often it has struggled, after so long; `heaves`: its back goes up and down by so much of its height."""
        for _ in range(round(seconds / self._step)):
            self.now += self._step
            over = heaves * sin(2 * pi * self.now / 0.9)
            left, top, right, bottom = (self._chance.gauss(0.0, self._jitter) for _ in range(4))
            box = (100 + 200 * left, 100 + 100 * (top + over), 300 + 200 * right, 200 + 100 * bottom)
            observe(self.activity, moving(0.0, posture), box, self.now, self._step, vague=vague)
        return gait(self.activity, self.now).struggles

    def rolls(self, times: int) -> int:
        """It goes over to a side and back in six seconds each, and rests for two."""
        for _ in range(times):
            for _ in range(round(6 / self._step)):
                self.now += self._step
                wide = 40 * sin(pi * (self.now % 6) / 6)
                observe(self.activity, moving(0.0, "lying"), (100, 100 - wide, 300, 200), self.now, self._step)
            self.lie(2)
        return gait(self.activity, self.now).struggles


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
    observe(horse.activity, moving(0.5), BOX, horse.now + 60, 60.0)
    assert gait(horse.activity, horse.now + 60).agitation_bl_s is None


@pytest.mark.parametrize("fps", [0.5, 2.0, 5.0, 25.0])
@pytest.mark.parametrize("jitter", [0.01, 0.017, 0.03])
def test_a_horse_that_lies_quietly_does_not_struggle_however_its_box_trembles(fps: float, jitter: float) -> None:
    assert Down(fps, jitter).lie(500) <= 1


def test_a_box_that_trembles_more_than_others_is_known_to_after_some_minutes() -> None:
    assert Down(fps=2.0, jitter=0.04).lie(2 * STRUGGLES_WITHIN_S) <= 1


@pytest.mark.parametrize("fps", [2.0, 5.0, 25.0])
def test_struggles_are_counted_though_the_box_stays_where_it_is(fps: float) -> None:
    horse = Down(fps)
    for number in range(1, 6):
        assert horse.lie(5, heaves=0.15) == number
        assert horse.lie(25) == number
    assert horse.lie(STRUGGLES_WITHIN_S) == 0


def test_a_struggle_without_a_pause_counts_again_and_again() -> None:
    horse = Down()
    assert horse.lie(6 * APART_S, heaves=0.15) == 6


def test_a_healthy_horse_that_rolls_three_times_has_struggled_once_or_twice() -> None:
    assert 1 <= Down().rolls(3) <= 2


def test_liveliness_has_lasted_through_short_rests_and_not_through_long_ones() -> None:
    horse = Horse()
    assert horse.go(20, 0.2).lively_since_s == 0
    assert horse.go(3, 0.8).lively_since_s == pytest.approx(3)
    horse.go(4, 0.2)
    assert horse.go(1, 0.8).lively_since_s == pytest.approx(8)
    assert horse.go(5.2, 0.2).lively_since_s == 0
    horse.go(3, 0.8)
    observe(horse.activity, moving(0.8), BOX, horse.now + 60, 60.0)
    assert gait(horse.activity, horse.now + 60).lively_since_s == 0


def test_a_horse_that_gets_up_begins_anew_and_one_that_seems_to_for_a_moment_does_not() -> None:
    horse = Down()
    for _ in range(3):
        horse.lie(5, heaves=0.15)
        horse.lie(25)
    assert horse.lie(HELD_S - 1, posture="standing") == 3
    assert horse.lie(1, posture="lying") == 3
    assert horse.lie(HELD_S + 1, posture="standing") == 0


def test_a_box_that_another_one_hides_tells_no_struggle() -> None:
    horse = Down()
    assert horse.lie(60, heaves=0.15, vague=True) == 0


def test_stillness_ends_with_a_movement() -> None:
    horse = Horse()
    assert horse.go(150, 0.05).still_s == pytest.approx(150)
    assert horse.go(10, None).still_s == pytest.approx(150)
    assert horse.go(0.2, 0.3).still_s == 0.0


def changes(course: list[tuple[PostureName, float]]) -> list[bool]:
    """Whether each piece of so many seconds, a picture every two, told of a change."""
    activity, now, told = Activity(), 0.0, []
    for posture, seconds in course:
        changed = False
        for _ in range(round(seconds / 2)):
            now += 2.0
            changed |= observe(activity, moving(None, posture), BOX, now, 2.0)
        told.append(changed)
    return told


def test_lying_down_and_rising_are_told_whatever_is_unknown_between() -> None:
    told = changes([("unknown", 20), ("standing", 20), ("unknown", 20), ("lying", 20), ("unknown", 60), ("lying", 20)])
    assert told == [False, False, False, True, False, False]
    assert changes([("lying", 20), ("unknown", 60), ("standing", 20)]) == [False, False, True]


def test_a_posture_that_is_seen_for_a_moment_is_no_change() -> None:
    assert changes([("standing", 20), ("lying", HELD_S - 2), ("standing", 20)]) == [False, False, False]
    assert changes([("standing", 20), ("lying", HELD_S), ("standing", HELD_S)]) == [False, True, True]


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
            observe(activity, smoother.read(window, at), BOX, at, 0.2)
    assert (gait(still, 60.0).agitation_bl_s or 1) < 0.1
    assert gait(walked, 60.0).agitation_bl_s == pytest.approx(0.33, abs=0.1)


def test_a_horse_is_compared_with_its_own_past_hours() -> None:
    history = History()
    for hour in range(5):
        for minute in range(60):
            history.watch(3600.0 * hour + 60 * minute, 60.0 if hour != 2 else 30.0)
            if minute in {10, 20}:
                history.changed(3600.0 * hour + 60 * minute, 1)
    assert len(history.changes) == 2
    assert history.usual_per_h(3.4 * 3600) == pytest.approx(8 / 3.5)
    assert history.usual_per_h(3.6 * 3600) is None
    assert History().usual_per_h(0.0) is None


def test_the_only_horse_in_view_is_the_one_that_was_lost_before_it_came() -> None:
    history = History()
    history.watch(0.0, 1.0)
    for at, track_id in ((10.0, 1), (20.0, 1), (30.0, 2)):
        history.changed(at, track_id)
    history.adopt(3, first_seen_at=25.0)
    assert [history.changes_of(track_id) for track_id in (1, 2, 3)] == [0, 1, 2]


def test_what_is_remembered_is_bounded() -> None:
    history, horse = History(), Down()
    for hour in range(200):
        history.watch(3600.0 * hour, 1.0)
        for _ in range(MOST_NOTED):
            history.changed(3600.0 * hour, 1)
    assert (len(history.hours), len(history.changes)) == (MOST_HOURS, MOST_NOTED)
    horse.lie(2000, heaves=0.15)
    assert len(horse.activity.struggles) <= STRUGGLES_WITHIN_S / APART_S + 1
