"""One after the other: cameras that fell together, as those of one recorder, are not all opened at the same moment."""

import threading


class Turnstile:
    """Lets so many pass each second, in the order in which they come.

    It spaces the beginnings and waits for no end, so that a camera which takes long to open holds up no other.

    Args:
        per_s: how many, above 0.
    """

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1.0 / per_s
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait_s(self, now: float) -> float:
        """Take a place; how many seconds after `now` (monotonic seconds) its holder may pass."""
        with self._lock:
            turn = max(now, self._free_at)
            self._free_at = turn + self._gap_s
        return turn - now
