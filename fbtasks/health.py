"""Health by progress: what each process last did, and what that says of the whole.

Every long-running process writes one small report a second. A process that hangs stops writing, or writes the same
progress again; both show. `assess` turns the reports into findings and knows nothing of Redis or clocks.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import msgspec
from redis import Redis

from fbtasks.keys import HEALTH_TTL_S, Keys

Role = Literal["producer", "gpu", "logic", "beat"]
REPORT_EVERY_S = 1.0
ROLES: tuple[Role, ...] = ("producer", "gpu", "logic", "beat")


@dataclass(frozen=True)
class CameraReport:
    """One camera as its producer sees it.

    Attributes:
        state: connecting, running or reconnecting.
        since: when it came into that state, unix seconds.
        last_frame_at: capture time of its last good frame, unix seconds; None before the first.
        reason: why it is not running; never holds the URL.
        decoder: what really decodes: software, or the name of the hardware.
        frames: frames sent since the start of the producer.
    """

    state: str
    since: float
    last_frame_at: float | None
    reason: str
    decoder: str
    frames: int


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
    """

    role: Role
    host: str
    pid: int
    at: float
    progress_at: float | None
    facts: dict[str, str | float] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    cameras: dict[str, CameraReport] = field(default_factory=dict)

    @property
    def process(self) -> str:
        return f"{self.role}:{self.host}:{self.pid}"


def report_of(role: Role, *, now: float, progress_at: float | None, **rest: Any) -> Report:
    """A report of this process."""
    return Report(role=role, host=socket.gethostname(), pid=os.getpid(), at=now, progress_at=progress_at, **rest)


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
        ok: whether it is as it should be.
        subject: what it is about: a process, a camera, a queue.
        text: what was seen, with figures.
    """

    ok: bool
    subject: str
    text: str


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


def assess(
    reports: Sequence[Report], depths: Depths, cameras: Sequence[str], *, now: float, stale_after_s: float
) -> list[Finding]:
    """Findings on every role, every configured camera and every queue.

    Args:
        cameras: identifiers of the cameras that ought to be read.
        now: unix seconds.
        stale_after_s: no progress for longer is down.
    """
    findings = [_role(role, reports, bool(cameras), now, stale_after_s) for role in ROLES]
    findings += [_camera(camera, reports, now, stale_after_s) for camera in cameras]
    return findings + _queues(depths, stale_after_s)


def _role(role: Role, reports: Sequence[Report], expects_frames: bool, now: float, stale_after_s: float) -> Finding:
    mine = [report for report in reports if report.role == role]
    live = [report for report in mine if now - report.at <= stale_after_s]
    if not live:
        last = max((report.at for report in mine), default=None)
        return Finding(False, role, "never seen" if last is None else f"last heard of {now - last:.0f} s ago")
    progress = max((report.progress_at for report in live if report.progress_at is not None), default=None)
    facts = " ".join(f"{name}={value}" for name, value in live[0].facts.items())
    if progress is None:
        return Finding(not expects_frames, role, f"running, nothing done yet {facts}".rstrip())
    idle = now - progress
    stuck = expects_frames and idle > stale_after_s
    return Finding(not stuck, role, f"{len(live)} running, last progress {idle:.1f} s ago {facts}".rstrip())


def _camera(camera: str, reports: Sequence[Report], now: float, stale_after_s: float) -> Finding:
    told = [report.cameras[camera] for report in reports if camera in report.cameras]
    if not told:
        return Finding(False, f"camera {camera}", "no producer reads it")
    seen = max(told, key=lambda report: report.last_frame_at or 0.0)
    if seen.last_frame_at is None:
        return Finding(False, f"camera {camera}", f"{seen.state}, no frame yet {seen.reason}".rstrip())
    age = now - seen.last_frame_at
    text = f"{seen.state}, last frame {age:.1f} s ago {seen.reason}".rstrip()
    return Finding(age <= stale_after_s, f"camera {camera}", text)


def _queues(depths: Depths, stale_after_s: float) -> list[Finding]:
    dead = ", ".join(f"{count} {kind}" for kind, count in sorted(depths.dead_letters.items())) or "none"
    return [
        Finding(True, "queues", f"frames {depths.frames}, results {depths.mailboxes}, tasks {depths.tasks}"),
        _waiting("outbox", f"{depths.outbox} alerts and minutes not stored yet", depths.oldest_outbox_s, stale_after_s),
        _waiting("deliveries", f"{depths.pending_deliveries} pending", depths.oldest_delivery_s, stale_after_s),
        Finding(True, "dead letters", dead),
    ]


def _waiting(subject: str, text: str, oldest_s: float | None, stale_after_s: float) -> Finding:
    if oldest_s is None:
        return Finding(True, subject, text)
    return Finding(oldest_s <= stale_after_s, subject, f"{text}, oldest {oldest_s:.0f} s")
