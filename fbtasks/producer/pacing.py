"""When a camera's next frame is due, and what time a frame is stamped with."""

import math

SLEW = 0.5
"""After the wall clock was set back, stamps run at this speed until it has caught up with them."""


class Pacer:
    """Picks frames at a rate on average, whatever the rate of the source.

    Time is cut into slots of one period, shifted by `phase`; the first frame at or after a slot's start takes it. As
    slots and not gaps are counted, the rate is exact in the long run though no frame falls on a slot's start. A slot
    may be taken up to two periods late: a source at just the wanted rate, or slower, then loses no frame to jitter.
    What is later is skipped, so that a camera which comes back does not send a burst.

    Args:
        fps: frames per second, above 0.
        phase: shift of the slots in periods, 0 to 1. Cameras with phases apart do not send all at the same moment.
    """

    def __init__(self, fps: float, phase: float = 0.0) -> None:
        self._fps = fps
        self._phase = phase
        self._at: float | None = None
        self._position = 0.0
        """In slots; their lengths change with the rate."""
        self._slot: int | None = None

    def due(self, at: float, fps: float | None = None) -> bool:
        """Whether the frame of time `at` (seconds, never falling) is to be sent; it takes its slot if so.

        Args:
            fps: the rate since the last call, when it is not the usual one.
        """
        if self._at is None:
            self._position = (at * self._fps - self._phase) % 1.0
        else:
            self._position += (at - self._at) * (fps or self._fps)
        self._at = at
        current = math.floor(self._position)
        slot = current if self._slot is None else max(self._slot, current - 1)
        if slot > current:
            return False
        self._slot = slot + 1
        return True

    def hurry(self) -> None:
        """Let the next frame be due."""
        if self._slot is not None:
            self._position = max(self._position, float(self._slot))


def phases(count: int) -> list[float]:
    """Phases of `count` cameras, spread evenly over one period."""
    return [index / count for index in range(count)]


class CaptureClock:
    """Unix time that never runs backwards, for one camera.

    It shows the wall clock. When that is set back, the stamps go on at half speed until they agree again: an hour's
    step must neither silence the camera for an hour nor leave its stamps in the future for good.
    """

    def __init__(self) -> None:
        self._stamp = 0.0
        self._monotonic = 0.0

    def stamp(self, wall: float, monotonic: float) -> float:
        """The stamp, in unix seconds, for the clocks' readings `wall` and `monotonic` (seconds)."""
        floor = self._stamp + SLEW * (monotonic - self._monotonic) if self._stamp else wall
        self._stamp = max(wall, floor)
        self._monotonic = monotonic
        return self._stamp
