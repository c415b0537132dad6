"""Pings to a watchdog service: it hears from us while all is well, and raises the alarm when it does not."""

import logging

import urllib3
from urllib3.exceptions import HTTPError

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0


class Pinger:
    """Asks for `url` while all is well, and for `/fail` below it when not: at once when that changes, else in time.

    Args:
        url: http or https, as healthchecks and the like give it out.
        every_s: seconds between two pings that say the same.
    """

    def __init__(self, url: str, every_s: float) -> None:
        self._url = url.rstrip("/")
        self._every_s = every_s
        self._last: tuple[bool, float] | None = None
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=TIMEOUT_S))

    def tell(self, well: bool, now: float) -> None:
        """Ping if it is time to, at `now` (seconds of any clock). A ping that failed is tried at the next call."""
        if self._last is not None and self._last[0] == well and now - self._last[1] < self._every_s:
            return
        try:
            answer = self._pool.request("GET", self._url if well else f"{self._url}/fail", redirect=False)
        except (HTTPError, OSError) as error:
            log.warning("health.ping_url does not answer: %s", type(error).__name__)  # its text shows the URL
            return
        if answer.status >= 300:
            log.warning("health.ping_url answered %d", answer.status)
            return
        self._last = (well, now)
