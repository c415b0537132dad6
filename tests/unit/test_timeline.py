"""The story at any second: continuous, the same in any order, and with the truth of what happened."""

from functools import cache
from math import hypot, pi

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.sim.acts import BOLT_M_S
from fbtasks.sim.scenario import find_scenario, read_scenario, shipped
from fbtasks.sim.stage import HorsePose, PersonPose, Placed
from fbtasks.sim.timeline import Event, Timeline

ALL = """
name = "all"
seed = {seed}
length_s = 600
place = {{ kind = "{kind}", seed = {seed} }}

[[horses]]
id = "Luna"
acts = [
  {{ from = 0, to = 40, does = "{first}" }},
  {{ from = 40, to = 100, does = "lies_sternal" }},
  {{ from = 100, to = 140, does = "lies_lateral" }},
  {{ from = 140, to = 190, does = "walks" }},
  {{ from = 190, to = 240, does = "rolls" }},
  {{ from = 240, to = 280, does = "bolts" }},
  {{ from = 280, to = 330, does = "struggles" }},
  {{ from = 330, to = 380, does = "paces" }},
  {{ from = 380, to = 440, does = "away" }},
  {{ from = 440, to = 500, does = "trots" }},
  {{ from = 500, to = 560, does = "grazes" }},
]

[[horses]]
id = "Nero"

[[persons]]
id = "groom"
acts = [
  {{ from = 20, to = 50, does = "walks" }},
  {{ from = 50, to = 90, does = "stoops", beside = "Luna" }},
]

[[disturbances]]
what = "silent"
from = 300
to = 320

[[disturbances]]
what = "frozen"
from = 400
to = 420

[[disturbances]]
what = "door"
from = 500
to = 520
"""
KINDS = ("box", "aisle", "paddock")
SEEDS = 4


@cache
def timeline(kind: str = "paddock", seed: int = 0, first: str = "stands") -> Timeline:
    return Timeline(read_scenario(ALL.format(kind=kind, seed=seed, first=first), "all.toml"))


def horse(told: Timeline, t: float, who: str = "Luna") -> Placed:
    return next(one for one in told.placed(t) if one.id == who)


def only(told: Timeline, kind: str, who: str = "Luna") -> list[Event]:
    return [event for event in told.events() if event.kind == kind and event.who == who]


stories = st.builds(timeline, st.sampled_from(KINDS), st.integers(0, SEEDS - 1))


@settings(deadline=None, max_examples=200)
@given(stories, st.floats(0, 599), st.floats(0.01, 0.5))
def test_nobody_jumps(told: Timeline, t: float, step: float) -> None:
    before = {one.id: one for one in told.placed(t)}
    for after in told.placed(t + step):
        if after.id not in before:
            continue
        one = before[after.id]
        assert hypot(after.x - one.x, after.y - one.y) <= BOLT_M_S * step + 1e-6
        turned = abs((after.heading - one.heading + pi) % (2 * pi) - pi)
        assert turned <= 5.0 * step + 1e-6
        if isinstance(one.pose, HorsePose) and isinstance(after.pose, HorsePose):
            assert abs(after.pose.down - one.pose.down) <= 0.5 * step + 1e-6
            assert abs(after.pose.roll - one.pose.roll) <= 2.5 * step + 1e-6
            assert after.pose.strides >= one.pose.strides - 1e-9


@settings(deadline=None, max_examples=200)
@given(stories, st.floats(0, 600))
def test_everybody_who_is_there_stays_inside_the_walls_but_for_coming_and_going(told: Timeline, t: float) -> None:
    going = {"Luna": [(376, 396), (436, 460)], "groom": [(18, 40), (88, 110)], "Nero": []}
    for one in told.placed(t):
        if not any(low <= t <= high for low, high in going[one.id]):
            assert 0 < one.x < told.place.width
            assert 0 < one.y < told.place.depth


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.lists(st.floats(0, 600), min_size=1, max_size=20))
def test_the_order_of_asking_changes_nothing(kind: str, times: list[float]) -> None:
    told = timeline(kind)
    forward = {t: told.placed(t) for t in sorted(times)}
    again = Timeline(told.scenario)
    assert all(again.placed(t) == forward[t] for t in reversed(times))
    assert again.events() == told.events()


