"""A clock that is slow where this process is: what is late for want of a processor does not hang.

A thread that has been given no time sees everything else come late, and so it does after the whole machine was halted
for a while. To end a process for that would make a busy machine busier.
"""

from time import monotonic


class PatientClock:
    """Monotonic seconds, of which at most `most_s` pass from one tick to the next. One thread ticks, any may read.

    Args:
        most_s: about twice the time that is to be between two ticks.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        at = monotonic()
        self._last = at, at
        """What this clock and the monotonic one showed at the last tick; replaced as one."""

    def __call__(self) -> float:
        """The time now."""
        shown, at = self._last
        return shown + min(monotonic() - at, self._most_s)

    def tick(self) -> float:
        """Let time go on; the time now."""
        shown, before = self._last
        at = monotonic()
        shown += min(at - before, self._most_s)
        self._last = shown, at
        return shown
