"""What `fbtasks top` sees: decisions and alerts as they are told, the health board, the queues."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event
from time import monotonic, time
from typing import Any

import msgspec
from redis.client import PubSub

from fbtasks.alert import Alert
from fbtasks.errors import StoreUnavailable
from fbtasks.health import HealthBoard, Report
from fbtasks.keys import Keys
from fbtasks.latency import percentiles
from fbtasks.logic.pipeline import Decision
from fbtasks.logic.posture import subject
from fbtasks.logic.queues import Queue, queues
from fbtasks.logic.store import Store, open_store
from fbtasks.redaction import redact
from fbtasks.settings import Settings
from fbtasks.transport import REDIS_AWAY, DeadLetters, connect

STAGES = ("capture", "queue", "model", "logic", "total")
"""Capture to sent, sent to taken, taken to the end of the model's run, that to the decision; capture to decision."""
ALERTS = 50
FRESH_S = 3.0
"""Reports are written every second; a producer's older one says nothing of its cameras now."""


@dataclass(frozen=True, slots=True)
class CameraLine:
    """One camera.

    Attributes:
        state: as its producer reports it; `unknown` where none does.
        detail: why it is not running.
        fps: decisions per second.
        lag_ms: capture to decision, median; None without decisions.
        silent_s: since the last decision's picture was taken; None without one.
        seen: what is in its last picture.
    """

    id: str
    state: str
    detail: str
    fps: float
    lag_ms: float | None
    silent_s: float | None
    seen: str


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """One process: who, how old its last report and its last progress are (seconds), and what it tells."""

    role: str
    host: str
    pid: int
    reported_s: float
    progress_s: float | None
    facts: dict[str, str | float]


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One alert, the time in unix seconds."""

    at: float
    camera_id: str
    event: str
    severity: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is shown.

    Attributes:
        at: unix seconds.
        seconds: what rates and percentiles are over.
        trouble: why there is nothing new; empty when all is well.
        decisions: how many in that time.
        stages: p50, p95 and p99 of each stage, milliseconds.
    """

    at: float
    seconds: float
    trouble: str
    decisions: int
    cameras: list[CameraLine]
    stages: dict[str, dict[str, float]]
    queues: list[Queue]
    dead_letters: dict[str, int]
    processes: list[ProcessLine]
    alerts: list[AlertLine]


@dataclass(slots=True)
class _Heard:
    """One decision: when it was heard, its capture time (unix seconds), and the time of each stage (seconds)."""

    heard_at: float
    captured_at: float
    stages: tuple[float, ...]
    seen: str


@dataclass(slots=True)
class _Board:
    """What was last read of the site."""

    reports: list[Report] = field(default_factory=list)
    queues: list[Queue] = field(default_factory=list)
    dead_letters: dict[str, int] = field(default_factory=dict)
    trouble: str = ""


