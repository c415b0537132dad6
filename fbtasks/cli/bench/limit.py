"""Raw speed of engines, without any pipeline around them: the limit of what a worker can reach."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from fbtasks.cli.bench.engines import Run, TimedEngine, rate
from fbtasks.latency import percentiles

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Limit:
    """What one engine does with one size of batch.

    Attributes:
        batch: pictures in a run.
        at_once: runs under way.
        fps: frames per second, median of the rounds.
        run_ms: p50, p95 and p99 of a run, milliseconds.
    """

    provider: str
    batch: int
    at_once: int
    fps: float
    run_ms: dict[str, float]


def sizes(most: int) -> list[int]:
    """Powers of two up to `most`, and `most` itself."""
    powers = [1 << bits for bits in range(most.bit_length())]
    return sorted({*powers, most})


def cells(engines: Sequence[TimedEngine]) -> list[tuple[TimedEngine, int, int]]:
    """Every engine with every size of batch, and every number of runs at once, that it takes."""
    return [
        (engine, size, at_once)
        for engine in engines
        for size in sizes(engine.max_batch)
        for at_once in sizes(engine.at_once)
    ]


def limits(
    engines: Sequence[TimedEngine], pictures: NDArray[np.uint8], *, rounds: int, seconds: float, progress: Progress
) -> list[Limit]:
    """Measure all engines and sizes in turn, so that a slow minute of the machine meets all alike.

    Args:
        pictures: as many as the largest batch, uint8 `[B, H, W, 3]`, of the models' input size.
        rounds: turns of each.
        seconds: of one turn; one run at least.
        progress: told 1 after every turn.
    """
    of_all = cells(engines)
    turns: list[list[list[Run]]] = [[] for _ in of_all]
    for _ in range(rounds):
        for (engine, size, at_once), done in zip(of_all, turns, strict=True):
            done.append(engine.run_for(pictures[:size], seconds, at_once))
            progress(1)
    return [_limit(*cell, done) for cell, done in zip(of_all, turns, strict=True)]


def _limit(engine: TimedEngine, size: int, at_once: int, turns: list[list[Run]]) -> Limit:
    run_ms = percentiles([run.run_s for turn in turns for run in turn])
    return Limit(engine.provider, size, at_once, round(median(rate(turn, at_once) for turn in turns), 2), run_ms)
