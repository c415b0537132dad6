"""A camera's waiting messages, and the promise that one task at a time works on them, exactly once.

Most are results of the GPU worker, and are called so here. A silence is beat's word that none came; it is pushed only
where nothing waits, so that there is one at most, however long the logic does not run.

Everything hangs on one key per camera, `owner`: absent (the camera sleeps), `queued` (a task has been sent for it) or
a token (a task runs). It always expires, so what a crash leaves behind heals by itself. Three scripts, each atomic:

- *push* appends results and, where the owner is absent, sets it to `queued` and asks the caller to send a task. A
  result is therefore either seen by the running task or wakes the camera: there is no moment between.
- *begin* takes a camera that nobody runs and returns its state and first results. The holder may ask again: a client
  whose connection broke before the answer came repeats the call.
- *commit* writes state, removes the results that were worked on and appends alerts and minutes, all or nothing, and
  only for the holder of the token. It then returns the next results under a fresh token, or lets the camera sleep.

The mailbox is a stream. Its entries carry rising identifiers, so *commit* removes exactly what the task has seen, even
when the length cap cut the oldest off meanwhile. The token changes with every commit: when Redis comes back from an
append-only file that lacks its last second, a task that knows a newer state than Redis does finds its token foreign,
drops its work, and the results, which are back too, are worked on again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from redis import Redis

from fbtasks.errors import OutboxFull, OwnershipLost
from fbtasks.keys import (
    CAMERAS_VERSION,
    LATEST_TTL_S,
    MAILBOX_TTL_S,
    OUTBOX_CAP,
    OWNER_TTL_S,
    QUEUED_TTL_S,
    STATE_TTL_S,
    Keys,
)

_PUSH = """
local mailbox, owner = KEYS[1], KEYS[2]
local cap, mailbox_ttl, queued_ttl = ARGV[1], ARGV[2], ARGV[3]
for i = 4, #ARGV do
    redis.call('XADD', mailbox, '*', 'd', ARGV[i])
end
local dropped = redis.call('XTRIM', mailbox, 'MAXLEN', cap)
redis.call('EXPIRE', mailbox, mailbox_ttl)
local asleep = redis.call('SET', owner, 'queued', 'NX', 'EX', queued_ttl)
return {asleep and 1 or 0, dropped}
"""

_PUSH_IF_EMPTY = """
local mailbox, owner = KEYS[1], KEYS[2]
local message, mailbox_ttl, queued_ttl = ARGV[1], ARGV[2], ARGV[3]
if redis.call('XLEN', mailbox) > 0 then
    return 0
end
redis.call('XADD', mailbox, '*', 'd', message)
redis.call('EXPIRE', mailbox, mailbox_ttl)
return redis.call('SET', owner, 'queued', 'NX', 'EX', queued_ttl) and 1 or 0
"""

_BEGIN = """
local mailbox, owner, state, cameras = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, owner_ttl, count, version = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local current = redis.call('GET', owner)
if current and current ~= 'queued' and current ~= token then
    return {}
end
local results = redis.call('XRANGE', mailbox, '-', '+', 'COUNT', count)
if #results == 0 then
    redis.call('DEL', owner)
    return {}
end
redis.call('SET', owner, token, 'EX', owner_ttl)
return {redis.call('GET', state), results, redis.call('HGET', cameras, version)}
"""

_COMMIT = """
local mailbox, owner, state, latest, outbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, fresh, owner_ttl, first_unseen, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local new_state, state_ttl, latest_ttl = ARGV[6], ARGV[7], ARGV[8]
local cap, channel, queued_ttl, decisions = tonumber(ARGV[9]), ARGV[10], ARGV[11], tonumber(ARGV[12])
local first_minute = 14 + decisions
local first_alert = first_minute + tonumber(ARGV[13])
if redis.call('GET', owner) ~= token then
    return {'lost'}
end
local alerts = #ARGV - first_alert + 1
if alerts > 0 and redis.call('XLEN', outbox) + alerts > cap then
    redis.call('DEL', owner)
    return {'full'}
end
redis.call('SET', state, new_state, 'EX', state_ttl)
redis.call('XTRIM', mailbox, 'MINID', first_unseen)
for i = first_alert, #ARGV do
    redis.call('XADD', outbox, '*', 'd', ARGV[i])
end
for i = first_minute, first_alert - 1 do
    if redis.call('XLEN', outbox) < cap / 2 then
        redis.call('XADD', outbox, '*', 'd', ARGV[i])
    end
end
if decisions > 0 then
    redis.call('SET', latest, ARGV[first_minute - 1], 'EX', latest_ttl)
    for i = 14, first_minute - 1 do
        redis.call('PUBLISH', channel, ARGV[i])
    end
end
if redis.call('XLEN', mailbox) == 0 then
    redis.call('DEL', owner)
    return {'asleep'}
end
if count == 0 then
    redis.call('SET', owner, 'queued', 'EX', queued_ttl)
    return {'wake'}
