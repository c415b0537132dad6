"""The Celery tasks. Thin: each takes what it needs from the runtime and calls what does the work."""

import logging
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from time import monotonic, time

from celery.signals import worker_init
from pydantic import ValidationError
from redis import Redis

from fbtasks.alert import Alert
from fbtasks.celery import (
    CHECK_HEALTH,
    DELIVER,
    FORGET,
    PROCESS_CAMERA,
    REPORT_NIGHT,
    SHOW,
    STORE_ALERTS,
    SWEEP,
    WAKE_UP_EXPIRES_S,
    app,
    settings,
)
from fbtasks.errors import (
    BadMessage,
    ConfigError,
    DeliveryFailed,
    StoreUnavailable,
)
from fbtasks.logic import exporter
from fbtasks.logic.camera_changes import store_changes
from fbtasks.logic.checkup import findings
from fbtasks.logic.delivery import Outcome, deliver_due
from fbtasks.logic.evidence_tasks import begin_evidence, refuse_missing_libraries
from fbtasks.logic.minutes import Minute, decode_minute, is_minute
from fbtasks.logic.moment import decided
from fbtasks.logic.pace import Pace
from fbtasks.logic.redis_servers import FRAMES
from fbtasks.logic.refusal import refuse_wrong_settings
from fbtasks.logic.reports import write_last
from fbtasks.logic.runtime import Runtime, runtime
from fbtasks.logic.silence import silences
from fbtasks.logic.sinks import Shows
from fbtasks.logic.sinks.making import sinks_of
from fbtasks.logic.state import state_from_open_episodes
from fbtasks.logic.store import open_store
from fbtasks.logic.system_book import tell_system
from fbtasks.logic.turn import take_turn
from fbtasks.logic.weather import RESENT_AFTER_S, WEATHER, held
from fbtasks.mailbox import committed_at
from fbtasks.wire import encode

log = logging.getLogger(__name__)

ALERTS_AT_ONCE = 100
LOGGED_AS = {
    "ok": logging.INFO,
    "warning": logging.WARNING,
    "unknown": logging.WARNING,
    "critical": logging.ERROR,
}
DELIVERY_LIMIT_S = 30.0
"""A delivery task ends after this long; the sweep sends another for what is left."""
SLACK_S = 15.0
"""For the store and a busy machine; with the usual `timeout_s`, a task that hangs is gone before its lock is."""
CHECK_EXPIRES_S = 15.0
"""Of a check whose process died; as it waits a few seconds for each server, it takes no longer."""
MINUTES_IN_PIECE = 1000
MINUTE_PIECES = 100
"""As many may go in one run; 100 cameras with two tracks each write 3,000 rows between two runs."""
EPISODES_IN_PIECE = 100
EPISODE_PIECES = 20
REPORT_AFTER_S = 120.0
"""By then the last minutes of a night are in the store, unless something is down."""


@worker_init.connect
def _prepare(**_: object) -> None:
    """Before the worker forks. A store that is away now is brought up to date by the first task that reaches it.

    Celery logs what raises in here and goes on without it; only `SystemExit` ends a worker that could do no task.
    """
    try:
        refuse_wrong_settings(settings)
        # Here, unlike on a camera's machine, their libraries must be there.
        sinks_of(settings, Redis())
        refuse_missing_libraries()
        _migrate()
    except StoreUnavailable as error:
        log.warning("%s", error)
    except ConfigError as error:
        raise SystemExit(f"fbtasks: {error}") from None


def _migrate() -> None:
    store = open_store(settings.store_url)
    try:
        store.migrate()
    finally:
        store.close()


@app.task(name=PROCESS_CAMERA, throws=WEATHER)
def process_camera(camera_id: str) -> None:
    """Decide on all that waits in the camera's mailbox."""
    shared = runtime()
    deadline = monotonic() + settings.logic.task_limit_s
    done = take_turn(
        camera_id,
        shared.mailboxes,
        partial(shared.pipeline, camera_id),
        restore=lambda: state_from_open_episodes(camera_id, shared.store.open_episodes(camera_id)),
        bury=lambda refused: _bury(shared, camera_id, refused),
        chunk=settings.logic.chunk,
        is_over=lambda: monotonic() >= deadline,
        record=lambda first_unseen, results: _record(shared, camera_id, first_unseen, results),
        decided=exporter.Steps(camera_id).decided,
    )
    exporter.note(done)
    if done.wake:
        process_camera.apply_async((camera_id,), expires=WAKE_UP_EXPIRES_S)
    if done.alerts:
        store_alerts.apply_async(expires=RESENT_AFTER_S)
    shared.report(done.decisions, done.late)


