"""Random nights: the same for the same seed, playable, and as eventful as they say."""

from functools import cache

import pytest

from fbtasks.sim.nights import Habits, NightKind, night
from fbtasks.sim.timeline import Event, Timeline

HOUR_S = 3600.0
SEEDS = range(4)


@cache
def events(kind: NightKind, seed: int) -> list[Event]:
    return Timeline(night(kind, seed).scenario).events()


@pytest.mark.parametrize("kind", ["eventful", "busy", "quiet"])
def test_the_same_seed_is_the_same_night(kind: NightKind) -> None:
    assert night(kind, 3) == night(kind, 3)
    assert night(kind, 3) != night(kind, 4)


def test_quiet_nights_hold_nothing_that_anybody_should_hear_of() -> None:
    for seed in SEEDS:
        happened = events("quiet", seed)
        lying = [event.length_s for event in happened if event.kind == "lying"]
        assert lying
        assert max(lying) < HOUR_S
        assert {event.kind for event in happened} <= {"lying", "lateral", "rolling", "shake", "door", "silent"}
        assert all(event.length_s <= 40 for event in happened if event.kind == "rolling")
        assert all(event.length_s <= 12 for event in happened if event.kind == "silent")


def test_eventful_nights_hold_events_of_every_kind() -> None:
    kinds = {event.kind for seed in range(10) for event in events("eventful", seed)}
    assert kinds >= {"lying", "bolting", "rolling", "cast", "person", "absent", "silent", "covered"}
    lying = [event for seed in range(10) for event in events("eventful", seed) if event.kind == "lying"]
    assert max(event.length_s for event in lying) > HOUR_S


def test_busy_nights_hold_more_of_it_before_cameras_that_suffer_more() -> None:
    kinds = {event.kind for seed in range(10) for event in events("busy", seed)}
    assert kinds >= {"lying", "bolting", "rolling", "cast", "person", "absent", "silent", "covered", "frozen", "door"}
    assert (
        max(event.length_s for seed in range(10) for event in events("busy", seed) if event.kind == "lying")
        > 3 * HOUR_S
    )


def test_some_busy_nights_hold_a_cast_horse_and_some_one_with_colic() -> None:
    happened = [event for seed in range(20) for event in events("busy", seed)]
    cast = [event.length_s for event in happened if event.kind == "cast"]
    colic = [event for event in happened if event.kind == "colic"]
    assert len(cast) >= 3
    assert min(cast) > 200
    assert len(colic) >= 3
    for pain in colic:
        downs = [
            event for seed in range(20) for event in events("busy", seed)
            if event.kind == "lying" and event.who == pain.who and pain.start <= event.start < pain.end
        ]  # fmt: skip
        assert len(downs) >= 3


def test_a_busy_night_loses_the_state_in_one_of_its_restarts() -> None:
    for seed in SEEDS:
        told = night("busy", seed)
        assert len(told.losses) == 1
        assert told.losses <= set(told.restarts)


def test_nights_have_one_to_three_horses_and_restarts() -> None:
    nights = [night("quiet", seed) for seed in range(40)]
    assert {len(one.scenario.horses) for one in nights} == {1, 2, 3}
    assert {len(one.restarts) for one in nights} >= {0, 1, 2}
    assert all(0 < restart < one.scenario.length_s for one in nights for restart in one.restarts)


@pytest.mark.parametrize("kind", ["eventful", "busy", "quiet"])
@pytest.mark.parametrize("factor", [16, 100])
def test_a_faster_night_is_shorter_and_still_playable(kind: NightKind, factor: float) -> None:
    for seed in SEEDS:
        story = night(kind, seed, Habits().faster(factor))
        assert story.scenario.length_s == 8 * HOUR_S / factor
        assert any(event.kind == "lying" for event in Timeline(story.scenario).events())
