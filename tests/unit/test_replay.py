"""A recording through the pipeline again: the same alerts, nights from noon to noon, and what other rules change."""

from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from fbtasks.alert import Severity
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.replay import Course, courses, differences, night_of, run, span
from fbtasks.logic.rules import load_rules
from fbtasks.logic.state import CameraState
from fbtasks.settings import LogicSettings
from fbtasks.wire import decode_mailed, encode
from tests.alerts import first_alert
from tests.results import lying, result, standing

BERLIN = ZoneInfo("Europe/Berlin")


def pipeline(info_after_s: float = 5) -> Pipeline:
    levels = {"info_after_s": info_after_s, "warning_after_s": 20, "critical_after_s": False, "clear_after_s": 2}
    return Pipeline("box-3", LogicSettings(), load_rules({"lying": levels}))


def story() -> list[bytes]:
    """40 seconds at 5 frames a second: it stands, lies for 25 seconds, and stands again."""
    poses = [standing()] * 25 + [lying()] * 125 + [standing()] * 50
    return [encode(result(number * 0.2, [pose], seq=number)) for number, pose in enumerate(poses)]


def course(number: int, raised_at: float, cleared_at: float | None, severity: Severity = "info") -> Course:
    return Course("box-3", "lying", UUID(int=number), raised_at, cleared_at, severity, "it lies")


def test_a_run_yields_what_the_pipeline_yields() -> None:
    told, state, live = [], CameraState(camera_id="box-3"), pipeline()
    for message in story():
        state, _, alerts = live.step(state, decode_mailed(message))
        told += alerts
    outcome = run("box-3", [*story(), b"\xc1", story()[3]], pipeline())
    assert outcome.alerts == told
    assert [alert.event for alert in told] == ["raised", "escalated", "cleared"]
    assert (outcome.results, outcome.late, outcome.refused) == (200, 1, 1)


def test_other_rules_change_what_is_told() -> None:
    before, after = (courses(run("box-3", story(), pipeline(level)).alerts) for level in (5, 9))
    [change] = differences(before, after)
    assert change.changes == ["raised 4.0 s later"]
    [gone] = differences(before, [])
    assert gone.changes == ["no longer raised"]
    assert differences(before, before) == []


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ([], [course(1, 10, 20)], [["newly raised"]]),
        ([course(1, 10, 20)], [course(2, 30, 40)], [["no longer raised"], ["newly raised"]]),
        ([course(1, 10, None)], [course(2, 30, 40)], [["raised 20.0 s later"]]),
        ([course(1, 10, 20)], [course(1, 30, 40)], [["raised 20.0 s later"]]),
        ([course(1, 10, 20, "critical")], [course(1, 10.2, 20)], [["critical becomes info"]]),
        ([course(1, 10, 90)], [course(2, 40, 50), course(3, 12, 30)], [["raised 2.0 s later"], ["newly raised"]]),
        ([course(1, 10, 50), course(2, 60, 70)], [course(3, 9, 80)], [["raised 1.0 s earlier"], ["no longer raised"]]),
    ],
)
def test_episodes_are_paired_by_identifier_then_by_time(
    before: list[Course], after: list[Course], changes: list[list[str]]
) -> None:
    assert [change.changes for change in differences(before, after)] == changes


def test_another_camera_or_rule_is_another_episode() -> None:
    elsewhere = Course("box-4", "lying", UUID(int=2), 10, 20, "info", "it lies")
    assert len(differences([course(1, 10, 20)], [elsewhere])) == 2


def test_a_course_has_its_highest_severity_and_its_end() -> None:
    raised = first_alert(severity="info", at=100.0)
    escalated = first_alert(number=1, event="escalated", severity="critical", at=200.0)
    cleared = first_alert(number=2, event="cleared", severity="critical", at=300.0)
    [told] = courses([raised, escalated, cleared])
    assert (told.raised_at, told.severity, told.cleared_at) == (100.0, "critical", 300.0)
    [open_still] = courses([raised])
    assert open_still.cleared_at is None


def test_a_night_goes_from_noon_to_noon_on_the_stables_clock() -> None:
    midnight_utc = 1_763_769_600.0  # 2025-11-22 00:00, 01:00 in Berlin
    assert night_of(midnight_utc, BERLIN) == date(2025, 11, 21)
    assert night_of(midnight_utc + 10.99 * 3600, BERLIN) == date(2025, 11, 21)
    assert night_of(midnight_utc + 11 * 3600, BERLIN) == date(2025, 11, 22)


@pytest.mark.parametrize(("seconds", "said"), [(3.46, "3.5 s"), (62, "1:02 min"), (3723, "1:02:03 h")])
def test_lengths_of_time_are_short(seconds: float, said: str) -> None:
    assert span(seconds) == said
