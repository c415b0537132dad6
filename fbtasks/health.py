"""Health by progress: what each process last did, and what that says of the whole.

Every long-running process writes one small report a second. A process that hangs stops writing, or writes the same
progress again; both show. Whether somebody ought to have made progress is told by who stands before it: a GPU worker
that nobody sends pictures to is idle, not stuck. `assess` turns the reports into findings and knows nothing of Redis
or clocks.
"""

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import msgspec
from redis import Redis

from fbtasks.keys import HEALTH_TTL_S, Keys
from fbtasks.redaction import redact

Role = Literal["producer", "gpu", "logic", "beat", "watch"]
REPORT_EVERY_S = 1.0
ROLES: tuple[Role, ...] = ("producer", "gpu", "logic", "beat")
"""Those without which nobody watches; `watch`, the watcher outside, is missed only where it was seen."""
Level = Literal["ok", "warning", "unknown", "critical"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "unknown", "critical")
"""From good to bad."""
CAMERA = "camera "
"""Begins the subject of a finding on a camera."""
STUCK_S = 30.0
"""An outbox whose first entry has waited longer is stuck: a drain takes seconds, and beat starts one every two."""
UNDELIVERED_S = 600.0
"""A delivery that has failed for longer does not come through by itself; shorter outages of a backend are usual."""
CONNECTING = "connecting"
"""State of a camera whose first connection is being made."""
PREPARING = "preparing"
"""The fact `state` of a GPU worker that opens its model."""
PREPARING_S = 900.0
"""TensorRT compiles an engine in 2 to 5 minutes, and there may be two."""
SILENT_READER_S = "silent_reader_s"
"""The fact of a producer: for how long one of the processes that read for it has been silent, seconds."""
_STARTED_AT = time.time()


@dataclass(frozen=True)
class CameraReport:
    """One camera as its producer sees it.

    Attributes:
        state: connecting, running, stalled, reconnecting, failed or disabled; see `fbtasks.producer.status`.
        since: when it came into that state, unix seconds.
        last_frame_at: capture time of its last good frame, unix seconds; None before the first.
        reason: why it is not running; never holds the URL.
        decoder: what really decodes: software, or the name of the hardware.
        frames: frames sent since the start of the producer.
        blind: why its pictures show nothing of the box; empty while they do.
    """

    state: str
    since: float
    last_frame_at: float | None
    reason: str
    decoder: str
    frames: int
    blind: str = ""


@dataclass(frozen=True)
class Report:
    """What one process tells of itself.

    Attributes:
        role, host, pid: who.
        at: when it told, unix seconds.
        progress_at: when it last did its work (a frame, a batch, a step), unix seconds; None before the first.
        facts: anything a reader may want to see: provider, model, queue length.
        counters: totals since the start of the process.
        cameras: of a producer, its cameras by id.
        started_at: when the process started, unix seconds; None of a build that does not tell.
    """

    role: Role
    host: str
    pid: int
    at: float
    progress_at: float | None
    facts: dict[str, str | float] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    cameras: dict[str, CameraReport] = field(default_factory=dict)
    started_at: float | None = None

    @property
    def process(self) -> str:
        return f"{self.role}:{self.host}:{self.pid}"


def report_of(role: Role, *, now: float, progress_at: float | None, **rest: Any) -> Report:
    """A report of this process."""
    return Report(
        role=role,
        host=socket.gethostname(),
        pid=os.getpid(),
        at=now,
        progress_at=progress_at,
        started_at=_STARTED_AT,
        **rest,
    )


