"""The thread that tells the health board once a second what this process has done."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from fbtasks.health import REPORT_EVERY_S, HealthBoard, Report
from fbtasks.transport import REDIS_AWAY

log = logging.getLogger(__name__)


class Reporter:
    """Writes `make()` to the board while the `with` block runs; an orderly end removes the report."""

    def __init__(self, board: HealthBoard, make: Callable[[], Report]) -> None:
        self._board = board
        self._make = make
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._tell(lambda: self._board.remove(self._make()))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._tell(lambda: self._board.write(self._make()))
            self._stop.wait(REPORT_EVERY_S)

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except REDIS_AWAY as error:
            log.debug("health not reported: Redis is away (%s)", error)
