"""How many pictures fit into one run while the device's memory is short."""

PROBE_MIN_S = 30.0
"""After so long a larger batch is tried again; the pause doubles each time that fails."""
PROBE_MAX_S = 600.0


class BatchLimit:
    """The largest batch that may be run. Halves when memory runs out and finds its way back.

    Another program on the same GPU may take its memory for an hour or for good, so the limit must come back by itself,
    and asking must stay cheap. Times are seconds of any steady clock.
    """

    def __init__(self, max_batch: int) -> None:
        self._most = max_batch
        self._limit = max_batch
        self._pause_s = PROBE_MIN_S
        self._probe_at = 0.0

    @property
    def limit(self) -> int:
        """What is known to fit."""
        return self._limit

    def allowed(self, now: float) -> int:
        """The size to run now: what fits, or twice that when it is time to try."""
        return min(self._most, 2 * self._limit) if now >= self._probe_at else self._limit

    def failed(self, size: int, now: float) -> None:
        """A run of `size` pictures, 2 at least, was too large."""
        was_probe = size > self._limit
        self._pause_s = min(2 * self._pause_s, PROBE_MAX_S) if was_probe else PROBE_MIN_S
        self._limit = self._limit if was_probe else max(1, size // 2)
        self._probe_at = now + self._pause_s

    def worked(self, size: int, now: float) -> bool:
        """A run of `size` pictures went well; returns whether that has raised the limit."""
        if size <= self._limit:
            return False
        self._limit = size
        self._pause_s = PROBE_MIN_S
        self._probe_at = now + self._pause_s
        return True
