"""When a camera's next frame is due, and what time a frame is stamped with."""

import math

SLEW = 0.5
"""After the wall clock was set back, stamps run at this speed until it has caught up with them."""

APART = 0.5
"""Two frames of different cameras are so far apart, as a share of what they would be if all were spread evenly."""
PATIENCE = 0.5
"""For that, a frame is left to a later one within so many periods.

Simulated: four cameras of 25 and 30 fps whose pictures come at random, 5 frames a second each and 20 ms for a frame:
the 95th percentile of the wait was 11.0 ms, and is 0.0.
"""


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

    def due(self, at: float, fps: float | None = None, *, crowded: bool = False) -> bool:
        """Whether the frame of time `at` (seconds, never falling) is to be sent; it takes its slot if so.

        Args:
            fps: the rate since the last call, when it is not the usual one.
            crowded: rather a later frame of the same slot, if there will be one.
        """
        step = 0.0
        if self._at is None:
            self._position = (at * self._fps - self._phase) % 1.0
        else:
            step = (at - self._at) * (fps or self._fps)
            self._position += step
        self._at = at
        current = math.floor(self._position)
        slot = current if self._slot is None else max(self._slot, current - 1)
        if slot > current:
            return False
        if crowded and step and self._position + step < slot + PATIENCE:
            return False
        self._slot = slot + 1
        return True

    def hurry(self) -> None:
        """Let the next frame be due."""
        if self._slot is not None:
            self._position = max(self._position, float(self._slot))


class Spacing:
    """Keeps the frames of several cameras apart, so that hardly one waits while another is analysed.

    Attributes:
        fps: frames per second of all cameras together, above 0.
    """

    def __init__(self, fps: float = 1.0) -> None:
        self.fps = fps
        self._last = -math.inf

    def is_crowded(self, at: float) -> bool:
        """Whether a frame of time `at` (seconds) would come too soon after the last one."""
        return abs(at - self._last) < APART / self.fps

    def note(self, at: float) -> None:
        """A frame of this time is sent. Threads that do so at once do no harm."""
        self._last = at


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
