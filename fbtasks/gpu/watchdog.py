"""Notices a run of the model that does not come back.

A call into a driver that hangs cannot be interrupted, neither by a signal nor by another thread: only the end of the
process ends it. So a thread of its own watches the time, and who started it decides what to save before that end.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import monotonic
from types import TracebackType
from typing import Self

TIMES_USUAL = 10.0
BEFORE_ANY_S = 60.0
"""Limit of the first run of all, whose usual time nobody knows; engines are warm by then."""
_REMEMBERED = 64


class UsualTime:
    """What runs take per picture, and from when on a run counts as hung."""

    def __init__(self, floor_s: float) -> None:
        self._floor_s = floor_s
        self._per_picture: deque[float] = deque(maxlen=_REMEMBERED)

    def took(self, pictures: int, seconds: float) -> None:
        """A run has ended."""
        self._per_picture.append(seconds / pictures)

    def usual_s(self, pictures: int) -> float | None:
        """What a run of so many pictures takes; larger batches rather less. None before the first."""
        return median(self._per_picture) * pictures if self._per_picture else None

    def limit_s(self, pictures: int) -> float:
        """When a run of so many pictures counts as hung."""
        usual = self.usual_s(pictures)
        return max(self._floor_s, BEFORE_ANY_S if usual is None else TIMES_USUAL * usual)


@dataclass(frozen=True, slots=True)
class _Run:
    pictures: int
    began: float
    limit_s: float
    usual_s: float | None


class Watchdog:
    """Watches runs while the `with` block lasts.

    Args:
        floor_s: no run is hung before so many seconds.
        on_hang: called once, from another thread, with what happened in words; the run is still hanging then.
    """

    def __init__(self, floor_s: float, on_hang: Callable[[str], None]) -> None:
        self._usual = UsualTime(floor_s)
        self._on_hang = on_hang
        self._runs: dict[int, _Run] = {}
        self._began = threading.Event()
        self._stopped = False
        self._check_s = min(0.5, floor_s / 4)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    @contextmanager
    def watching(self, pictures: int) -> Iterator[None]:
        """Around one run; one for each thread at a time."""
        began, thread = monotonic(), threading.get_ident()
        self._runs[thread] = _Run(pictures, began, self._usual.limit_s(pictures), self._usual.usual_s(pictures))
        self._began.set()
        try:
            yield
        finally:
            del self._runs[thread]
        self._usual.took(pictures, monotonic() - began)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._began.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = threading.Event()
        while not self._stopped:
            self._began.wait()  # an idle worker costs nothing
            self._began.clear()
            while runs := list(self._runs.values()):
                run = min(runs, key=_hangs_at)
                now = monotonic()
                if now > _hangs_at(run):
                    self._on_hang(_told(run, now - run.began))
                    return
                pause.wait(min(self._check_s, run.limit_s))


def _hangs_at(run: _Run) -> float:
    return run.began + run.limit_s


def _told(run: _Run, ran_s: float) -> str:
    usual = "the first of all" if run.usual_s is None else f"usually {run.usual_s:.3f} s"
    return f"a run of {run.pictures} pictures has not ended after {ran_s:.1f} s ({usual})"