def _record(shared: Runtime, camera_id: str, first_unseen: str, results: Sequence[bytes]) -> None:
    if shared.recorder is not None:
        shared.recorder.record(camera_id, first_unseen, results)


def _bury(shared: Runtime, camera_id: str, refused: list[tuple[str, bytes]]) -> None:
    if refused:
        log.warning("camera %s: %d results refused, the first: %s", camera_id, len(refused), refused[0][0])
    shared.dead.add("results", refused, time())


@app.task(name=STORE_ALERTS, throws=WEATHER)
def store_alerts() -> None:
    """Move the outbox into the store, then send what that made due. Entries leave the outbox only once stored."""
    shared = runtime()
    while entries := shared.outbox.peek(ALERTS_AT_ONCE):
        alerts, over, refused = _parse(entries)
        if shared.evidence is not None:
            alerts = shared.evidence.attach(alerts)
        shared.store.record(alerts, shared.routes, time(), settings.storm.per_minute)
        shared.store.record_minutes(over)
        shared.dead.add("alerts", refused, time())
        begin_evidence(alerts)
        shared.outbox.remove([identifier for identifier, _ in entries])
        for alert in alerts:
            log.info("camera %s: %s %s: %s", alert.camera_id, alert.severity, alert.event, alert.message)
    _send_due(shared)


def _parse(
    entries: Iterable[tuple[bytes, bytes]],
) -> tuple[list[Alert], list[Minute], list[tuple[str, bytes]]]:
    """The alerts and minutes in the entries, and those that are neither, with the reason."""
    alerts, over, refused = [], [], []
    for identifier, entry in entries:
        try:
            if is_minute(entry):
                over.append(decode_minute(entry))
            else:
                alerts.append(decided(Alert.model_validate_json(entry), committed_at(identifier)))
        except (ValidationError, BadMessage) as error:
            refused.append((str(error), entry))
    return alerts, over, refused


def _send_due(shared: Runtime) -> None:
    now = time()
    shared.store.release(shared.routes, now, settings.storm.per_minute)
    shared.store.settle_held(now)
    for sink in shared.store.due_sinks(now):
        if shared.paces.read(sink).allows(now):
            deliver.apply_async((sink,), expires=RESENT_AFTER_S, time_limit=hangs_after_s([sink]))


def hangs_after_s(sinks: Collection[str]) -> float:
    """A task that talks to these sinks for longer hangs in one that keeps no time, and is killed with its process.

    Else each such task would hold another process of the worker, until none is left to decide.
    """
    timeouts = (table.timeout_s for name, table in settings.sinks.items() if name in sinks)
    return DELIVERY_LIMIT_S + SLACK_S + 2 * sum(timeouts)


@app.task(name=DELIVER, throws=WEATHER)
def deliver(sink: str) -> None:
    """Send what is due to one sink, in order within each episode, until nothing is due or the sink fails.

    One such task at a time for each sink, and one at a time for all sinks that have failed: where the line to the world
    hangs, and every sink with it, that holds one process of the worker, not all of them.
    """
    shared = runtime()
    with held(shared.redis, shared.keys.delivering(sink)) as is_mine:
        if not is_mine:
            return
        pace = shared.paces.read(sink)
        with held(shared.redis, shared.keys.probing) if pace.failures else nullcontext(True) as may_try:
            if may_try:
                _deliver_and_show(shared, sink, pace)


def _deliver_and_show(shared: Runtime, sink: str, pace: Pace) -> None:
    try:
        _deliver_due(shared, sink, pace)
    finally:
        shared.paces.write(sink, pace)
    _show(shared, sink)


def _deliver_due(shared: Runtime, sink: str, pace: Pace) -> None:
    began = monotonic()
    deadline = began + DELIVERY_LIMIT_S

    def note(outcome: Outcome) -> None:
        nonlocal began
        exporter.note_delivery(sink, outcome, monotonic() - began)
        began = monotonic()
        if outcome.dead:
            log.error("%d alerts for %s are given up: %s", outcome.dead, sink, outcome.error)
        if outcome.retry_at is not None:
            log.warning("delivery to %s failed: %s; next try in %.1f s", sink, outcome.error, pace.rest_until - time())

    deliver_due(
        shared.store,
        shared.sinks,
        sink,
        pace,
        settings=settings.delivery,
        clock=time,
        is_over=lambda: monotonic() >= deadline,
        note=note,
    )


