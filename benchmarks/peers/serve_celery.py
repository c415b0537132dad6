"""One Celery task per frame: `celery -A benchmarks.peers.serve_celery worker`; all else comes by environment."""

import os
from functools import cache

from celery import Celery
from redis import Redis

from benchmarks.peers.work import Work

ANSWERS = "answers"
BROKER = os.environ["PEERS_REDIS"]
app = Celery("peers", broker=BROKER)
app.conf.update(
    task_serializer="msgpack", accept_content=["msgpack"], task_ignore_result=True, worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)  # fmt: skip


@cache
def _work() -> Work:
    return Work(os.environ["PEERS_ENGINE"], os.environ["PEERS_MODEL"])


@cache
def _redis() -> Redis:
    return Redis.from_url(BROKER)


@app.task(name="detect")  # type: ignore[untyped-decorator]
def detect(number: bytes, jpeg: bytes) -> None:
    """Boxes of one frame, behind its number, to the list of answers."""
    [boxes] = _work()([jpeg])
    _redis().rpush(ANSWERS, number + boxes)
