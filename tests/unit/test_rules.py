import math
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.errors import ConfigError
from fbtasks.logic.activity import MEMORY_S, Change, Gait, History, Hour
from fbtasks.logic.rules import Rule, load_rules
from fbtasks.logic.rules.absent import Absent
from fbtasks.logic.rules.agitated import Agitated
from fbtasks.logic.rules.base import duration
from fbtasks.logic.rules.camera_blind import CameraBlind
from fbtasks.logic.rules.cast import Cast
from fbtasks.logic.rules.lying import Lying
from fbtasks.logic.rules.person import Person
from fbtasks.logic.rules.restless import Restless
from fbtasks.logic.rules.too_fast import TooFast
from fbtasks.logic.rules.zone import Zone, distance
from fbtasks.logic.scene import Blindness, Judged, Scene
from fbtasks.logic.smoother import PostureName, Reading
from fbtasks.logic.tracker import Kind, Sighting, Track

HORSE = Track(1, Sighting((0.0, 0.0, 100.0, 100.0), 0.9, "animal", "horse"), 0.0, 0.0, confirmed=True)


def posture(name: PostureName) -> Judged:
    return Judged(HORSE, Reading(name, 0.5, 1.0, None, None))


def speed(body_lengths_per_s: float | None) -> Judged:
    return Judged(HORSE, Reading("unknown", None, 0.0, None, body_lengths_per_s))


def loaded(tables: dict[str, dict[str, Any]]) -> dict[str, Rule]:
    return {rule.name: rule for rule in load_rules(tables)}


def test_rules_come_with_their_defaults() -> None:
    lying = loaded({})["lying"]
    assert [(level.after_s, level.severity) for level in lying.levels] == [
        (3600, "info"),
        (7200, "warning"),
        (10_800, "critical"),
    ]


def test_tables_override_defaults() -> None:
    rules = loaded({"lying": {"info_after_s": 60}, "too_fast": {"for_s": 5, "cooldown_s": 0}})
    assert rules["lying"].levels[0].after_s == 60
    too_fast = rules["too_fast"]
    assert (too_fast.levels[0].after_s, too_fast.cooldown_s) == (5, 0)


def test_a_rule_can_be_switched_off() -> None:
    assert loaded({}).keys() - loaded({"too_fast": {"enabled": False}}).keys() == {"too_fast"}


