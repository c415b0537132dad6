"""Whether decoding the key frames alone is enough, told from when they come."""

from collections import deque
from typing import Literal

Decode = Literal["all", "keyframes", "auto"]

INTERVALS = 3
"""So many in a row must be short enough: cameras that save bandwidth make them as long as nothing moves."""
ABSENT_S = 30.0
"""No key frame for so long, and a stream of which only they are wanted is of no use."""


class KeyFrames:
    """Decides for one connection. All times are monotonic seconds.

    Args:
        decode: `auto`: key frames alone as long as they come at least as often as frames are wanted.
        fps: frames per second that are wanted.
    """

    def __init__(self, decode: Decode, fps: float, now: float) -> None:
        self._decode = decode
        self._period_s = 1.0 / fps
        self._last_at: float | None = None
        self._since = now
        self._intervals: deque[float] = deque(maxlen=INTERVALS)

    @property
    def interval_s(self) -> float | None:
        """The longest of the last intervals between key frames; None before there are enough."""
        return max(self._intervals) if len(self._intervals) == INTERVALS else None

    @property
    def alone(self) -> bool:
        """Whether all frames between key frames may be left out."""
        if self._decode != "auto":
            return self._decode == "keyframes"
        return self.interval_s is not None and self.interval_s <= self._period_s

    def came(self, now: float) -> None:
        """Take note of a key frame."""
        if self._last_at is not None:
            self._intervals.append(now - self._last_at)
        self._last_at = self._since = now

    def absent(self, now: float) -> bool:
        """Whether there has been none for too long."""
        return now - self._since > ABSENT_S
