"""Gathers what the health report is made of: reports, queue lengths, the store."""

from typing import cast

from redis import Redis

from fbtasks.celery import queue_key
from fbtasks.errors import StoreUnavailable
from fbtasks.health import Depths, Finding, HealthBoard, assess
from fbtasks.keys import Keys
from fbtasks.logic.store import Store
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.settings import Settings
from fbtasks.transport import DeadLetters, FrameQueue


def findings(settings: Settings, redis: Redis, frames_redis: Redis, store: Store, *, now: float) -> list[Finding]:
    """The health report at `now` (unix seconds).

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis is away.
    """
    keys = Keys(settings.redis.prefix)
    reports = HealthBoard(redis, keys).read()
    # After Redis: where that is away nothing has been set up, and looking would make an empty database.
    stored = _store(store, now)
    outbox = Outbox(redis, keys)
    depths = Depths(
        frames=len(FrameQueue(frames_redis, keys, settings.frames.max_length)),
        mailboxes=Mailboxes(redis, keys, length=settings.logic.mailbox_length).waiting(),
        outbox=len(outbox),
        oldest_outbox_s=outbox.oldest_s(now),
        tasks=cast(int, redis.llen(queue_key(settings))),
        pending_deliveries=stored[1],
        oldest_delivery_s=stored[2],
        dead_letters=DeadLetters(redis, keys).counts(),
    )
    cameras = [camera.id for camera in settings.cameras if camera.enabled]
    return [*assess(reports, depths, cameras, now=now, stale_after_s=settings.health.stale_after_s), stored[0]]


def _store(store: Store, now: float) -> tuple[Finding, int, float | None]:
    try:
        backlog = store.backlog(now)
    except StoreUnavailable as error:
        return Finding(False, "store", str(error)), 0, None
    text = f"answers, {backlog.dead} deliveries given up in the last day"
    oldest_s = backlog.oldest_pending_s if backlog.pending else None
    return Finding(backlog.dead == 0, "store", text), backlog.pending, oldest_s