class Observer:
    """Hears what the site tells. Redis being away is shown, and waited for.

    Args:
        window_s: what rates and percentiles are over, seconds.
    """

    def __init__(self, settings: Settings, *, window_s: float) -> None:
        self._settings = settings
        self._keys = Keys(settings.redis.prefix)
        self._state = connect(settings.state_url, settings.redis.timeout_s)
        self._frames = connect(settings.frames_url, settings.redis.timeout_s)
        self._window_s = window_s
        self._began = monotonic()
        self._channels: PubSub | None = None
        self._heard: dict[str, deque[_Heard]] = defaultdict(deque)
        self._alerts: deque[AlertLine] = deque(maxlen=ALERTS)
        self._store: Store | None = None

    def listen(self, seconds: float, stop: Event) -> None:
        """Hear what is told in this time, or until `stop`."""
        until = monotonic() + seconds
        while not stop.is_set() and (left := until - monotonic()) > 0:
            try:
                message = self._subscribed().get_message(timeout=min(left, 0.2))
            except REDIS_AWAY:  # it subscribes again by itself when Redis is back
                stop.wait(min(left, 0.2))
                continue
            if message is not None:
                self._hear(message, time())

    def snapshot(self, now: float) -> Snapshot:
        """What is to be seen at `now` (unix seconds)."""
        for camera_id in list(self._heard):
            self._forget(self._heard[camera_id], now)
        seconds = max(1.0, min(self._window_s, monotonic() - self._began))
        board = self._read(now)
        heard = [one for told in self._heard.values() for one in told if one.heard_at > now - self._window_s]
        stages = {name: percentiles([one.stages[number] for one in heard]) for number, name in enumerate(STAGES)}
        return Snapshot(
            at=now,
            seconds=round(seconds, 1),
            trouble=board.trouble,
            decisions=len(heard),
            cameras=self._cameras(board.reports, now, seconds),
            stages={name: figures for name, figures in stages.items() if figures},
            queues=board.queues,
            dead_letters=board.dead_letters,
            processes=[_process(report, now) for report in board.reports],
            alerts=sorted(self._alerts, key=lambda alert: alert.at, reverse=True),
        )

    def _subscribed(self) -> PubSub:
        if self._channels is None:
            channels = self._state.pubsub(ignore_subscribe_messages=True)
            channels.subscribe(self._keys.decisions_channel, self._keys.alerts_channel)
            self._channels = channels
        return self._channels

    def _hear(self, message: dict[str, Any], now: float) -> None:
        if message["channel"].decode() == self._keys.alerts_channel:
            self._alerts.append(_alert(Alert.model_validate_json(message["data"])))
            return
        decision = msgspec.json.decode(message["data"], type=Decision)
        times = (decision.captured_at, decision.sent_at, decision.taken_at, decision.inferred_at, now)
        stages = (*(end - begin for begin, end in pairwise(times)), now - decision.captured_at)
        self._heard[decision.camera_id].append(_Heard(now, decision.captured_at, stages, _seen(decision)))

    def _forget(self, told: deque[_Heard], now: float) -> None:
        """All but the last one, which says since when a camera is silent."""
        while len(told) > 1 and told[0].heard_at <= now - self._window_s:
            told.popleft()

    def _read(self, now: float) -> _Board:
        try:
            board = _Board(HealthBoard(self._state, self._keys).read())
            board.dead_letters = DeadLetters(self._state, self._keys).counts()
            board.queues = queues(self._settings, self._state, self._frames, self._known_store(board.reports), now=now)
        except REDIS_AWAY as error:
            return _Board(trouble=f"Redis is away: {redact(str(error)).rstrip('.')}")
        return board if board.reports else _Board(trouble="nothing runs here; is `fbtasks up` running?")

    def _known_store(self, reports: list[Report]) -> Store | None:
        """The store, once something works: asked before, it would make an empty database."""
        if self._store is None and any(report.role == "logic" for report in reports):
            self._store = open_store(self._settings.store_url)
            try:
                known = {(alert.at, alert.message) for alert in self._alerts}
                before = [_alert(alert) for alert in self._store.recent_alerts(ALERTS)]
            except StoreUnavailable:
                return None
            self._alerts.extendleft(line for line in before if (line.at, line.message) not in known)
        return self._store

    def _cameras(self, reports: list[Report], now: float, seconds: float) -> list[CameraLine]:
        told = {
            camera: one for report in reports if now - report.at < FRESH_S for camera, one in report.cameras.items()
        }
        lines = []
        for camera in sorted(told.keys() | self._heard.keys()):
            heard = self._heard.get(camera, ())
            recent = [one for one in heard if one.heard_at > now - self._window_s]
            last = heard[-1] if heard else None
            report = told.get(camera)
            lines.append(
                CameraLine(
                    id=camera,
                    state=report.state if report else "unknown",
                    detail=redact(report.reason) if report else "no producer reads it",
                    fps=round(len(recent) / seconds, 2),
                    lag_ms=percentiles([one.stages[-1] for one in recent]).get("p50"),
                    silent_s=round(max(0.0, now - last.captured_at), 1) if last else None,
                    seen=last.seen if last else "",
                )
            )
        return lines


def _alert(alert: Alert) -> AlertLine:
    return AlertLine(alert.at, alert.camera_id, alert.event, alert.severity, redact(alert.message))


def _process(report: Report, now: float) -> ProcessLine:
    progress_s = None if report.progress_at is None else round(max(0.0, now - report.progress_at), 1)
    return ProcessLine(
        report.role, report.host, report.pid, round(max(0.0, now - report.at), 1), progress_s, dict(report.facts)
    )


def _seen(decision: Decision) -> str:
    """In a few words, `horse lying, person`."""
    if decision.blind:
        return f"blind: {decision.blind}"
    words = [
        f"{subject(track.class_name)} {track.posture}" if track.kind == "animal" else subject(track.class_name)
        for track in decision.tracks
    ]
    return ", ".join(sorted(words)) or "empty"
