"""What the reports of the processes say of the whole."""

from collections.abc import Sequence
from typing import Any

import pytest

from fbtasks.health import ROLES, CameraReport, Depths, Finding, Report, Role, assess

NOW = 1_700_000_000.0
STALE_S = 30.0
IDLE = Depths(
    frames=0,
    mailboxes=0,
    outbox=0,
    oldest_outbox_s=None,
    tasks=0,
    pending_deliveries=0,
    oldest_delivery_s=None,
    dead_letters={},
)


def report(role: Role, *, age: float = 0.5, idle: float | None = 0.2, pid: int = 1, **rest: Any) -> Report:
    progress_at = None if idle is None else NOW - idle
    return Report(role=role, host="stable", pid=pid, at=NOW - age, progress_at=progress_at, **rest)


def camera(*, age: float | None = 0.2, state: str = "running", reason: str = "") -> CameraReport:
    last = None if age is None else NOW - age
    return CameraReport(state=state, since=NOW - 60, last_frame_at=last, reason=reason, decoder="software", frames=9)


def healthy() -> list[Report]:
    return [
        report("producer", cameras={"box-3": camera()}),
        report("gpu", facts={"provider": "cuda"}),
        report("logic"),
        report("beat"),
    ]


def judged(
    reports: Sequence[Report], subject: str, depths: Depths = IDLE, cameras: Sequence[str] = ("box-3",)
) -> Finding:
    findings = assess(reports, depths, cameras, now=NOW, stale_after_s=STALE_S)
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_all_is_well_when_all_make_progress() -> None:
    findings = assess(healthy(), IDLE, ["box-3"], now=NOW, stale_after_s=STALE_S)
    assert all(finding.ok for finding in findings)
    assert {finding.subject for finding in findings} == {
        *ROLES,
        "camera box-3",
        "queues",
        "outbox",
        "deliveries",
        "dead letters",
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_was_never_seen_is_down(role: Role) -> None:
    found = judged([one for one in healthy() if one.role != role], role)
    assert found == Finding(False, role, "never seen")


def test_a_role_that_fell_silent_is_down() -> None:
    found = judged([report("gpu", age=45.0)], "gpu")
    assert not found.ok
    assert "last heard of 45 s ago" in found.text


def test_a_process_that_reports_but_makes_no_progress_is_down() -> None:
    found = judged([report("gpu", age=0.5, idle=31.0)], "gpu")
    assert not found.ok
    assert "last progress 31.0 s ago" in found.text


def test_one_living_process_is_enough_for_a_role() -> None:
    found = judged(
        [report("logic", age=500.0, pid=1), report("logic", idle=None, pid=2), report("logic", pid=3)], "logic"
    )
    assert found.ok
    assert found.text.startswith("2 running")


def test_without_cameras_nobody_has_to_make_progress() -> None:
    assert judged([report("gpu", idle=None)], "gpu", cameras=()).ok
    assert judged([report("gpu", idle=500.0)], "gpu", cameras=()).ok
    assert not judged([report("gpu", idle=None)], "gpu").ok


def test_the_facts_of_the_gpu_worker_are_shown() -> None:
    assert "provider=cuda" in judged(healthy(), "gpu").text


@pytest.mark.parametrize(
    ("told", "ok", "said"),
    [
        (camera(), True, "running, last frame 0.2 s ago"),
        (camera(age=29.9, state="reconnecting", reason="refused"), True, "reconnecting, last frame 29.9 s ago refused"),
        (camera(age=30.1), False, "running, last frame 30.1 s ago"),
        (
            camera(age=None, state="connecting", reason="wrong password"),
            False,
            "connecting, no frame yet wrong password",
        ),
    ],
)
def test_a_camera_is_judged_by_its_last_frame(told: CameraReport, ok: bool, said: str) -> None:
    assert judged([report("producer", cameras={"box-3": told})], "camera box-3") == Finding(ok, "camera box-3", said)


def test_a_camera_that_nobody_reads_is_down() -> None:
    assert judged(healthy(), "camera box-9", cameras=["box-9"]) == Finding(
        False, "camera box-9", "no producer reads it"
    )


def test_of_two_producers_the_one_with_the_newer_frame_counts() -> None:
    old = report("producer", age=200.0, cameras={"box-3": camera(age=200.0)}, pid=1)
    new = report("producer", cameras={"box-3": camera()}, pid=2)
    assert judged([old, new], "camera box-3").ok


@pytest.mark.parametrize(
    ("changes", "subject", "ok", "said"),
    [
        (
            {"outbox": 999, "oldest_outbox_s": 29.0},
            "outbox",
            True,
            "999 alerts and minutes not stored yet, oldest 29 s",
        ),
        ({"outbox": 1, "oldest_outbox_s": 31.0}, "outbox", False, "1 alerts and minutes not stored yet, oldest 31 s"),
        ({"pending_deliveries": 3, "oldest_delivery_s": 29.0}, "deliveries", True, "3 pending, oldest 29 s"),
        ({"pending_deliveries": 3, "oldest_delivery_s": 31.0}, "deliveries", False, "3 pending, oldest 31 s"),
        ({"dead_letters": {"frames": 2, "alerts": 1}}, "dead letters", True, "1 alerts, 2 frames"),
        ({"frames": 5, "mailboxes": 6, "tasks": 7}, "queues", True, "frames 5, results 6, tasks 7"),
    ],
)
def test_queues_are_judged(changes: dict[str, Any], subject: str, ok: bool, said: str) -> None:
    depths = Depths(**{name: getattr(IDLE, name) for name in Depths.__dataclass_fields__} | changes)
    found = judged(healthy(), subject, depths)
    assert found.ok is ok
    assert said in found.text
