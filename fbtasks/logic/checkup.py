"""Gathers what the health report is made of: reports, queue lengths, the servers, the store."""

import json
from contextlib import suppress
from typing import Any, cast

from redis import Redis

from fbtasks.celery import SENT_AT, queue_key
from fbtasks.errors import BadMessage, StoreUnavailable
from fbtasks.health import ROLES, Depths, Finding, HealthBoard, Look, assess
from fbtasks.keys import Keys
from fbtasks.logic.copies import oldest_s, waiting
from fbtasks.logic.redis_servers import FRAMES, STATE, Server, ask, away, judge_frames, judge_state
from fbtasks.logic.store import Store
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.registry import Registry
from fbtasks.settings import Settings
from fbtasks.transport import REDIS_AWAY, DeadLetters, FrameQueue
from fbtasks.wire import decode_frame

UNCOPIED_S = 600.0
"""The bucket is tried every minute; what waits for longer does so because the bucket is away or refuses us."""
BEHIND_REDIS = (*ROLES, "outbox", "deliveries", "store")
"""What nobody sees while Redis is away. The store is not asked either: where nothing has been set up yet, asking would
make an empty one."""


def findings(
    settings: Settings, redis: Redis, frames_redis: Redis, store: Store, *, now: float, visible_since: float = 0.0
) -> list[Finding]:
    """The health report at `now` (unix seconds). A server that does not answer is a finding of it.

    Args:
        visible_since: nothing counts as stale for an earlier time (unix seconds).
    """
    try:
        server = ask(redis)
        frames_finding, frames = _frames(frames_redis, server)
        health = settings.health
        since = max(visible_since, now - server.uptime_s)
        look = Look(now, health.stale_after_s, health.start_grace_s, since, frames_away=frames is None)
        return [judge_state(server), *frames_finding, *_behind(settings, redis, frames, store, look)]
    except REDIS_AWAY as error:
        hidden = [Finding("unknown", subject, "cannot be seen while Redis is away") for subject in BEHIND_REDIS]
        return [away(STATE, error), *hidden]


def _frames(redis: Redis, state: Server) -> tuple[list[Finding], Redis | None]:
    """What is to be said of the frames' server where it is one of its own, and a client when it answers."""
    try:
        server = ask(redis)
    except REDIS_AWAY as error:
        return [away(FRAMES, error)], None
    return ([judge_frames(server)] if server.run_id != state.run_id else []), redis


def _behind(settings: Settings, redis: Redis, frames: Redis | None, store: Store, look: Look) -> list[Finding]:
    """What Redis lets us see.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: it went away meanwhile.
    """
    keys, now = Keys(settings.redis.prefix), look.now
    stored, pending, oldest_delivery_s = _store(store, now)
    outbox = Outbox(redis, keys)
    mailboxes = Mailboxes(redis, keys, length=settings.logic.mailbox_length)
    waiting_frames, oldest_frame_s = _waiting_frames(frames, keys, settings, now)
    depths = Depths(
        frames=waiting_frames,
        mailboxes=mailboxes.waiting(),
        outbox=len(outbox),
        oldest_outbox_s=outbox.oldest_s(now),
        tasks=cast(int, redis.llen(queue_key(settings))),
        pending_deliveries=pending,
        oldest_delivery_s=oldest_delivery_s,
        dead_letters=DeadLetters(redis, keys).counts(),
        oldest_frame_s=oldest_frame_s,
        oldest_result_s=mailboxes.oldest_s(now),
        oldest_task_s=_oldest_task_s(redis, queue_key(settings), now),
    )
    cameras = [camera.id for camera in Registry(redis, settings).settings().cameras if camera.enabled]
    return [*assess(HealthBoard(redis, keys).read(), depths, cameras, look), stored, *_copies(settings, now)]


def _waiting_frames(redis: Redis | None, keys: Keys, settings: Settings, now: float) -> tuple[int, float | None]:
    """How many frames wait for the GPU worker, and for how long the first of them has (seconds)."""
    if redis is None:
        return 0, None
    with suppress(*REDIS_AWAY):
        first = cast(bytes | None, redis.lindex(keys.batch_frames, 0))
        count = len(FrameQueue(redis, keys, settings.frames.max_length))
        with suppress(BadMessage):
            return count, max(0.0, now - decode_frame(first).sent_at) if first is not None else None
        return count, None
    return 0, None


def _oldest_task_s(redis: Redis, queue: str, now: float) -> float | None:
    """For how long the first task in the queue has waited, seconds; None when there is none, or a foreign one."""
    message = cast(bytes | None, redis.lindex(queue, -1))
    if message is None:
        return None
    try:
        sent_at: Any = json.loads(message)["headers"][SENT_AT]
        return max(0.0, now - float(sent_at))
    except (ValueError, TypeError, KeyError):
        return None


def _copies(settings: Settings, now: float) -> list[Finding]:
    """What waits for the bucket on this machine."""
    if not settings.evidence.s3.bucket:
        return []
    links = waiting(settings.evidence_folder)
    late_s = oldest_s(links, now)
    text = f"{len(links)} pictures and clips wait to be copied" + (f", oldest {late_s:.0f} s" if links else "")
    return [Finding("warning" if late_s > UNCOPIED_S else "ok", "bucket", text)]


def _store(store: Store, now: float) -> tuple[Finding, int, float | None]:
    try:
        if store.is_new():
            return Finding("unknown", "store", "holds nothing yet; the logic makes its tables when it starts"), 0, None
        backlog = store.backlog(now)
    except StoreUnavailable as error:
        return Finding("critical", "store", str(error)), 0, None
    text = f"answers, {backlog.dead} deliveries given up in the last day"
    oldest_s = backlog.oldest_pending_s if backlog.pending else None
    return Finding("warning" if backlog.dead else "ok", "store", text), backlog.pending, oldest_s
