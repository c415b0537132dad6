"""Several processes doing the same thing at the same moment."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

RUNNERS = 4
START_TIMEOUT_S = 30

_line: Barrier | None = None


class Race:
    """Runs one function in every process of a pool, all starting together."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, function: Callable[..., Any], *arguments: object) -> list[Any]:
        """Results of `RUNNERS` simultaneous calls; raises what a call raised."""
        started = [self._pool.submit(_start, function, arguments) for _ in range(RUNNERS)]
        return [future.result(timeout=60) for future in started]


@pytest.fixture(scope="module")
def fork_server(request: pytest.FixtureRequest) -> ForkServerContext:
    """Starts processes that are not forked from this one and share no connection with it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([request.module.__name__, "alembic.command", "psycopg", "pymysql"])
    return context


@pytest.fixture(scope="module")
def race(fork_server: ForkServerContext) -> Iterator[Race]:
    """Processes waiting to run."""
    line = fork_server.Barrier(RUNNERS)
    with ProcessPoolExecutor(RUNNERS, fork_server, initializer=_take_place, initargs=(line,)) as pool:
        yield Race(pool)


def _take_place(line: Barrier) -> None:
    global _line  # noqa: PLW0603 - the only way from a pool's initialiser to its calls
    _line = line


def _start(function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    assert _line is not None
    _line.wait(START_TIMEOUT_S)
    return function(*arguments)