def test_legs_move_with_the_ground() -> None:
    told = timeline()
    start, end = horse(told, 260), horse(told, 262)
    assert isinstance(start.pose, HorsePose)
    assert isinstance(end.pose, HorsePose)
    assert start.speed > 2.0
    assert start.pose.pace > 0.5
    way = start.speed * 2
    assert 1.0 < way / (end.pose.strides - start.pose.strides) < 4.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_horse_lies_from_the_ground_to_the_first_moment_of_rising(kind: str) -> None:
    told = timeline(kind)
    lying, rolled, cast = only(told, "lying")
    assert 43 < lying.start < 60
    assert 140 <= lying.end < 150
    for moment in (lying.start + 0.1, 100, lying.end - 0.1):
        assert horse(told, moment).posture == "lying"
    assert horse(told, lying.start - 0.5).posture == "between"
    assert horse(told, lying.end + 0.5).posture == "between"
    assert 190 < rolled.start < rolled.end < 250
    assert 280 < cast.start < cast.end < 340


def test_all_events_are_told() -> None:
    told = timeline()
    kinds = sorted(event.kind for event in told.events() if event.who == "Luna")
    assert kinds == [
        *("absent", "bolting", "cast", "lateral", "lying", "lying", "lying", "pacing", "rolling", "trotting")
    ]
    (person,) = only(told, "person", "groom")
    assert person.start == 20
    assert 90 < person.end < 105
    assert [(event.kind, event.start) for event in told.events() if not event.who] == [
        ("silent", 300.0),
        ("frozen", 400.0),
        ("door", 500.0),
    ]


def test_who_is_away_is_not_there() -> None:
    told = timeline()
    (absent,) = only(told, "absent")
    assert 380 < absent.start < 400
    assert absent.end == 440
    assert "Luna" not in {one.id for one in told.placed(410)}
    assert {one.id for one in told.placed(10)} == {"Luna", "Nero"}


def test_a_story_may_begin_lying() -> None:
    (first, *_) = only(timeline(first="lies_sternal"), "lying")
    assert first.start == 0.0


def test_a_bolting_horse_is_fast_and_a_walking_one_is_not() -> None:
    told = timeline()
    fast = [event for event in told.faster_than(1.0) if event.who == "Luna"]
    assert fast
    assert all(240 <= event.start < 280 or 440 <= event.start < 500 for event in fast)
    assert sum(event.length_s for event in fast) > 20


def test_what_the_camera_suffers() -> None:
    told = timeline()
    assert [told.sends(t) for t in (299, 310, 320)] == [True, False, True]
    assert [told.frozen(t) for t in (399, 410, 420)] == [False, True, False]
    assert [told.shown(t) for t in (399, 410, 420)] == [399, 400, 420]
    assert told.conditions(499).door == 0
    assert 0 < told.conditions(501).door < told.conditions(510).door
    assert told.conditions(310).light == "day"


@pytest.mark.parametrize("name", shipped())
def test_shipped_stories_end_as_they_began(name: str) -> None:
    told = Timeline(find_scenario(name))
    for end, begin in zip(told.placed(299.999), told.placed(300), strict=True):
        assert hypot(end.x - begin.x, end.y - begin.y) < 0.05
        assert abs((end.heading - begin.heading + pi) % (2 * pi) - pi) < 0.05
        assert (end.id, end.posture) == (begin.id, begin.posture)
        if isinstance(end.pose, HorsePose) and isinstance(begin.pose, HorsePose):
            assert abs(end.pose.head - begin.pose.head) < 0.05
            assert abs(end.pose.breath % 1 - begin.pose.breath % 1) % 1 < 0.05 or end.pose.breath % 1 > 0.95
    assert told.placed(310) == told.placed(10)


def test_the_demonstration_tells_its_four_stories() -> None:
    stories = {name: Timeline(find_scenario(name)) for name in shipped()}
    (lying,) = stories["box-1"].events()
    assert lying.kind == "lying"
    assert 18 < lying.start < 26
    assert 148 < lying.end < 155
    (bolting,) = stories["paddock"].events()
    assert (bolting.kind, bolting.start, bolting.end) == ("bolting", 70, 86)
    (visit,) = stories["box-2"].events()
    assert visit.kind == "person"
    assert 105 < visit.start < 115
    assert 145 < visit.end < 160
    (silent,) = stories["box-3"].events()
    assert (silent.kind, silent.start, silent.end) == ("silent", 200, 240)


def test_a_person_beside_a_horse_is_near_it() -> None:
    told = timeline("box")
    groom = horse(told, 80, "groom")
    assert isinstance(groom.pose, PersonPose)
    luna = horse(told, 80)
    assert hypot(groom.x - luna.x, groom.y - luna.y) < 1.5