def test_a_level_can_be_switched_off() -> None:
    lying = loaded({"lying": {"info_after_s": False}})["lying"]
    assert [level.severity for level in lying.levels] == ["warning", "critical"]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"liyng": {}}, "rules.liyng: unknown rule (did you mean 'lying'?)"),
        ({"lying": {"clear_afters": 1}}, "rules.lying.clear_afters: unknown setting (did you mean 'clear_after_s'?)"),
        (
            {"lying": {"info_after_s": True}},
            "rules.lying.info_after_s: must be a number of seconds, or false for never",
        ),
        ({"lying": {"info_after_s": -1}}, "rules.lying.info_after_s: Input should be greater than or equal to 0"),
        (
            {"lying": {"info_after_s": 7200}},
            "rules.lying: info_after_s, warning_after_s and critical_after_s must rise",
        ),
        (
            {"lying": {"info_after_s": False, "warning_after_s": False, "critical_after_s": False}},
            "rules.lying: every level is off; write enabled = false",
        ),
        (
            {"camera_blind": {"critical_after_s": 10}},
            "rules.camera_blind: warning_after_s and critical_after_s must rise in this order",
        ),
        (
            {"lying": {"preset": "mustnot"}},
            "rules.lying.preset: Input should be 'ordinary', 'tell_me_when' or 'must_not'",
        ),
        ({"zone": {"enabled": True}}, "rules.zone: polygon needs at least three corners"),
        ({"zone": {"polygon": [[0, 2]]}}, "rules.zone.polygon.0.1: Input should be less than or equal to 1"),
        ({"agitated": {"calm_bl_s": 3}}, "rules.agitated: calm_bl_s must not be above agitation_bl_s"),
        ({"person": {"allowed": ["6-20"]}}, "rules.person.allowed.0: '6-20' are no hours of a day, write them like"),
        ({"person": {"keep_confidence": 0.9}}, "rules.person: keep_confidence must not be above confidence"),
        ({"lying": {"active": "20:00-06:00"}}, "rules.lying.active: Input should be a valid list"),
        ({"too_fast": {"calm_body_lengths_per_s": 3}}, "rules.too_fast: calm_body_lengths_per_s must not be above"),
    ],
)
def test_a_wrong_table_is_refused_by_name(table: dict[str, dict[str, object]], complaint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_rules(table)
    assert complaint in str(refusal.value)


def test_every_fault_is_named() -> None:
    with pytest.raises(ConfigError) as refusal:
        load_rules({"lyin": {}, "lying": {"x": 1}, "too_fast": {"for_s": -1, "y": 2}})
    assert len(str(refusal.value).splitlines()) == 4


def test_lying_judges_the_posture() -> None:
    lying = Lying()
    assert lying.judge(posture("lying"), raised=False) is True
    assert lying.judge(posture("standing"), raised=False) is False
    assert lying.judge(posture("unknown"), raised=True) is None


def test_a_horse_that_rises_does_not_lie_any_more_while_it_is_not_yet_known_to_stand() -> None:
    def lying(p_lying: float) -> bool | None:
        return Lying().judge(Judged(HORSE, Reading("lying", p_lying, 1.0, None, None)), raised=True)

    assert [lying(0.9), lying(0.5), lying(0.4)] == [True, True, None]


def test_too_fast_judges_with_hysteresis() -> None:
    too_fast = TooFast()
    assert too_fast.judge(speed(1.0), raised=False) is True
    assert too_fast.judge(speed(0.8), raised=False) is False
    assert too_fast.judge(speed(0.8), raised=True) is True
    assert too_fast.judge(speed(0.5), raised=True) is False
    assert too_fast.judge_pending(speed(0.9)) is True
    assert too_fast.judge_pending(speed(0.8)) is False
    assert too_fast.judge_pending(speed(None)) is None
    assert too_fast.judge(speed(None), raised=True) is None


def test_messages_are_a_grooms_words() -> None:
    assert Lying().raised_message("box-3", 3725, posture("lying")) == "Horse in box-3 has been lying for 62 minutes"
    assert Lying().cleared_message("box-3", 90) == "Horse in box-3 is standing again after lying for 90 seconds"
    assert TooFast().raised_message("box-3", 2.1, speed(1.26)) == (
        "Horse in box-3 is moving at 1.3 body lengths per second, for 2 seconds now"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 seconds"), (1, "1 second"), (119.9, "119 seconds"), (120, "2 minutes"), (3599, "59 minutes")],
)
def test_durations_read_naturally(seconds: float, words: str) -> None:
    assert duration(seconds) == words


LAST_PICTURE_AT = 1_700_010_845.0
"""02:14:05 in Berlin."""


def blind(seconds: float, **changes: Any) -> Scene:
    blindness = Blindness(LAST_PICTURE_AT, LAST_PICTURE_AT + seconds, "no answer", **changes)
    return Scene(blindness.at, 2.0, [], blind=blindness, zone=ZoneInfo("Europe/Berlin"))


def test_a_blind_camera_is_told_with_the_time_on_the_stables_clock() -> None:
    rule = CameraBlind()
    assert rule.raised_message("box-3", 30, blind(30)) == (
        "box-3: no pictures from the camera since 02:14:05; nobody is watching this box"
    )
    assert "since 15 Nov 02:14:05" in rule.raised_message("box-3", 86_400, blind(86_400))
    assert rule.raised_message("box-3", 30, blind(30, pictures=True)).startswith(
        "box-3: nothing to be seen in the camera's pictures (no answer) since"
    )
    assert "no picture from the camera yet" in rule.raised_message("box-3", 400, blind(400, never=True))
    assert rule.evidence(blind(30)) == {"reason": "no answer", "last_picture_at": LAST_PICTURE_AT}
    assert rule.evidence(blind(400, never=True))["last_picture_at"] is None


def test_a_camera_that_never_gave_a_picture_is_given_time() -> None:
    rule = CameraBlind(first_picture_after_s=300)
    assert rule.judge(blind(299, never=True), raised=False) is None
    assert rule.judge(blind(300, never=True), raised=False) is True
    assert rule.judge(blind(10, never=True), raised=True) is True
    assert rule.judge(blind(10), raised=False) is True
    assert rule.judge(Scene(0.0, 0.2, []), raised=True) is False


MIDNIGHT = 1_700_002_800.0
"""In Berlin."""
BERLIN = ZoneInfo("Europe/Berlin")


def somebody(confidence: float, kind: Kind = "person") -> Judged:
    track = Track(1, Sighting((0.0, 0.0, 50.0, 100.0), confidence, kind, kind), 0.0, 0.0, confirmed=True)
    return Judged(track, Reading("unknown", None, 0.0, None, None))


def box(*judged: Judged, hour: float = 0.0, **more: Any) -> Scene:
    return Scene(MIDNIGHT + 3600 * hour, 0.2, list(judged), zone=BERLIN, **more)


def test_a_person_is_told_of_outside_the_allowed_hours_only() -> None:
    rule = Person(allowed=["06:00-12:00", "13:00-20:00"])
    night_and_day = {0: True, 5.9: True, 6: False, 12.5: True, 19.9: False, 20: True}
    assert {hour: rule.judge(box(somebody(0.9), hour=hour), raised=False) for hour in night_and_day} == night_and_day
    assert rule.judge(box(somebody(0.9, "animal")), raised=False) is False
    assert rule.judge(box(), raised=True) is False


def test_a_person_must_be_sure_to_begin_with_and_less_so_to_stay() -> None:
    rule = Person()
    assert rule.judge(box(somebody(0.4)), raised=False) is False
    assert rule.judge(box(somebody(0.4)), raised=True) is True
    assert rule.judge(box(somebody(0.2)), raised=True) is False
    assert rule.evidence(box(somebody(0.4))) == {"persons": 1.0, "confidence": 0.4}


def test_a_box_is_empty_only_after_a_horse_was_seen_in_it_and_none_is_even_suspected() -> None:
    rule = Absent()
    suspected = Sighting((0.0, 0.0, 50.0, 50.0), 0.2, "animal", "horse")
    assert rule.judge(box(), raised=False) is None
    assert rule.judge(box(animal_seen_at=MIDNIGHT - 60), raised=False) is True
    assert rule.judge(box(animal_seen_at=MIDNIGHT - 60, boxes=[suspected]), raised=False) is None
    assert rule.judge(box(somebody(0.9), animal_seen_at=MIDNIGHT - 60), raised=False) is True
    assert rule.judge(box(somebody(0.9, "animal"), animal_seen_at=MIDNIGHT), raised=True) is False


@pytest.mark.parametrize("rule", [Person(), Absent()])
def test_of_a_box_that_is_not_to_be_seen_nobody_can_tell(rule: Person | Absent) -> None:
    dark = box(animal_seen_at=MIDNIGHT, blind=Blindness(MIDNIGHT, MIDNIGHT + 60, ""))
    assert rule.judge(dark, raised=True) is None


def test_what_is_told_of_persons_and_empty_boxes() -> None:
    assert Person().raised_message("box-3", 12, box()) == (
        "box-3: somebody has been in the box for 12 seconds, outside the hours for that"
    )
    assert Absent().raised_message("box-3", 1800, box()) == "box-3: the box has been empty for 30 minutes"
    assert Absent().cleared_message("box-3", 1800) == "box-3: the horse is in its box again, after 30 minutes"


def moving(agitation: float | None, struggles: int = 0, posture: PostureName = "lying", **box: Any) -> Judged:
    track = Track(1, Sighting(box.get("xyxy", (0.0, 0.0, 50.0, 100.0)), 0.9, "animal", "horse"), 0.0, 0.0)
    gait = Gait(agitation, 0.0, struggles)
    return Judged(track, Reading(posture, None, 1.0, None, None), gait, (1000, 500), box.get("history", History()))


def test_agitation_has_held_for_no_longer_than_is_remembered() -> None:
    track, reading = speed(None).track, speed(None).reading
    before = [Agitated().held_before_s(Judged(track, reading, Gait(0.5, lively_since_s=s))) for s in (4.0, 60.0)]
    assert before == [4.0, MEMORY_S]


def test_agitated_judges_with_hysteresis() -> None:
    rule = Agitated()
    assert [rule.judge(moving(mean), raised=False) for mean in (None, 0.4, 0.5)] == [None, False, True]
    assert [rule.judge(moving(mean), raised=True) for mean in (None, 0.2, 0.4)] == [None, False, True]


def test_cast_is_down_and_struggling_until_it_is_up() -> None:
    rule = Cast(struggles=6)
    assert rule.judge(moving(0.5, 6), raised=False) is True
    assert rule.judge(moving(0.5, 5), raised=False) is False
    assert rule.judge(moving(0.5, 6, "standing"), raised=False) is False
    assert rule.judge(moving(0.5, 6, "unknown"), raised=False) is None
    assert rule.judge(moving(0.0, 0), raised=True) is True
    assert rule.judge(moving(0.0, 0, "unknown"), raised=True) is None
    assert rule.judge(moving(0.0, 0, "standing"), raised=True) is False
    assert rule.evidence(moving(0.0, 6)) == {"posture": "lying", "struggles_in_10_min": 6.0}


def restless(history: History) -> Judged:
    return moving(None, history=history)


def test_restless_is_more_often_than_usual() -> None:
    rule = Restless()
    often = History(changes=[Change(MIDNIGHT - 60.0 * index, 1) for index in range(8)])
    assert rule.judge(restless(History()), raised=False) is False
    assert rule.judge(restless(often), raised=False) is True
    often.hours = [Hour(MIDNIGHT - 3600.0 * index, 3600.0, 3) for index in range(20, -1, -1)]
    assert rule.judge(restless(often), raised=False) is False
    assert rule.judge(restless(often), raised=True) is True
    assert rule.evidence(restless(often)) == {"changes_in_last_h": 8.0, "usual_per_h": 3.0}


def test_three_calm_horses_together_are_not_one_restless_one() -> None:
    together = History(changes=[Change(MIDNIGHT - 60.0 * index, 1 + index % 3) for index in range(9)])
    assert Restless(changes_per_h=4).judge(restless(together), raised=False) is False
    assert Restless(changes_per_h=3).judge(restless(together), raised=False) is True


HALF = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]


