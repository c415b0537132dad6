"""How fast a sink may be sent to, and when it is left in peace; remembered between runs and processes."""

from typing import cast

import msgspec
from redis import Redis

from fbtasks.keys import PACE_TTL_S, Keys

BURST_S = 2.0
"""Alerts that the rate allows in so long may go at once; the sweep starts a new run about as often."""
FURTHEST_S = 60.0
"""What is spent reaches less far ahead, even at the slowest rate; else somebody has set the clock back."""


class Pace(msgspec.Struct):
    """What must be known of a sink's last runs. Times are unix seconds.

    Attributes:
        spent_until: when the alerts sent so far would have gone out, had each taken its share of a second.
        failures: tries in a row that failed and may be repeated.
        rest_until: nothing is tried before: what failed once will mostly fail for the next alert too.
    """

    spent_until: float = 0.0
    failures: int = 0
    rest_until: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether the next alert may be tried."""
        ahead_s = self.spent_until - now
        return now >= self.rest_until and not BURST_S <= ahead_s <= FURTHEST_S

    def spend(self, now: float, max_per_s: float) -> None:
        """Note a try."""
        begun = self.spent_until if now < self.spent_until <= now + FURTHEST_S else now
        self.spent_until = begun + 1 / max_per_s

    def answered(self) -> None:
        """Note that the sink works, whether it took the alert or refused it for good."""
        self.failures = 0

    def rest(self, until: float) -> None:
        """Note a failure that may pass."""
        self.failures += 1
        self.rest_until = until


class Paces:
    """The paces of all sinks, in Redis. Only who holds a sink's lock reads and writes its pace."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def read(self, sink: str) -> Pace:
        """A sink's pace; a fresh one where none is known."""
        value = cast(bytes | None, self._redis.get(self._keys.pace(sink)))
        return msgspec.json.decode(value, type=Pace) if value is not None else Pace()

    def write(self, sink: str, pace: Pace) -> None:
        """Remember it."""
        self._redis.set(self._keys.pace(sink), msgspec.json.encode(pace), ex=PACE_TTL_S)
