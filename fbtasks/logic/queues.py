"""How much waits where."""

from dataclasses import dataclass
from typing import cast

from redis import Redis

from fbtasks.celery import queue_key
from fbtasks.errors import StoreUnavailable
from fbtasks.keys import Keys
from fbtasks.logic.store import Store
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.settings import Settings
from fbtasks.transport import FrameQueue


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue between two stages.

    Attributes:
        name: frames, results, tasks, outbox or deliveries.
        length: what waits in it.
        oldest_s: age of what waits longest, seconds; None where nothing waits or nobody can tell.
    """

    name: str
    length: int
    oldest_s: float | None = None


def queues(settings: Settings, redis: Redis, frames_redis: Redis, store: Store | None, *, now: float) -> list[Queue]:
    """All queues, in the order in which work passes them; deliveries only with a store that answers.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis is away.
    """
    keys = Keys(settings.redis.prefix)
    outbox = Outbox(redis, keys)
    found = [
        Queue("frames", len(FrameQueue(frames_redis, keys, settings.frames.max_length))),
        Queue("results", Mailboxes(redis, keys, length=settings.logic.mailbox_length).waiting()),
        Queue("tasks", cast(int, redis.llen(queue_key(settings)))),
        Queue("outbox", len(outbox), outbox.oldest_s(now)),
    ]
    return found if store is None else [*found, *_deliveries(store, now)]


def _deliveries(store: Store, now: float) -> list[Queue]:
    try:
        backlog = store.backlog(now)
    except StoreUnavailable:
        return []
    return [Queue("deliveries", backlog.pending, backlog.oldest_pending_s if backlog.pending else None)]
