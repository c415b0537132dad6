"""What the deciding picture adds to an alert: where the animal was and how late each stage was."""

import msgspec
import pytest

from fbtasks.alert import Alert
from fbtasks.logic.moment import BOX, SEEN_AS, at_moment, decided
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.rules import load_rules
from fbtasks.logic.state import CameraState
from fbtasks.settings import LogicSettings
from tests.alerts import first_alert
from tests.results import START, lying, result

RESULT = msgspec.structs.replace(
    result(5.0, []), sent_at=START + 5.004, taken_at=START + 5.0105, inferred_at=START + 5.04
)


def test_the_stages_are_told_in_milliseconds() -> None:
    alert = at_moment(first_alert(at=START + 5.0), RESULT, {})
    assert alert.evidence == {"capture_to_push_ms": 4.0, "push_to_take_ms": 6.5, "take_to_inferred_ms": 29.5}
    assert decided(alert, START + 5.05).evidence["inferred_to_decided_ms"] == pytest.approx(10.0, abs=0.11)


def test_the_box_is_that_of_the_track_that_the_animal_is_now() -> None:
    boxes = {1: (1.0, 2.0, 3.0, 4.0), 7: (10.0, 20.04, 30.0, 40.06)}
    evidence = at_moment(first_alert(track_id=1, evidence={SEEN_AS: 7}), RESULT, boxes).evidence
    assert [evidence[f"box_{side}"] for side in ("left", "top", "right", "bottom")] == [10.0, 20.0, 30.0, 40.1]


@pytest.mark.parametrize("seen_as", [None, 9])
def test_an_animal_that_is_not_seen_has_no_box(seen_as: int | None) -> None:
    assert (
        "box_left"
        not in at_moment(first_alert(evidence={SEEN_AS: seen_as}), RESULT, {1: (1.0, 2.0, 3.0, 4.0)}).evidence
    )


def test_a_raise_says_by_what_it_was_judged() -> None:
    rules = load_rules({"lying": {"info_after_s": 5, "critical_after_s": False}})
    pipeline, state = Pipeline("box-3", LogicSettings(), rules), CameraState(camera_id="box-3")
    told: list[Alert] = []
    for number in range(60):
        state, _, alerts = pipeline.step(state, result(number * 0.2, [lying()], seq=number))
        told += alerts
    [raised] = [alert for alert in told if alert.rule == "lying"]
    facts = raised.evidence
    assert (facts["threshold_s"], facts["set_info_after_s"], facts["set_warning_after_s"]) == (5.0, 5.0, 7200.0)
    assert "set_critical_after_s" not in facts
    assert "set_enabled" not in facts
    assert facts[SEEN_AS] == raised.track_id
    assert [facts[name] for name in BOX] == [400.0, 400.0, 800.0, 560.0]
    assert facts["posture"] == "lying"


def test_an_alert_without_a_picture_has_no_stages() -> None:
    silence = first_alert(evidence={"reason": "no answer"})
    assert decided(silence, START) == silence
