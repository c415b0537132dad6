"""What may befall any task without being a fault of it, and how one task at a time is let in."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import LockError

from fbtasks.celery import SWEEP_EVERY_S
from fbtasks.errors import OutboxFull, OwnershipLost, StoreUnavailable
from fbtasks.keys import DELIVERING_TTL_S
from fbtasks.transport import REDIS_AWAY

WEATHER = (OwnershipLost, OutboxFull, StoreUnavailable, OperationalError, *REDIS_AWAY)
"""What ends a task without being a fault of it. Celery notes it in one line; the sweep or the next push tries again."""
RESENT_AFTER_S = 2 * SWEEP_EVERY_S
"""By then the sweep has sent again what is still to be done; without this end the queue grows while a backend hangs."""


@contextmanager
def held(redis: Redis, key: str, expires_s: float = DELIVERING_TTL_S) -> Iterator[bool]:
    """Hold a lock, if nobody else does; yields whether it is held. A holder that dies loses it after `expires_s`."""
    lock = redis.lock(key, timeout=expires_s)
    if not lock.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        # It expires on its own where Redis is away, or was for longer than it lives.
        with suppress(LockError, *REDIS_AWAY):
            lock.release()