@app.task(name=SHOW, throws=WEATHER, time_limit=hangs_after_s(settings.sinks))
def show() -> None:
    """Let every sink that shows what is the case show it."""
    shared = runtime()
    for sink in shared.sinks:
        _show(shared, sink)


def _show(shared: Runtime, name: str) -> None:
    sink = shared.sinks.get(name)
    if not isinstance(sink, Shows) or not shared.paces.read(name).allows(time()):
        return
    cameras = [camera.id for camera in shared.site().cameras if camera.enabled]
    open_alerts = [alert for camera_id in cameras for alert in shared.store.open_episodes(camera_id)]
    try:
        sink.show(open_alerts)
    except DeliveryFailed as failure:
        log.warning("%s does not show what is the case: %s", name, failure)
    except Exception:
        log.exception("a fault in the sink %s", name)  # the others show what they can


@app.task(name=SWEEP, throws=WEATHER)
def sweep() -> None:
    """What nobody else notices: cameras that fell silent or were not woken, alerts not stored, deliveries due."""
    shared = runtime()
    silent = silences(shared.site(), shared.mailboxes, shared.board, time())
    told = shared.mailboxes.push_if_empty({silence.camera_id: encode(silence) for silence in silent})
    for camera_id in [*told, *shared.mailboxes.wake_forgotten()]:
        process_camera.apply_async((camera_id,), expires=WAKE_UP_EXPIRES_S)
    if len(shared.outbox):
        store_alerts.apply_async(expires=RESENT_AFTER_S)
    else:
        _send_due(shared)
    store_changes(shared.camera_history, shared.store)
    shared.note_cameras(time())


@app.task(name=CHECK_HEALTH, throws=WEATHER)
def check_health() -> None:
    """Log what goes down and comes back, and make alerts of it. That this ran is the sign that the logic consumes.

    One at a time: each waits for a server that hangs, and together they would hold all processes of the worker.
    """
    shared = runtime()
    shared.report(0, 0)
    with held(shared.redis, shared.keys.checking, CHECK_EXPIRES_S) as is_mine:
        if is_mine:
            _check(shared, time())


def _check(shared: Runtime, now: float) -> None:
    found = findings(settings, shared.redis, shared.frames_redis, shared.store, now=now)
    for finding in shared.news.among(found):
        log.log(LOGGED_AS[finding.level], "health: %s: %s", finding.subject, finding.text)
    told = tell_system(
        shared.redis, shared.keys, found, shared.store.open_episodes, now=now, patience_s=settings.health.stale_after_s
    )
    exporter.note_alerts(told)
    if told:
        store_alerts.apply_async(expires=RESENT_AFTER_S)
    if not any(finding.subject == FRAMES and finding.level == "critical" for finding in found):
        exporter.observe_queues(shared, now)


@app.task(name=FORGET, throws=WEATHER)
def forget() -> None:
    """Remove from the store what is too old, a bounded piece at a time, so that nobody waits long for a table."""
    shared, now = runtime(), time()
    before = now - settings.metrics.keep_days * 86_400
    for _ in range(MINUTE_PIECES):
        if not shared.store.forget_minutes(before, MINUTES_IN_PIECE):
            break
    shared.store.forget_camera_changes(before)
    before = now - settings.store.keep_days * 86_400
    for _ in range(EPISODE_PIECES):
        if not shared.store.forget_episodes(before, EPISODES_IN_PIECE):
            break
    shared.store.forget_mutes(before)


@app.task(name=REPORT_NIGHT, throws=WEATHER)
def report_night() -> None:
    """Write the report of the last night that is over, once, as soon as all its minutes are in the store."""
    shared = runtime()
    now = time()
    waited_s = shared.outbox.oldest_s(now)
    if waited_s is None or waited_s < REPORT_AFTER_S:
        written = write_last(shared.site(), shared.store, now - REPORT_AFTER_S)
        if written:
            log.info("reports of last night written for %s", ", ".join(written))
