"""Says once that Redis went away, and once that it is back."""

import logging
import time

log = logging.getLogger(__name__)


class Outage:
    """Whether the Redis with the frames can be reached, as the publisher sees it."""

    def __init__(self) -> None:
        self._since: float | None = None

    def failed(self, error: Exception) -> None:
        """A command did not reach Redis."""
        if self._since is None:
            self._since = time.monotonic()
            log.warning("Redis is away, frames are dropped (%s)", error)

    def worked(self) -> None:
        """A command did."""
        if self._since is not None:
            log.info("Redis is back after %.1f s", time.monotonic() - self._since)
            self._since = None