def standing_at(x: float, y: float) -> Judged:
    return moving(None, xyxy=(1000 * x - 20, 500 * y - 100, 1000 * x + 20, 500 * y))


@pytest.mark.parametrize(("x", "beyond"), [(0.3, False), (0.49, False), (0.52, True), (0.9, True)])
def test_a_zone_is_entered_with_the_feet(x: float, *, beyond: bool) -> None:
    zone = Zone(enabled=True, polygon=HALF)
    assert zone.judge(standing_at(x, 0.8), raised=False) is beyond
    turned = Zone(enabled=True, polygon=HALF, forbidden="outside")
    assert turned.judge(standing_at(x, 0.8), raised=False) is not beyond


def test_a_zone_is_left_only_by_some_way() -> None:
    zone = Zone(enabled=True, polygon=HALF)
    assert zone.judge(standing_at(0.49, 0.8), raised=True) is True
    assert zone.judge(standing_at(0.47, 0.8), raised=True) is False


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_the_distance_to_a_square_is_that_to_its_sides(x: float, y: float) -> None:
    low, high = 0.25, 0.75
    square = [(low, low), (high, low), (high, high), (low, high)]
    dx, dy = max(low - x, x - high), max(low - y, y - high)
    expected = max(dx, dy) if dx <= 0 and dy <= 0 else math.hypot(max(dx, 0.0), max(dy, 0.0))
    assert distance(square, (x, y)) == pytest.approx(expected, abs=1e-9)


def test_a_zone_is_about_whom_it_says() -> None:
    assert Zone().kind == "animal"
    assert Zone(who="person").kind == "person"


@pytest.mark.parametrize(
    ("table", "levels"),
    [
        ({}, {"info": 3600, "warning": 7200, "critical": 10_800}),
        ({"preset": "tell_me_when"}, {"note": 10, "info": 3600, "warning": 7200, "critical": 10_800}),
        ({"preset": "must_not"}, {"warning": 30, "critical": 300}),
        ({"preset": "must_not", "critical_after_s": 60}, {"warning": 30, "critical": 60}),
    ],
)
def test_presets_are_defaults_that_every_key_goes_over(table: dict[str, Any], levels: dict[str, float]) -> None:
    lying = loaded({"lying": table})["lying"]
    assert {level.severity: level.after_s for level in lying.levels} == levels
