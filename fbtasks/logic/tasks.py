"""The Celery tasks. Thin: each takes what it needs from the runtime and calls what does the work."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from time import monotonic, time

from celery.signals import worker_init
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import LockError

from fbtasks.alert import Alert
from fbtasks.celery import (
    CHECK_HEALTH,
    CLEAR_BUCKET,
    CLEAR_OUT,
    COPY_EVIDENCE,
    DELIVER,
    FORGET,
    MAKE_CLIP,
    PROCESS_CAMERA,
    REPORT_NIGHT,
    SHOW,
    STORE_ALERTS,
    SWEEP,
    SWEEP_EVERY_S,
    WAKE_UP_EXPIRES_S,
    app,
    settings,
)
from fbtasks.errors import (
    BadMessage,
    ConfigError,
    CopyFailed,
    DeliveryFailed,
    OutboxFull,
    OwnershipLost,
    StoreUnavailable,
)
from fbtasks.keys import DELIVERING_TTL_S, FILM_SLACK_S
from fbtasks.logic import clips, exporter, retention
from fbtasks.logic.bucket import Bucket
from fbtasks.logic.camera_changes import store_changes
from fbtasks.logic.checkup import findings
from fbtasks.logic.copies import await_copy, copy_waiting
from fbtasks.logic.delivery import Outcome, deliver_due
from fbtasks.logic.evidence import SUFFIX as PICTURE_SUFFIX
from fbtasks.logic.film import need_encoder
from fbtasks.logic.minutes import Minute, decode_minute, is_minute
from fbtasks.logic.moment import decided
from fbtasks.logic.pace import Pace
from fbtasks.logic.recorder import SUFFIX as RESULTS_SUFFIX
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
from fbtasks.mailbox import committed_at
from fbtasks.transport import REDIS_AWAY, FrameQueue
from fbtasks.wire import encode

log = logging.getLogger(__name__)

WEATHER = (OwnershipLost, OutboxFull, StoreUnavailable, OperationalError, *REDIS_AWAY)
"""What ends a task without being a fault of it. Celery notes it in one line; the sweep or the next push tries again."""
ALERTS_AT_ONCE = 100
LOGGED_AS = {"warning": logging.WARNING, "unknown": logging.WARNING, "critical": logging.ERROR}
DELIVERY_LIMIT_S = 30.0
"""A delivery task ends after this long; the sweep sends another for what is left."""
COPY_LIMIT_S = 40.0
"""A copying task begins no other file after half of it: one may take as long as the bucket may wait with its answer."""
SLACK_S = 15.0
"""For the store and a busy machine; with the usual `timeout_s`, a task that hangs is gone before its lock is."""
MINUTES_IN_PIECE = 1000
MINUTE_PIECES = 100
"""As many may go in one run; 100 cameras with two tracks each write 3,000 rows between two runs."""
EPISODES_IN_PIECE = 100
EPISODE_PIECES = 20
REPORT_AFTER_S = 120.0
"""By then the last minutes of a night are in the store, unless something is down."""
RESENT_AFTER_S = 2 * SWEEP_EVERY_S
"""By then the sweep has sent again what is still to be done; without this end the queue grows while a backend hangs."""


@worker_init.connect
def _prepare(**_: object) -> None:
    """Before the worker forks. A store that is away now is brought up to date by the first task that reaches it.

    Celery logs what raises in here and goes on without it; only `SystemExit` ends a worker that could do no task.
    """
    try:
        refuse_wrong_settings(settings)
        # Here, unlike on a camera's machine, their libraries must be there.
        sinks_of(settings, Redis())
        _need_what_evidence_needs()
        _migrate()
    except StoreUnavailable as error:
        log.warning("%s", error)
    except ConfigError as error:
        raise SystemExit(f"fbtasks: {error}") from None


def _need_what_evidence_needs() -> None:
    """Raises `ExtraMissing`."""
    if settings.evidence.enabled and settings.evidence.clip.seconds:
        need_encoder()
    if settings.evidence.s3.bucket:
        Bucket(settings.evidence.s3)


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
        _begin_evidence(alerts)
        shared.outbox.remove([identifier for identifier, _ in entries])
        for alert in alerts:
            log.info("camera %s: %s %s: %s", alert.camera_id, alert.severity, alert.event, alert.message)
    _send_due(shared)


def _begin_evidence(alerts: Iterable[Alert]) -> None:
    """Start what takes longer than an alert may wait: its clip, while the pictures for it are there, and copies."""
    for alert in alerts:
        if alert.clip is not None:
            make_clip.apply_async((alert.camera_id, alert.at, alert.clip), expires=FILM_SLACK_S)
    if settings.evidence.s3.bucket and any(alert.picture for alert in alerts):
        copy_evidence.apply_async(expires=RESENT_AFTER_S)


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
    with _held(shared, shared.keys.delivering(sink)) as is_mine:
        if not is_mine:
            return
        pace = shared.paces.read(sink)
        with _held(shared, shared.keys.probing) if pace.failures else nullcontext(True) as may_try:
            if may_try:
                _deliver_and_show(shared, sink, pace)


@contextmanager
def _held(shared: Runtime, key: str) -> Iterator[bool]:
    """Hold a lock, if nobody else does; yields whether it is held."""
    lock = shared.redis.lock(key, timeout=DELIVERING_TTL_S)
    if not lock.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        # It expires on its own where Redis is away, or was for longer than it lives.
        with suppress(LockError, *REDIS_AWAY):
            lock.release()


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
    """Log what is down, and make alerts of it. That this ran at all is the sign that the logic consumes."""
    shared = runtime()
    now = time()
    shared.report(0, 0)
    found = findings(settings, shared.redis, shared.frames_redis, shared.store, now=now)
    for finding in found:
        if not finding.ok:
            log.log(LOGGED_AS[finding.level], "health: %s: %s", finding.subject, finding.text)
    told = tell_system(
        shared.redis, shared.keys, found, shared.store.open_episodes, now=now, patience_s=settings.health.stale_after_s
    )
    exporter.note_alerts(told)
    if told:
        store_alerts.apply_async(expires=RESENT_AFTER_S)
    exporter.observe_queues(shared, now)  # last: it ends where the frames' Redis is away


@app.task(name=MAKE_CLIP, throws=(*WEATHER, BadMessage, OSError))
def make_clip(camera_id: str, at: float, name: str) -> None:
    """Write the film of the seconds before an alert, which has been promised it under that name."""
    shared, folder = runtime(), settings.evidence_folder
    frames = FrameQueue(shared.frames_redis, shared.keys, settings.frames.max_length)
    try:
        made = clips.make_clip(folder / name, frames, camera_id, at=at, seconds=settings.evidence.clip.seconds)
    except (BadMessage, OSError) as error:
        log.warning("camera %s: no clip %s: %s", camera_id, name, error)
        raise
    if made and settings.evidence.s3.bucket:
        await_copy(folder, name)
        copy_evidence.apply_async(expires=RESENT_AFTER_S)


@app.task(name=COPY_EVIDENCE, throws=(*WEATHER, CopyFailed), time_limit=COPY_LIMIT_S + SLACK_S)
def copy_evidence() -> None:
    """Copy pictures and films to the bucket, on the machine that this runs on; the next run takes what is left."""
    shared = runtime()
    if shared.bucket is None:
        return
    with _held(shared, shared.keys.copying) as is_mine:
        if is_mine:
            deadline = monotonic() + COPY_LIMIT_S / 2
            copy_waiting(settings.evidence_folder, shared.bucket, lambda: monotonic() >= deadline)


@app.task(name=CLEAR_BUCKET, throws=(*WEATHER, CopyFailed))
def clear_bucket() -> None:
    """Remove copies of pictures and films that are too old."""
    bucket = runtime().bucket
    removed = bucket.clear_out(time()) if bucket is not None else 0
    if removed:
        log.info("%d old files removed from the bucket", removed)


@app.task(name=CLEAR_OUT, throws=(*WEATHER, OSError))
def clear_out() -> None:
    """Remove recordings and pictures that are too old or too many, on the machine that this runs on.

    With workers on several machines each gets its turn by chance, within minutes.
    """
    recording, evidence = settings.recording, settings.evidence
    try:
        if recording.folder is not None:
            _clear_out(recording.folder, RESULTS_SUFFIX, recording.keep_days, recording.max_mb)
    finally:
        _clear_out(settings.evidence_folder, PICTURE_SUFFIX, evidence.keep_days, evidence.max_mb)
        _clear_out(settings.evidence_folder, clips.SUFFIX, evidence.clip.keep_days, evidence.clip.max_mb)


def _clear_out(folder: Path, suffix: str, keep_days: float, max_mb: int) -> None:
    removed = retention.clear_out(folder, suffix, time(), keep_s=keep_days * 86_400, max_bytes=max_mb * 1_000_000)
    if removed:
        log.info("%d old files removed from %s", removed, folder)


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
