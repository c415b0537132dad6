"""What the reports of the processes say of the whole."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fbtasks.health import (
    PREPARING,
    ROLES,
    SILENT_READER_S,
    CameraReport,
    Depths,
    Finding,
    Level,
    Look,
    News,
    Report,
    Role,
    assess,
    worst,
)

NOW = 1_700_000_000.0
STALE_S = 30.0
LOOK = Look(NOW, STALE_S)
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
    reports: Sequence[Report],
    subject: str,
    depths: Depths = IDLE,
    cameras: Sequence[str] = ("box-3",),
    look: Look = LOOK,
) -> Finding:
    findings = assess(reports, depths, cameras, look)
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_all_is_well_when_all_make_progress() -> None:
    findings = assess(healthy(), IDLE, ["box-3"], LOOK)
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
    assert found.level == "critical"
    assert found.text == "never seen"


def test_a_role_that_fell_silent_is_down() -> None:
    found = judged([report("gpu", age=45.0)], "gpu")
    assert not found.ok
    assert "last heard of 45 s ago" in found.text


@pytest.mark.parametrize(
    ("role", "before"),
    [
        ("producer", report("producer", idle=31.0, cameras={"box-3": camera()})),
        ("gpu", report("producer", cameras={"box-3": camera()})),
        ("logic", report("gpu")),
    ],
)
def test_a_process_that_reports_but_does_not_take_its_work_is_down(role: Role, before: Report) -> None:
    late = before if role == before.role else report(role, idle=31.0)
    found = judged([late, before] if late is not before else [before], role)
    assert found.level == "critical"
    assert "last progress 31.0 s ago" in found.text
    assert found.since == NOW - 31.0


def test_a_process_that_nobody_gives_work_is_well() -> None:
    stopped = [report("producer", idle=500.0, cameras={"box-3": camera(age=500.0)}), report("gpu", idle=500.0)]
    idle = [*stopped, report("logic", idle=500.0), report("beat")]
    assert {judged(idle, role).level for role in ROLES} == {"ok"}
    assert judged(idle, "camera box-3").level == "critical"


def test_a_worker_that_has_done_nothing_yet_is_given_time_and_more_while_it_prepares() -> None:
    def gpu(age: float, **facts: str) -> list[Report]:
        fresh = report("gpu", idle=None, started_at=NOW - age, facts=facts)
        return [report("producer", cameras={"box-3": camera()}), fresh]

    look = Look(NOW, STALE_S, grace_s=60.0)
    assert judged(gpu(59.0), "gpu", look=look).ok
    assert judged(gpu(61.0), "gpu", look=look).level == "critical"
    assert judged(gpu(300.0, state=PREPARING), "gpu", look=look).ok
    assert judged(gpu(1000.0, state=PREPARING), "gpu", look=look).level == "critical"


def test_one_that_starts_and_fails_for_ever_is_not_new_for_ever() -> None:
    ended = report("gpu", age=20.0, idle=None, started_at=NOW - 100.0)
    fresh = report("gpu", idle=None, started_at=NOW - 1.0, pid=2)
    producer = report("producer", cameras={"box-3": camera()})
    assert judged([producer, ended, fresh], "gpu", look=Look(NOW, STALE_S, grace_s=60.0)).level == "critical"


def test_a_site_that_has_just_started_may_lack_processes() -> None:
    look = Look(NOW, STALE_S, grace_s=60.0)
    young, old = report("logic", started_at=NOW - 5.0), report("logic", started_at=NOW - 61.0)
    assert judged([young], "beat", look=look) == Finding("ok", "beat", "not seen yet, the site has just started")
    assert judged([old], "beat", look=look).level == "critical"
    assert judged([], "beat", look=look).level == "critical"


@pytest.mark.parametrize("role", [*ROLES, "watch"])
def test_what_ended_before_the_site_was_started_again_is_not_missed_at_once(role: Role) -> None:
    old = [*(one for one in healthy() if one.role != role), report(role, age=3000.0)]
    started = [replace(one, started_at=NOW - (3600.0 if one.role == role else 20.0)) for one in old]
    look = replace(LOOK, grace_s=60.0)
    assert judged(started, role, look=look).ok
    later = [replace(one, started_at=NOW - 61.0) for one in started]
    assert judged(later, role, look=look).level == "critical"


def test_what_was_hidden_is_not_stale_for_that_time() -> None:
    old = [report("gpu", age=45.0)]
    assert judged(old, "gpu").level == "critical"
    assert judged(old, "gpu", look=Look(NOW, STALE_S, visible_since=NOW - 20.0)).ok


def test_nobody_is_to_blame_while_the_frames_redis_is_away() -> None:
    look = Look(NOW, STALE_S, frames_away=True)
    assert judged([report("gpu", age=45.0)], "gpu", look=look).level == "unknown"
    assert judged([report("producer", idle=45.0)], "producer", look=look).level == "unknown"


def test_logic_is_not_judged_when_beat_is_down_and_nothing_waits() -> None:
    silent = [report("logic", age=45.0), report("beat", age=45.0)]
    busy = replace(IDLE, tasks=1)
    assert judged(silent, "logic").level == "unknown"
    assert judged(silent, "logic", busy).level == "critical"
    assert judged([silent[0], report("beat")], "logic").level == "critical"


@pytest.mark.parametrize(
    ("changes", "said"), [({"oldest_result_s": 31.0}, "result"), ({"oldest_task_s": 31.0}, "task")]
)
def test_logic_that_is_late_is_warned_of(changes: dict[str, Any], said: str) -> None:
    found = judged(healthy(), "logic", replace(IDLE, **changes))
    assert found.level == "warning"
    assert f"oldest {said} 31.0 s" in found.text


def test_a_watcher_is_missed_only_where_one_was_seen() -> None:
    assert "watch" not in {one.subject for one in assess(healthy(), IDLE, ["box-3"], LOOK)}
    assert judged([*healthy(), report("watch")], "watch").ok
    assert judged([*healthy(), report("watch", age=45.0)], "watch").level == "critical"


@pytest.mark.parametrize(
    ("levels", "expected"),
    [((), "ok"), (("ok", "warning"), "warning"), (("warning", "unknown"), "unknown"), (("critical", "ok"), "critical")],
)
def test_the_worst_of_all_counts(levels: tuple[Level, ...], expected: Level) -> None:
    assert worst(Finding(level, "a", "b") for level in levels) == expected


def test_one_living_process_is_enough_for_a_role() -> None:
    found = judged(
        [report("logic", age=500.0, pid=1), report("logic", idle=None, pid=2), report("logic", pid=3)], "logic"
    )
    assert found.ok
    assert found.text.startswith("2 running")


def test_without_cameras_nobody_has_to_make_progress() -> None:
    assert judged([report("gpu", idle=None)], "gpu", cameras=()).ok
    assert judged([report("gpu", idle=500.0)], "gpu", cameras=()).ok
    assert judged([], "gpu", cameras=()).ok
    assert not judged([], "logic", cameras=()).ok


def test_a_count_is_shown_as_one() -> None:
    counted = [report("producer", facts={"backlog": 1.0, "late_ms": 2.5}, cameras={"box-3": camera()})]
    assert judged(counted, "producer").text.endswith("backlog=1 late_ms=2.5")


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
    found = judged([report("producer", cameras={"box-3": told})], "camera box-3")
    assert (found.level, found.text) == ("ok" if ok else "critical", said)


def test_a_first_connection_takes_its_time() -> None:
    new = CameraReport("connecting", since=NOW - 5.0, last_frame_at=None, reason="", decoder="", frames=0)
    for told, ok in ((new, True), (replace(new, since=NOW - 45.0), False), (replace(new, state="failed"), False)):
        assert judged([report("producer", cameras={"box-3": told})], "camera box-3").ok is ok


def test_a_camera_that_nobody_reads_is_down() -> None:
    assert judged(healthy(), "camera box-9", cameras=["box-9"]) == Finding(
        "critical", "camera box-9", "no producer reads it"
    )


def test_of_two_producers_the_one_with_the_newer_frame_counts() -> None:
    old = report("producer", age=200.0, cameras={"box-3": camera(age=200.0)}, pid=1)
    new = report("producer", cameras={"box-3": camera()}, pid=2)
    assert judged([old, new], "camera box-3").ok


@pytest.mark.parametrize(
    ("changes", "subject", "level", "said"),
    [
        (
            {"outbox": 999, "oldest_outbox_s": 29.0},
            "outbox",
            "ok",
            "999 alerts and minutes not stored yet, oldest 29 s",
        ),
        (
            {"outbox": 1, "oldest_outbox_s": 31.0},
            "outbox",
            "critical",
            "1 alerts and minutes not stored yet, oldest 31 s",
        ),
        ({"pending_deliveries": 3, "oldest_delivery_s": 29.0}, "deliveries", "ok", "3 pending, oldest 29 s"),
        ({"pending_deliveries": 3, "oldest_delivery_s": 31.0}, "deliveries", "warning", "3 pending, oldest 31 s"),
        ({"pending_deliveries": 3, "oldest_delivery_s": 601.0}, "deliveries", "critical", "3 pending, oldest 601 s"),
        ({"dead_letters": {"frames": 2, "alerts": 1}}, "dead letters", "ok", "1 alerts, 2 frames"),
        ({"frames": 5, "mailboxes": 6, "tasks": 7}, "queues", "ok", "frames 5, results 6, tasks 7"),
    ],
)
def test_queues_are_judged(changes: dict[str, Any], subject: str, level: Level, said: str) -> None:
    depths = replace(IDLE, **changes)
    found = judged(healthy(), subject, depths)
    assert found.level == level
    assert said in found.text


def test_only_what_has_changed_is_news() -> None:
    dark, dead = Finding("critical", "camera box-3", "no frame for 15 s"), Finding("warning", "outbox", "3 wait")
    news = News()
    assert news.among([Finding("ok", "redis", "answers"), dark]) == [dark]
    assert news.among([dark, dead]) == [dead]
    assert news.among([replace(dark, text="no frame for 20 s"), dead]) == []
    again = replace(dark, level="ok", text="running")
    assert news.among([again, dead]) == [again]
    assert news.among([again, dead]) == []


@pytest.mark.parametrize(("silent_s", "level"), [(STALE_S - 1, "ok"), (STALE_S + 1, "critical")])
def test_a_producer_is_as_well_as_the_processes_that_read_for_it(silent_s: float, level: Level) -> None:
    reading = report("producer", cameras={"box-3": camera()}, facts={SILENT_READER_S: silent_s})
    idle = report("producer", cameras={}, pid=2)
    found = judged([reading, idle, *healthy()[1:]], "producer")
    assert found.level == level
    assert found.since == (NOW - silent_s if level == "critical" else None)


def test_what_a_producer_said_that_is_gone_says_nothing_of_its_readers() -> None:
    gone = report("producer", age=STALE_S + 1, pid=2, facts={SILENT_READER_S: STALE_S + 1})
    assert judged([gone, *healthy()], "producer").ok
