"""The Celery tasks. Thin: each takes what it needs from the runtime and calls what does the work."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic, time

from celery.signals import worker_init
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis.exceptions import LockError

from fbtasks.alert import Alert
from fbtasks.celery import (
    CHECK_HEALTH,
    DELIVER,
    PROCESS_CAMERA,
    STORE_ALERTS,
    SWEEP,
    SWEEP_EVERY_S,
    WAKE_UP_EXPIRES_S,
    app,
    settings,
)
from fbtasks.errors import ConfigError, OutboxFull, OwnershipLost, StoreUnavailable
from fbtasks.health import report_of
from fbtasks.keys import DELIVERING_TTL_S
from fbtasks.logic.checkup import findings
from fbtasks.logic.delivery import deliver_next
from fbtasks.logic.refusal import refuse_wrong_settings
from fbtasks.logic.runtime import Runtime, runtime
from fbtasks.logic.state import state_from_open_episodes
from fbtasks.logic.store import open_store
from fbtasks.logic.turn import take_turn
from fbtasks.transport import REDIS_AWAY

log = logging.getLogger(__name__)

WEATHER = (OwnershipLost, OutboxFull, StoreUnavailable, OperationalError, *REDIS_AWAY)
"""What ends a task without being a fault of it. Celery notes it in one line; the sweep or the next push tries again."""
ALERTS_AT_ONCE = 100
DELIVERIES_AT_ONCE = 100
DELIVERY_LIMIT_S = 30.0
"""A delivery task ends after this long; the sweep sends another for what is left."""
RESENT_AFTER_S = 2 * SWEEP_EVERY_S
"""By then the sweep has sent again what is still to be done; without this end the queue grows while a backend hangs."""


@worker_init.connect
def _prepare(**_: object) -> None:
    """Before the worker forks. A store that is away now is brought up to date by the first task that reaches it.

    Celery logs what raises in here and goes on without it; only `SystemExit` ends a worker that could do no task.
    """
    try:
        refuse_wrong_settings(settings)
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
        shared.pipeline(camera_id),
        restore=lambda: state_from_open_episodes(camera_id, shared.store.open_episodes(camera_id)),
        bury=lambda refused: _bury(shared, camera_id, refused),
        chunk=settings.logic.chunk,
        is_over=lambda: monotonic() >= deadline,
    )
    if done.wake:
        process_camera.apply_async((camera_id,), expires=WAKE_UP_EXPIRES_S)
    if done.alerts:
        store_alerts.apply_async(expires=RESENT_AFTER_S)
    shared.report(done.decisions, done.late)


def _bury(shared: Runtime, camera_id: str, refused: list[tuple[str, bytes]]) -> None:
    if refused:
        log.warning("camera %s: %d results refused, the first: %s", camera_id, len(refused), refused[0][0])
    shared.dead.add("results", refused, time())


@app.task(name=STORE_ALERTS, throws=WEATHER)
def store_alerts() -> None:
    """Move the outbox into the store, then send what that made due. Entries leave the outbox only once stored."""
    shared = runtime()
    while entries := shared.outbox.peek(ALERTS_AT_ONCE):
        alerts, refused = _parse(entry for _, entry in entries)
        shared.store.record(alerts, list(shared.sinks), time())
        shared.dead.add("alerts", refused, time())
        shared.outbox.remove([identifier for identifier, _ in entries])
        for alert in alerts:
            log.info("camera %s: %s %s: %s", alert.camera_id, alert.severity, alert.event, alert.message)
    _send_due(shared)


def _parse(entries: Iterable[bytes]) -> tuple[list[Alert], list[tuple[str, bytes]]]:
    alerts, refused = [], []
    for entry in entries:
        try:
            alerts.append(Alert.model_validate_json(entry))
        except ValidationError as error:
            refused.append((str(error), entry))
    return alerts, refused


def _send_due(shared: Runtime) -> None:
    for sink in {sink for _, sink in shared.store.due(time(), DELIVERIES_AT_ONCE)}:
        deliver.apply_async((sink,), expires=RESENT_AFTER_S)


@app.task(name=DELIVER, throws=WEATHER)
def deliver(sink: str) -> None:
    """Send what is due to one sink, in order within each episode, until nothing is due or the sink fails.

    One such task at a time for each sink: a backend that hangs holds one process of the worker, not all of them, and
    one that comes back after hours is not stormed.
    """
    shared = runtime()
    lock = shared.redis.lock(shared.keys.delivering(sink), timeout=DELIVERING_TTL_S)
    if not lock.acquire(blocking=False):
        return
    try:
        _deliver_due(shared, sink, deadline=monotonic() + DELIVERY_LIMIT_S)
    finally:
        # It expires on its own where Redis is away, or was for longer than it lives.
        with suppress(LockError, *REDIS_AWAY):
            lock.release()


def _deliver_due(shared: Runtime, sink: str, *, deadline: float) -> None:
    while due := [episode for episode, name in shared.store.due(time(), DELIVERIES_AT_ONCE) if name == sink]:
        for episode_id in due:
            outcome = deliver_next(shared.store, shared.sinks, episode_id, sink, settings=settings.delivery, clock=time)
            if outcome.dead:
                log.error("%d alerts for %s are given up", outcome.dead, sink)
            if outcome.retry_at is not None:
                log.warning("delivery to %s failed, next try in %.1f s", sink, outcome.retry_at - time())
                return
            if monotonic() >= deadline:
                return


@app.task(name=SWEEP, throws=WEATHER)
def sweep() -> None:
    """What a crash or an outage left behind: cameras nobody was woken for, alerts not stored, deliveries due."""
    shared = runtime()
    for camera_id in shared.mailboxes.wake_forgotten():
        process_camera.apply_async((camera_id,), expires=WAKE_UP_EXPIRES_S)
    if len(shared.outbox):
        store_alerts.apply_async(expires=RESENT_AFTER_S)
    else:
        _send_due(shared)


@app.task(name=CHECK_HEALTH, throws=WEATHER)
def check_health() -> None:
    """Log what is down. That this ran at all is the sign that beat sends and logic consumes."""
    shared = runtime()
    now = time()
    shared.board.write(report_of("beat", now=now, progress_at=now))
    shared.report(0, 0)
    for finding in findings(shared.settings, shared.redis, shared.frames_redis, shared.store, now=now):
        if not finding.ok:
            log.error("health: %s: %s", finding.subject, finding.text)
