"""The thread that tells once a second what this process has done: the health board, and systemd where that listens."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from fbtasks.health import REPORT_EVERY_S, HealthBoard, Report
from fbtasks.systemd import READY, STOPPING, WATCHDOG, notify, status
from fbtasks.transport import REDIS_AWAY

log = logging.getLogger(__name__)


class Reporter:
    """Writes `make()` to the board while the `with` block runs; an orderly end removes the report.

    Args:
        is_ready: the process does its work in the block; false while it still prepares for it.
    """

    def __init__(self, board: HealthBoard, make: Callable[[], Report], *, is_ready: bool = True) -> None:
        self._board = board
        self._make = make
        self._is_ready = is_ready
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def __enter__(self) -> Self:
        if self._is_ready:
            notify(READY)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_ready:
            notify(STOPPING)
        self._stop.set()
        self._thread.join()
        if error is None:
            self._tell(lambda: self._board.remove(self._make()))

    def _run(self) -> None:
        while not self._stop.is_set():
            report = self._make()
            notify(WATCHDOG, status(_in_words(report)))
            self._tell(partial(self._board.write, report))
            self._stop.wait(REPORT_EVERY_S)

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except REDIS_AWAY as error:
            log.debug("health not reported: Redis is away (%s)", error)


def _in_words(report: Report) -> str:
    done = (
        "nothing done yet"
        if report.progress_at is None
        else f"last progress {report.at - report.progress_at:.1f} s ago"
    )
    return " ".join([done, *(f"{name}={value}" for name, value in report.facts.items())])