class HealthBoard:
    """The reports in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def write(self, report: Report) -> None:
        self._redis.set(self._keys.health(report.process), msgspec.json.encode(report), ex=HEALTH_TTL_S)

    def remove(self, report: Report) -> None:
        """Forget a process that ends on purpose, so that it is not taken for dead."""
        self._redis.delete(self._keys.health(report.process))

    def read(self) -> list[Report]:
        """All reports there are, in order of role, host and process."""
        found = sorted(cast(set[bytes], set(self._redis.scan_iter(match=self._keys.health("*"), count=1000))))
        values = cast(list[bytes | None], self._redis.mget(found)) if found else []
        return [report for report in map(_report, values) if report is not None]


def _report(value: bytes | None) -> Report | None:
    """A report that this build cannot read counts as none: its process then shows as never seen, not as well."""
    try:
        return msgspec.json.decode(value, type=Report) if value is not None else None
    except msgspec.DecodeError:
        return None


@dataclass(frozen=True)
class Finding:
    """One line of the health report.

    Attributes:
        level: `unknown` where something else that is down keeps us from seeing it.
        subject: what it is about: a process, a camera, a queue.
        text: what was seen, with figures.
        since: since when it is so, unix seconds; None where that is not known.
        figures: what monitoring systems may draw, by name.
    """

    level: Level
    subject: str
    text: str
    since: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.level == "ok"


@dataclass(frozen=True)
class Depths:
    """Lengths of the queues, and the age of what waits longest where it is known (seconds)."""

    frames: int
    mailboxes: int
    outbox: int
    oldest_outbox_s: float | None
    tasks: int
    pending_deliveries: int
    oldest_delivery_s: float | None
    dead_letters: dict[str, int]
    oldest_frame_s: float | None = None
    oldest_result_s: float | None = None
    oldest_task_s: float | None = None


@dataclass(frozen=True)
class Look:
    """When one looks, and with how much patience.

    Attributes:
        now: unix seconds.
        stale_after_s: no progress for longer is down.
        grace_s: a site that started less long ago may still lack processes.
        visible_since: since when the reports can be seen at all, unix seconds; nothing counts as stale for earlier.
        frames_away: the frames' Redis does not answer, so nobody can send or take pictures.
    """

    now: float
    stale_after_s: float
    grace_s: float = 0.0
    visible_since: float = 0.0
    frames_away: bool = False

    def is_stale(self, at: float) -> bool:
        """Whether what was last seen `at` (unix seconds) is too old."""
        return self.now - max(at, self.visible_since) > self.stale_after_s

    def ago(self, at: float) -> str:
        """How long ago that was, in words."""
        return f"{self.now - at:.1f} s ago"


def assess(reports: Sequence[Report], depths: Depths, cameras: Sequence[str], look: Look) -> list[Finding]:
    """Findings on every role, every configured camera and every queue.

    Args:
        cameras: identifiers of the cameras that ought to be read.
    """
    return [
        *_roles(reports, depths, bool(cameras), look),
        *(_camera(camera, reports, look) for camera in cameras),
        *_queues(depths, look),
    ]


def _roles(reports: Sequence[Report], depths: Depths, has_cameras: bool, look: Look) -> list[Finding]:
    """Each role, judged by what the one before it has last done."""
    by_role = {role: [report for report in reports if report.role == role] for role in (*ROLES, "watch")}
    seen_at = _latest(
        camera.last_frame_at
        for report in by_role["producer"]
        if not look.is_stale(report.at)
        for camera in report.cameras.values()
    )
    pushed_at = _latest(report.progress_at for report in by_role["producer"])
    run_at = _latest(report.progress_at for report in by_role["gpu"])
    first_at = min((report.started_at or 0.0 for report in reports if not look.is_stale(report.at)), default=0.0)
    is_new = look.now - first_at <= look.grace_s
    expects = {role: has_cameras or role not in ("producer", "gpu") for role in ROLES}
    due_at = {"producer": seen_at, "gpu": pushed_at, "logic": run_at, "beat": None}
    found = {
        role: _role(role, by_role[role], due_at[role], look, is_new=is_new, is_expected=expects[role]) for role in ROLES
    }
    found["producer"] = _with_silent_reader(found["producer"], by_role["producer"], look)
    if look.frames_away:
        for role in ("producer", "gpu"):
            found[role] = Finding("unknown", role, "cannot work while the frames' Redis is away")
    found["gpu"] = _with_age(found["gpu"], "oldest picture", depths.oldest_frame_s)
    is_silent = by_role["logic"] and all(look.is_stale(report.at) for report in by_role["logic"])
    if is_silent and not found["beat"].ok and not depths.tasks:
        text = f"{found['logic'].text}; with beat down nobody may have sent it anything"
        found["logic"] = Finding("unknown", "logic", text)
    found["logic"] = _logic(found["logic"], depths, look)
    watchers = by_role["watch"]
    return [*found.values(), *([_role("watch", watchers, None, look, is_new=is_new)] if watchers else [])]


def _with_silent_reader(producer: Finding, mine: Sequence[Report], look: Look) -> Finding:
    """A producer is well only when the processes are that read for it; it replaces one, but some seconds later."""
    live = [report for report in mine if not look.is_stale(report.at)]
    silent_s = max((float(report.facts.get(SILENT_READER_S, 0.0)) for report in live), default=0.0)
    if not producer.ok or silent_s <= look.stale_after_s:
        return producer
    text = f"a process that reads cameras has been silent for {silent_s:.0f} s"
    return Finding("critical", "producer", text, since=look.now - silent_s)


def _latest(times: Iterable[float | None]) -> float | None:
    return max((at for at in times if at is not None), default=None)


def _role(
    role: Role, mine: Sequence[Report], due_at: float | None, look: Look, *, is_new: bool, is_expected: bool = True
) -> Finding:
    """One role.

    Args:
        mine: its reports.
        due_at: when there was last something to do for it, unix seconds.
        is_new: the site has just started.
        is_expected: somebody needs it.
    """
    live = [report for report in mine if not look.is_stale(report.at)]
    if not live and not is_expected:
        return Finding("ok", role, "not running, and no camera needs it")
    if not live:
        return _absent(role, mine, look, is_new=is_new)
    facts = " ".join(f"{name}={_plain(value)}" for name, value in live[0].facts.items())
    progress = _latest(report.progress_at for report in mine)
    if progress is None:
        return _idle(role, mine, due_at, look, facts)
    text = f"{len(live)} running, last progress {look.ago(progress)} {facts}".rstrip()
    if due_at is not None and due_at - max(progress, look.visible_since) > look.stale_after_s:
        return Finding("critical", role, text, since=progress)
    return Finding("ok", role, text)


def _absent(role: Role, old: Sequence[Report], look: Look, *, is_new: bool) -> Finding:
    """A role that no process has; what is left of a site that was stopped says nothing of the one that starts."""
    if is_new:
        return Finding("ok", role, "not seen yet, the site has just started")
    if not old:
        return Finding("critical", role, "never seen")
    last = max(report.at for report in old)
    return Finding("critical", role, f"last heard of {look.now - last:.0f} s ago", since=last)


def _plain(value: str | float) -> str:
    """A whole number without the `.0` that it has from JSON."""
    return value if isinstance(value, str) else f"{value:g}"


def _idle(role: Role, mine: Sequence[Report], due_at: float | None, look: Look, facts: str) -> Finding:
    """A role that has done nothing yet, by its own fault when there was something to do for too long.

    Those of its processes that have ended count too: one that starts and fails for ever is not new for ever.
    """
    began = min(report.started_at or 0.0 for report in mine)
    patience_s = PREPARING_S if mine[-1].facts.get("state") == PREPARING else look.grace_s
    text = f"running, nothing done yet {facts}".rstrip()
    is_late = due_at is not None and due_at - max(began, look.visible_since) > max(patience_s, look.stale_after_s)
    return Finding("critical", role, text, since=began) if is_late else Finding("ok", role, text)


def _logic(logic: Finding, depths: Depths, look: Look) -> Finding:
    late_s = max((age for age in (depths.oldest_result_s, depths.oldest_task_s) if age is not None), default=0.0)
    level: Level = "warning" if logic.ok and late_s > look.stale_after_s else logic.level
    told = _with_age(logic, "oldest result", depths.oldest_result_s)
    told = _with_age(told, "oldest task", depths.oldest_task_s)
    return replace(told, level=level)


def _with_age(finding: Finding, what: str, age_s: float | None) -> Finding:
    return finding if age_s is None else replace(finding, text=f"{finding.text}, {what} {age_s:.1f} s")


def _camera(camera: str, reports: Sequence[Report], look: Look) -> Finding:
    subject = f"{CAMERA}{camera}"
    told = [report.cameras[camera] for report in reports if camera in report.cameras]
    if not told:
        return Finding("critical", subject, "no producer reads it")
    seen = max(told, key=lambda report: report.last_frame_at or 0.0)
    if seen.last_frame_at is None:
        if seen.state == CONNECTING and not look.is_stale(seen.since):
            return Finding("ok", subject, "connecting, no frame yet")
        return Finding("critical", subject, f"{seen.state}, no frame yet {seen.reason}".rstrip(), since=seen.since)
    text = f"{seen.state}, last frame {look.ago(seen.last_frame_at)} {seen.reason or seen.blind}".rstrip()
    stale = look.now - seen.last_frame_at > look.stale_after_s or bool(seen.blind)
    return Finding("critical" if stale else "ok", subject, text, since=seen.last_frame_at if stale else None)


def _queues(depths: Depths, look: Look) -> list[Finding]:
    dead = ", ".join(f"{count} {kind}" for kind, count in sorted(depths.dead_letters.items())) or "none"
    outbox = f"{depths.outbox} alerts and minutes not stored yet"
    deliveries = f"{depths.pending_deliveries} pending"
    waiting = {"frames": depths.frames, "results": depths.mailboxes, "tasks": depths.tasks}
    return [
        Finding(
            "ok",
            "queues",
            ", ".join(f"{name} {length}" for name, length in waiting.items()),
            figures={**waiting, "outbox": depths.outbox, "deliveries": depths.pending_deliveries},
        ),
        _waiting("outbox", outbox, depths.oldest_outbox_s, look, critical_after_s=STUCK_S),
        _waiting("deliveries", deliveries, depths.oldest_delivery_s, look, critical_after_s=UNDELIVERED_S),
        Finding("ok", "dead letters", dead),
    ]


def _waiting(subject: str, text: str, oldest_s: float | None, look: Look, *, critical_after_s: float) -> Finding:
    if oldest_s is None:
        return Finding("ok", subject, text)
    level: Level = "ok"
    if oldest_s > look.stale_after_s:
        level = "critical" if oldest_s > max(critical_after_s, look.stale_after_s) else "warning"
    since = None if level == "ok" else look.now - oldest_s
    return Finding(level, subject, f"{text}, oldest {oldest_s:.0f} s", since=since)


class News:
    """Which findings differ from those of the last look: a log that repeats itself is not read."""

    def __init__(self) -> None:
        self._levels: dict[str, Level] = {}

    def among(self, found: Sequence[Finding]) -> list[Finding]:
        """Those whose level is another than before; at the first look those that are not ok."""
        news = [one for one in found if one.level != self._levels.get(one.subject, "ok")]
        self._levels = {one.subject: one.level for one in found}
        return news


def worst(findings: Iterable[Finding]) -> Level:
    """The gravest level of all; what is unknown is graver than a warning, for it may be anything."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")


def summary(found: Iterable[Finding]) -> str:
    """One line: what is not as it should be, the gravest first."""
    bad = [finding for finding in found if not finding.ok]
    told = [
        f"{finding.subject}: {finding.text}"
        for level in ("critical", "warning", "unknown")
        for finding in bad
        if finding.level == level
    ]
    return redact("; ".join(told)) or "all is well"
