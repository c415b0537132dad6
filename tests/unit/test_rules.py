import pytest

from fbtasks.errors import ConfigError
from fbtasks.logic.rules import load_rules
from fbtasks.logic.rules.base import duration
from fbtasks.logic.rules.lying import Lying
from fbtasks.logic.rules.too_fast import TooFast
from fbtasks.logic.smoother import PostureName, Reading


def posture(name: PostureName) -> Reading:
    return Reading(name, 0.5, 1.0, None, None)


def speed(body_lengths_per_s: float | None) -> Reading:
    return Reading("unknown", None, 0.0, None, body_lengths_per_s)


def test_all_rules_come_with_their_defaults() -> None:
    lying, too_fast = load_rules({})
    assert isinstance(lying, Lying)
    assert isinstance(too_fast, TooFast)
    assert [(level.after_s, level.severity) for level in lying.levels] == [
        (3600, "info"),
        (7200, "warning"),
        (10_800, "critical"),
    ]


def test_tables_override_defaults() -> None:
    lying, too_fast = load_rules({"lying": {"info_after_s": 60}, "too_fast": {"for_s": 5, "cooldown_s": 0}})
    assert lying.levels[0].after_s == 60
    assert (too_fast.levels[0].after_s, too_fast.cooldown_s) == (5, 0)


def test_a_rule_can_be_switched_off() -> None:
    assert [rule.name for rule in load_rules({"too_fast": {"enabled": False}})] == ["lying"]


def test_a_level_can_be_switched_off() -> None:
    (lying,) = load_rules({"lying": {"info_after_s": False}, "too_fast": {"enabled": False}})
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


def test_too_fast_judges_with_hysteresis() -> None:
    too_fast = TooFast()
    assert too_fast.judge(speed(1.0), raised=False) is True
    assert too_fast.judge(speed(0.8), raised=False) is False
    assert too_fast.judge(speed(0.8), raised=True) is True
    assert too_fast.judge(speed(0.5), raised=True) is False
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
