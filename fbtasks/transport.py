"""Redis connections, the frame list and the dead letters."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from fbtasks.keys import (
    BATCH_FRAMES_TTL_S,
    DEAD_LETTER_CAP,
    DEAD_LETTER_TTL_S,
    FILM_FPS,
    FILM_SLACK_S,
    PICTURE_TTL_S,
    Keys,
)

DeadKind = Literal["frames", "results", "alerts"]
MAX_DEAD_PAYLOAD = 64 * 1024

REDIS_AWAY: tuple[type[RedisError], ...] = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError)
"""What a Redis that is down, restarting, loading, full or demoted raises; every loop treats it as weather."""


def connect(url: str, timeout_s: float) -> Redis:
    """A client for `url`; it connects with its first command.

    A connection that turns out dead is replaced once, at once: after a restart of Redis the first command succeeds.
    A time-out is not retried, for the command may have been carried out.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one push.

    Attributes:
        backlog: frames in the list before it was cut; the signal for back-pressure.
        dropped: old frames that were cut off.
    """

    backlog: int
    dropped: int


NONE: Mapping[str, bytes] = MappingProxyType({})


class FrameQueue:
    """The capped list `batch_frames`: producers append, GPU workers take from the old end.

    Args:
        film_s: length of the films that `push` is given pictures for, seconds.
    """

    def __init__(self, redis: Redis, keys: Keys, max_length: int, film_s: float = 0.0) -> None:
        self._redis = redis
        self._keys = keys
        self._key = keys.batch_frames
        self._max_length = max_length
        self._film_ttl_s = math.ceil(film_s + FILM_SLACK_S)

    def push(
        self, frames: Sequence[bytes], pictures: Mapping[str, bytes] = NONE, films: Mapping[str, bytes] = NONE
    ) -> Pushed:
        """Append encoded frames and cut the list to its newest `max_length`, in one round trip.

        `pictures`, encoded frames by camera, are kept beside the list for a few seconds, each in place of its
        camera's last; `films` likewise, each behind its camera's last, `FILM_FPS` a second at most.
        """
        pipe = self._redis.pipeline(transaction=False)
        pipe.rpush(self._key, *frames)
        pipe.ltrim(self._key, -self._max_length, -1)
        pipe.expire(self._key, BATCH_FRAMES_TTL_S)
        for camera_id, picture in pictures.items():
            pipe.set(self._keys.picture(camera_id), picture, ex=PICTURE_TTL_S)
        for camera_id, picture in films.items():
            film = self._keys.film(camera_id)
            pipe.rpush(film, picture)
            pipe.ltrim(film, -FILM_FPS * self._film_ttl_s, -1)
            pipe.expire(film, self._film_ttl_s)
        backlog = int(pipe.execute()[0])
        return Pushed(backlog, max(0, backlog - self._max_length))

    def take(self, count: int, timeout_s: float) -> list[bytes]:
        """Up to `count` frames, oldest first, in one atomic call; waits `timeout_s` for the first."""
        keys: Any = self._key  # redis-py annotates each key as a list of keys
        return _popped(self._redis.blmpop(timeout_s, 1, keys, direction="LEFT", count=count))

    def pictures(self, camera_ids: Sequence[str]) -> dict[str, bytes]:
        """The newest picture of each of these cameras that has one, as an encoded frame."""
        found = cast(list[bytes | None], self._redis.mget([self._keys.picture(camera_id) for camera_id in camera_ids]))
        return {camera_id: picture for camera_id, picture in zip(camera_ids, found, strict=True) if picture is not None}

    def film(self, camera_id: str) -> list[bytes]:
        """The encoded frames of the camera's last seconds, oldest first; none where no film is kept of it."""
        return cast(list[bytes], self._redis.lrange(self._keys.film(camera_id), 0, -1))

    def drain(self, count: int | None = None) -> list[bytes]:
        """All frames there are or the first `count` of them, oldest first, without waiting."""
        keys: Any = self._key
        return _popped(self._redis.lmpop(1, keys, direction="LEFT", count=count or self._max_length))

    def __len__(self) -> int:
        return cast(int, self._redis.llen(self._key))


def _popped(reply: Any) -> list[bytes]:
    """The values of a `[key, values]` reply, none when the list was empty."""
    return list(reply[1]) if reply else []


class DeadLetters:
    """Messages that could not be used: counted, and the last `DEAD_LETTER_CAP` of each kind kept with the reason."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def add(self, kind: DeadKind, letters: Sequence[tuple[str, bytes]], now: float) -> None:
        """Keep `(reason, message)` pairs, in one round trip. Of a long message its beginning is kept."""
        if not letters:
            return
        key = self._keys.dead(kind)
        pipe = self._redis.pipeline(transaction=False)
        pipe.lpush(key, *(_letter(reason, message, now) for reason, message in letters))
        pipe.ltrim(key, 0, DEAD_LETTER_CAP - 1)
        pipe.expire(key, DEAD_LETTER_TTL_S)
        pipe.hincrby(self._keys.dead("counts"), kind, len(letters))
        pipe.expire(self._keys.dead("counts"), DEAD_LETTER_TTL_S)
        pipe.execute()

    def list(self, kind: DeadKind) -> list[dict[str, Any]]:
        """The kept letters, newest first: `at` (unix seconds), `reason`, `size` (bytes), `payload` (base64)."""
        letters = cast(list[bytes], self._redis.lrange(self._keys.dead(kind), 0, -1))
        return [json.loads(letter) for letter in letters]

    def counts(self) -> dict[str, int]:
        """How many letters of each kind there have been."""
        counts = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.dead("counts")))
        return {kind.decode(): int(count) for kind, count in counts.items()}


def _letter(reason: str, message: bytes, now: float) -> str:
    payload = base64.b64encode(message[:MAX_DEAD_PAYLOAD]).decode()
    return json.dumps({"at": now, "reason": reason, "size": len(message), "payload": payload})
