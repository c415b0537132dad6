"""What happened to cameras, on its way from the producer to the store: a bounded stream in Redis.

The producer appends each change of a camera's status, the logic moves them into SQL. A change is known by its camera,
its time and its state, so it may be moved twice.
"""

from collections.abc import Sequence
from typing import cast

import msgspec
from redis import Redis

from fbtasks.keys import CAMERA_CHANGES_CAP, CAMERA_CHANGES_TTL_S, Keys


class CameraChange(msgspec.Struct, frozen=True):
    """A camera came into another state, or its reason changed.

    Attributes:
        at: when, unix seconds.
        state: see `fbtasks.producer.status`.
        since: when it came into this state, unix seconds; `at` unless only the reason changed.
        reason: why it is not running; never holds the URL.
        producer: host that told.
    """

    camera_id: str
    at: float
    state: str
    since: float
    reason: str
    producer: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CameraChange)


class CameraHistory:
    """The stream. Its methods raise what redis-py raises where Redis is away."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._key = keys.camera_changes

    def append(self, changes: Sequence[CameraChange]) -> None:
        """Add the changes, all or none; beyond the cap the oldest go."""
        pipe = self._redis.pipeline()
        for change in changes:
            pipe.xadd(self._key, {"c": _encoder.encode(change)}, maxlen=CAMERA_CHANGES_CAP, approximate=False)
        pipe.expire(self._key, CAMERA_CHANGES_TTL_S)
        pipe.execute()

    def peek(self, count: int) -> list[tuple[bytes, CameraChange | None]]:
        """The oldest changes with their identifiers; None for what this build cannot read."""
        entries = cast(list[tuple[bytes, dict[bytes, bytes]]], self._redis.xrange(self._key, count=count))
        return [(identifier, _change(fields)) for identifier, fields in entries]

    def remove(self, identifiers: Sequence[bytes]) -> None:
        """Forget what is stored."""
        self._redis.xdel(self._key, *identifiers)


def _change(fields: dict[bytes, bytes]) -> CameraChange | None:
    try:
        return _decoder.decode(fields[b"c"])
    except (msgspec.DecodeError, KeyError):
        return None