end
redis.call('SET', owner, fresh, 'EX', owner_ttl)
return {'more', redis.call('XRANGE', mailbox, '-', '+', 'COUNT', count)}
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Results a task has taken, oldest first.

    Attributes:
        messages: as they were pushed; never none.
        identifiers: theirs in the stream.
    """

    messages: list[bytes]
    identifiers: list[str]

    @property
    def first_unseen(self) -> str:
        """The least identifier after them; *commit* removes everything before it."""
        milliseconds, _, number = self.identifiers[-1].partition("-")
        return f"{milliseconds}-{int(number) + 1}"

    def first(self, count: int) -> "Waiting":
        """The oldest `count` of them, one at least; a commit of these leaves the others."""
        return Waiting(self.messages[:count], self.identifiers[:count])


@dataclass(frozen=True, slots=True)
class Turn:
    """One camera in the hands of one task.

    Attributes:
        token: proves that it still is.
        state: what the last commit wrote, None when there is none.
        waiting: what to work on first; never empty.
        cameras: version of the cameras that are set at run time, see `registry`; None when there are none.
    """

    token: str
    state: bytes | None
    waiting: Waiting
    cameras: bytes | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What follows a commit.

    Attributes:
        token: for the next commit.
        waiting: what to work on next; None when this task is done with the camera.
        wake: the task stopped early and must send another for this camera.
    """

    token: str
    waiting: Waiting | None
    wake: bool


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one camera's pushed results.

    Attributes:
        wake: the camera slept; the caller must send a task for it.
        dropped: old results that the length cap cut off.
    """

    wake: bool
    dropped: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one camera stands between two tasks.

    Attributes:
        waiting: how many messages wait.
        decided_s: seconds since the last decision, by the clock of Redis alone; None when there was none for
            `LATEST_TTL_S`.
        state: what the last commit wrote, None when there is none.
    """

    waiting: int
    decided_s: float | None
    state: bytes | None


