"""How much of its wanted frames a producer sends, told from how many wait in the list.

Each push is answered with the length of the list. What waits there is worked off within a run of the model or two, or
it stands there: then more is sent than the GPU workers take. (A worker that falls behind takes more at once, to choose
the freshest, so that under any overload the list stands at a few batches and does not grow; it grows only where no
worker runs.) Many producers share one list and do not know of each other. Each adds to its share at a fixed pace while
little waits, and takes off a part of it while much does: additive increase and multiplicative decrease, which brings
unequal shares together (Chiu and Jain, 1989). While the list is getting shorter, nothing is taken off: what was taken
off shows only when the list has been worked off, and to go on until then would end far too low.

Pure: lengths and times in, a share out.
"""

import math

RISE_PER_S = 0.02
"""Added to the share in a second in which little waits: from nothing to everything in 50 s."""
FALL_PER_S = 0.1
"""Part of the share that is taken off in a second in which just too much waits; up to `STEEPEST` times as fast."""
STEEPEST = 3.0
LEAST_SHARE = 0.02
QUICK_S, SLOW_S = 0.3, 1.0
"""Time constants of two means of the list's length: the slow one decides, the quick one tells where it is going."""
FALLING = 0.9
"""The quick mean below so much of the slow one: the list is getting shorter."""
LONGEST_STEP_S = 0.5
"""After a pause in pushing the list says nothing of that time."""


class BackPressure:
    """The share of one producer, 0 to 1.

    Args:
        room: frames that may wait in the list on average; about half of what a worker runs at once.
    """

    def __init__(self, room: float) -> None:
        self.share = 1.0
        self._room = room
        self._quick = 0.0
        self._slow = 0.0
        self._at: float | None = None

    def pushed(self, waiting: int, now: float) -> None:
        """Take note of a push that found `waiting` frames in the list, at `now` (monotonic seconds)."""
        passed = 0.0 if self._at is None else min(max(0.0, now - self._at), LONGEST_STEP_S)
        self._at = now
        self._quick += (waiting - self._quick) * -math.expm1(-passed / QUICK_S)
        self._slow += (waiting - self._slow) * -math.expm1(-passed / SLOW_S)
        if self._slow <= self._room:
            self.share = min(1.0, self.share + RISE_PER_S * passed)
        elif self._quick >= FALLING * self._slow:
            steepness = min(STEEPEST, self._slow / self._room)
            self.share = max(LEAST_SHARE, self.share * (1.0 - FALL_PER_S * steepness * passed))


def room_for(max_batch: int) -> float:
    """The `room` where workers run up to `max_batch` frames at once."""
    return max(4.0, max_batch / 2)
