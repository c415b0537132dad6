"""Which cameras this producer may read, of all that several producers could: leases in Redis.

Every producer says once a fifth of a lease that it lives and which cameras it can read; who reads which follows from
that by rendezvous hashing, without any of them deciding for others. Before it reads one it takes the camera's lease,
which runs out `lease_s` after its last renewal. One script does all of it, in one round trip for all cameras.

- *A producer dies.* Its leases and its sign of life run out together, `lease_s` later; the others look at that moment,
  and each takes its share.
- *A producer comes.* It opens the cameras that are now its own while the one before still reads them, two at a time,
  and takes the lease of each over only when it has a picture; the one before sees that at its next look, and stops. So
  there is no gap, and both read for as long as the stream takes to open and a tenth of a lease. A camera that gives it
  no picture in `trial_s` stays with who reads it; it tries again later.
- *A producer ends in order.* It gives its leases back at once.
- *Redis is away.* Nobody can take a lease, but one that cannot reach Redis does not know whether all others are cut off
  too. It reads on until half a lease after its own could have gone to another, then stops; nobody would have got its
  frames. So a camera is not read by two for longer than one lease, unless it takes about as long to open.
- *Redis has lost its data.* The leases are taken anew by who holds them.

The clock of Redis counts for what runs out there, the monotonic one of this machine for what is counted here, from
before the request was sent. On a Redis Cluster all keys have to be on one slot, see `fbtasks.keys`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from fbtasks.keys import Keys
from fbtasks.producer.rendezvous import owner

LOOKS = 5
"""Looks in the time of one lease: so many may fail before it is lost."""
TRIAL_LOOKS = 20
"""Likewise while one opens a camera that another still reads, on both sides: that is to be short."""
KEEP = 1.5
"""Leases for which a camera is read on without a word from Redis: under two, less what an answer may take."""
TRIALS = 2
"""Cameras that are opened at once while another still reads them: on a busy machine many would open slowly."""
RETRY_S = 60.0
"""Until a camera that gave no picture is tried again, while another reads it."""

_LOOK = """
local producers, me, lease_ms, cameras = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', producers, me, now .. ' ' .. cameras)
redis.call('PEXPIRE', producers, 2 * lease_ms)
local live = {}
local all = redis.call('HGETALL', producers)
for i = 1, #all, 2 do
    local seen, readable = string.match(all[i + 1], '^(%d+) (.*)$')
    local left = tonumber(seen) + lease_ms - now
    if left <= 0 then
        redis.call('HDEL', producers, all[i])
    else
        live[#live + 1] = {all[i], left, readable}
    end
end
local held = {}
for i = 2, #KEYS do
    local holder = redis.call('GET', KEYS[i])
    local action = ARGV[i + 2]
    if action == 'drop' then
        if holder == me then
            redis.call('DEL', KEYS[i])
        end
        held[i - 1] = 0
    elseif not holder or holder == me or action == 'seize' then
        redis.call('SET', KEYS[i], me, 'PX', lease_ms)
        held[i - 1] = 1
    else
        held[i - 1] = 0
    end
end
return {live, held}
"""

_RELEASE = """
redis.call('HDEL', KEYS[1], ARGV[1])
for i = 2, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[1] then
        redis.call('DEL', KEYS[i])
    end
end
"""


@dataclass(frozen=True, slots=True)
class Producer:
    """Another producer, or this one, as it last told of itself.

    Attributes:
        cameras: those it can read.
        left_s: after how many seconds without a word it counts as dead.
    """

    cameras: frozenset[str]
    left_s: float


class Leases:
    """The leases of one producer, see the module's docstring. For one thread.

    Args:
        me: id of this producer, no other's.
        lease_s: how long a lease lasts, seconds; the same in all producers of a site.
        trial_s: in which a camera that another reads has to give a picture, seconds.
        has_picture: whether this producer has had a picture of the camera since then (monotonic seconds).
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        me: str,
        *,
        lease_s: float,
        trial_s: float,
        has_picture: Callable[[str, float], bool],
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._me = me
        self._lease_s = lease_s
        self._trial_s = trial_s
        self._has_picture = has_picture
        self._producers: dict[str, Producer] = {}
        self._held: dict[str, float] = {}
        self._yields = False
        self._trials: dict[str, float] = {}
        self._rests: dict[str, float] = {}

    @property
    def reading(self) -> set[str]:
        """The cameras that this producer is to read now."""
        return self._held.keys() | self._trials.keys()

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look."""
        usual = self._lease_s / (TRIAL_LOOKS if self._trials or self._yields else LOOKS)
        others = [producer.left_s for name, producer in self._producers.items() if name != self._me]
        return max(0.02, min([usual, *(left + 0.01 for left in others)]))

    def look(self, readable: Collection[str], now: float) -> set[str]:
        """Renew, take, take over and let go; returns the cameras that are to be read from now on.

        Args:
            readable: the cameras that this producer can read, by its settings.
            now: monotonic seconds.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis is away; see `expire`.
        """
        before = self._known(readable) if self._producers else {}
        self._look(readable, before, now)
        if (after := self._known(readable)) != before:
            self._look(readable, after, now)
        return self.reading

    def expire(self, now: float) -> set[str]:
        """What is to be read when Redis did not answer: less, once the leases may have gone to others."""
        self._trials.clear()
        self._held = {camera: at for camera, at in self._held.items() if now - at < KEEP * self._lease_s}
        return self.reading

    def release(self) -> None:
        """Give everything back and be no producer any more.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis is away.
        """
        keys = [self._keys.producers, *map(self._keys.lease, self._held)]
        self._held.clear()
        self._trials.clear()
        self._eval(_RELEASE, keys, self._me)

    def _known(self, readable: Collection[str]) -> dict[str, frozenset[str]]:
        known = {name: producer.cameras for name, producer in self._producers.items()}
        return {**known, self._me: frozenset(readable)}

    def _look(self, readable: Collection[str], producers: Mapping[str, frozenset[str]], now: float) -> None:
        mine = {camera for camera in readable if owner(camera, producers) == self._me}
        actions = {camera: "take" if camera in readable else "drop" for camera in [*self._held, *mine]}
        actions |= {
            camera: "seize"
            for camera, began in self._trials.items()
            if camera in mine and self._has_picture(camera, began)
        }
        keys = [self._keys.producers, *map(self._keys.lease, actions)]
        live, held = self._eval(
            _LOOK, keys, self._me, round(self._lease_s * 1000), " ".join(sorted(readable)), *actions.values()
        )
        self._producers = {
            name.decode(): Producer(frozenset(cameras.decode().split()), left_ms / 1000)
            for name, left_ms, cameras in live
        }
        self._held = {camera: now for camera, is_held in zip(actions, held, strict=True) if is_held}
        self._yields = not mine.issuperset(self._held)
        self._try(mine - self._held.keys(), now)

    def _try(self, wanted: Collection[str], now: float) -> None:
        """Go on with, begin and give up the opening of cameras that others still read."""
        self._rests = {camera: until for camera, until in self._rests.items() if now < until and camera in wanted}
        going = {camera: began for camera, began in self._trials.items() if camera in wanted}
        self._trials = {camera: began for camera, began in going.items() if now - began < self._trial_s}
        self._rests |= dict.fromkeys(going.keys() - self._trials.keys(), now + RETRY_S)
        fresh = sorted(set(wanted) - self._trials.keys() - self._rests.keys())
        self._trials |= dict.fromkeys(fresh[: TRIALS - len(self._trials)], now)

    def _eval(self, script: str, keys: list[str], *arguments: Any) -> list[Any]:
        return cast(list[Any], self._redis.eval(script, len(keys), *keys, *arguments))