class Mailboxes:
    """The mailboxes of a site, see the module's docstring."""

    def __init__(self, redis: Redis, keys: Keys, *, length: int) -> None:
        self._redis = redis
        self._keys = keys
        self._length = length

    def push(self, results: dict[str, list[bytes]]) -> dict[str, Delivered]:
        """Put each camera's results, oldest first, into its mailbox; one round trip for all of them."""
        calls = [self._push_call(camera_id, messages) for camera_id, messages in results.items()]
        if len(calls) == 1:  # a worker on a CPU pushes one at a time, and a pipeline costs twice the call
            replies: list[Any] = [self._redis.eval(*calls[0])]
        else:
            pipe = self._redis.pipeline(transaction=False)
            for call in calls:
                pipe.eval(*call)
            replies = pipe.execute()
        return {
            camera_id: Delivered(bool(wake), dropped)
            for camera_id, (wake, dropped) in zip(results, replies, strict=True)
        }

    def _push_call(self, camera_id: str, messages: Sequence[bytes]) -> tuple[Any, ...]:
        """Script, keys and arguments that append these messages."""
        keys = self._keys.camera(camera_id)
        return _PUSH, 2, keys.mailbox, keys.owner, self._length, MAILBOX_TTL_S, QUEUED_TTL_S, *messages

    def push_if_empty(self, messages: dict[str, bytes]) -> list[str]:
        """Put each camera's message into its mailbox where nothing waits there; one round trip for all of them.

        Returns the cameras that slept; the caller must send a task for each.
        """
        pipe = self._redis.pipeline(transaction=False)
        for camera_id, message in messages.items():
            keys = self._keys.camera(camera_id)
            arguments: list[Any] = [message, MAILBOX_TTL_S, QUEUED_TTL_S]
            pipe.eval(_PUSH_IF_EMPTY, 2, keys.mailbox, keys.owner, *arguments)
        return [camera_id for camera_id, wake in zip(messages, pipe.execute(), strict=True) if wake]

    def standings(self, camera_ids: Sequence[str]) -> dict[str, Standing]:
        """How each camera stands; one round trip for all of them."""
        pipe = self._redis.pipeline(transaction=False)
        for camera_id in camera_ids:
            keys = self._keys.camera(camera_id)
            pipe.xlen(keys.mailbox)
            pipe.pttl(keys.latest)
            pipe.get(keys.state)
        replies = pipe.execute()
        return {
            camera_id: Standing(waiting, LATEST_TTL_S - left_ms / 1000 if left_ms >= 0 else None, state)
            for camera_id, waiting, left_ms, state in zip(
                camera_ids, replies[::3], replies[1::3], replies[2::3], strict=True
            )
        }

    def begin(self, camera_id: str, count: int) -> Turn | None:
        """Take the camera and its first `count` results; None when another task has it or nothing waits."""
        keys = self._keys.camera(camera_id)
        token = uuid4().hex
        reply = self._eval(
            _BEGIN,
            (keys.mailbox, keys.owner, keys.state, self._keys.cameras),
            (token, OWNER_TTL_S, count, CAMERAS_VERSION),
        )
        if not reply:
            return None
        state, entries, version = reply
        return Turn(token, state, _waiting(entries), version)

    def commit(
        self,
        camera_id: str,
        token: str,
        done: Waiting,
        *,
        state: bytes,
        decisions: Sequence[bytes],
        alerts: Sequence[bytes],
        minutes: Sequence[bytes] = (),
        count: int,
    ) -> Committed:
        """Write what became of `done`, all or nothing, and take up to `count` more results (0: stop here).

        Minutes go to the outbox behind the alerts while it is not half full, else they are dropped: where the store is
        away for hours, figures must not take the room of alerts.

        Raises:
            OwnershipLost: the token is no longer the camera's; nothing was written.
            OutboxFull: the alerts do not fit; nothing was written and the camera was let go.
        """
        keys = self._keys.camera(camera_id)
        fresh = uuid4().hex
        verdict, *rest = self._eval(
            _COMMIT,
            (keys.mailbox, keys.owner, keys.state, keys.latest, self._keys.outbox),
            (
                *(token, fresh, OWNER_TTL_S, done.first_unseen, count),
                *(state, STATE_TTL_S, LATEST_TTL_S),
                *(OUTBOX_CAP, self._keys.decisions_channel, QUEUED_TTL_S, len(decisions), len(minutes)),
                *decisions,
                *minutes,
                *alerts,
            ),
        )
        if verdict == b"lost":
            raise OwnershipLost(f"camera {camera_id}: another task has taken over")
        if verdict == b"full":
            raise OutboxFull(f"camera {camera_id}: {OUTBOX_CAP} entries wait for the store; is the database away?")
        return Committed(fresh, _waiting(rest[0]) if verdict == b"more" else None, wake=verdict == b"wake")

    def wake_forgotten(self) -> list[str]:
        """Cameras with results that nobody works on and no task was sent for, now marked as queued.

        A camera gets here when a task died and nothing was pushed since. The caller must send a task for each.
        """
        cameras = [camera_id for camera_id, count in self._lengths().items() if count]
        pipe = self._redis.pipeline(transaction=False)
        for camera_id in cameras:
            pipe.set(self._keys.camera(camera_id).owner, "queued", nx=True, ex=QUEUED_TTL_S)
        return [camera_id for camera_id, queued in zip(cameras, pipe.execute(), strict=True) if queued]

    def waiting(self) -> int:
        """How many results wait in all mailboxes."""
        return sum(self._lengths().values())

    def oldest_s(self, now: float) -> float | None:
        """How long the result that waits longest has waited at `now` (unix seconds); None when none waits."""
        pipe = self._redis.pipeline(transaction=False)
        for key in self._names():
            pipe.xrange(key, count=1)
        firsts = [committed_at(entries[0][0]) for entries in pipe.execute() if entries]
        return max(0.0, now - min(firsts)) if firsts else None

    def _names(self) -> list[bytes]:
        return cast(list[bytes], list(self._redis.scan_iter(match=self._keys.mailboxes, count=1000, _type="stream")))

    def _lengths(self) -> dict[str, int]:
        keys = self._names()
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.xlen(key)
        cameras = [self._keys.camera_of_mailbox(key.decode()) for key in keys]
        return dict(zip(cameras, pipe.execute(), strict=True))

    def _eval(self, script: str, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> list[Any]:
        """The script travels whole with each call: a restarted Redis has forgotten it, and it is under 2 kB."""
        return cast(list[Any], self._redis.eval(script, len(keys), *keys, *arguments))


def _waiting(entries: list[tuple[bytes, list[bytes]]]) -> Waiting:
    return Waiting([fields[1] for _, fields in entries], [identifier.decode() for identifier, _ in entries])


def committed_at(identifier: bytes) -> float:
    """When the entry of this identifier was written, unix seconds of Redis."""
    milliseconds, _, _ = identifier.partition(b"-")
    return int(milliseconds) / 1000


class Outbox:
    """Alerts and minutes that are committed but not yet in the store, in the order of their commits."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._key = keys.outbox

    def peek(self, count: int) -> list[tuple[bytes, bytes]]:
        """The first `count` entries as `(identifier, alert or minute)`; they stay until they are removed."""
        entries = cast(list[tuple[bytes, dict[bytes, bytes]]], self._redis.xrange(self._key, count=count))
        return [(identifier, fields.get(b"d", b"")) for identifier, fields in entries]

    def remove(self, identifiers: Sequence[bytes]) -> None:
        """Remove entries that are safely in the store."""
        if identifiers:
            self._redis.xdel(self._key, *identifiers)

    def oldest_s(self, now: float) -> float | None:
        """How long the first entry has waited at `now` (unix seconds); None when there is none."""
        entries = self.peek(1)
        if not entries:
            return None
        return max(0.0, now - committed_at(entries[0][0]))

    def __len__(self) -> int:
        return cast(int, self._redis.xlen(self._key))
