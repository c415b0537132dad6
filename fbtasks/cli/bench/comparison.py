"""The pipeline against its engine alone, turn by turn, so that a slow minute of the machine meets both alike."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import median

import numpy as np
from numpy.typing import NDArray

from fbtasks.cli.bench.engines import Run, TimedEngine, rate
from fbtasks.cli.bench.load import Answer, Sample
from fbtasks.cli.bench.pipeline import PipelineUnderTest, Turn
from fbtasks.latency import percentiles

LOAD = 0.6
"""Share of the pipeline's frames per second at which latency is measured: room for bursts, as a stable should have."""
LATENCY_TURNS = 4
"""Length of that measurement, in turns."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured.

    Attributes:
        alone: the engine's frames per second in each of its turns.
        turns: the pipeline's to results, in the same order.
        to_alerts: the pipeline's with the logic, to alerts; none where no logic runs.
        added_ms: from capture to result without the engine's own time, the runs of the frame's batch and of those that
            it waited for: p50, p95, p99 in milliseconds.
        waited_ms: the same with the wait for the runs before: without the run of the frame's own batch only. Whoever
            comes while an engine is busy waits for it, whatever the pipeline does.
        stage_ms: `waited_ms` from point to point.
        alerts_added_ms: as `added_ms`, to the commit that holds the frame's alerts.
        lost: frames of these measurements that were given up.
    """

    alone: Sequence[float]
    turns: Sequence[Turn]
    to_alerts: Sequence[Turn]
    added_ms: dict[str, float]
    waited_ms: dict[str, float]
    stage_ms: dict[str, dict[str, float]]
    alerts_added_ms: dict[str, float]
    lost: int

    @property
    def engine_fps(self) -> float:
        return median(self.alone)

    @property
    def pipeline_fps(self) -> float:
        return median(turn.fps for turn in self.turns)

    @property
    def ratio(self) -> float:
        """Median over the pairs of neighbouring turns."""
        return self._ratio(self.turns)

    @property
    def alerts_ratio(self) -> float:
        """The same for the pipeline with the logic."""
        return self._ratio(self.to_alerts)

    def _ratio(self, turns: Sequence[Turn]) -> float:
        return median(turn.fps / alone for turn, alone in zip(turns, self.alone, strict=True))

    @property
    def batch(self) -> float:
        return median(turn.batch for turn in self.turns)

    @property
    def cpu_ms(self) -> dict[str, float]:
        """Processor time per frame by part, medians, milliseconds."""
        return {part: median(turn.cpu_ms[part] for turn in self.turns) for part in self.turns[0].cpu_ms}


def steps(worker: PipelineUnderTest, rounds: int) -> int:
    """How much `compare` tells of its progress in all."""
    return (1 + len(worker.answers)) * rounds + len(worker.answers) * LATENCY_TURNS


def compare(
    worker: PipelineUnderTest,
    engine: TimedEngine,
    batch: NDArray[np.uint8],
    *,
    rounds: int,
    seconds: float,
    progress: Progress,
) -> Comparison:
    """Measure.

    Args:
        worker: running, with `engine` in it; idle while the engine has its turns.
        batch: pictures for the engine alone, uint8 `[max_batch, H, W, 3]`.
        rounds: turns of each.
        seconds: of a turn.
    """
    worker.warm_up()
    alone: list[float] = []
    turns: dict[Answer, list[Turn]] = {"results": [], "alerts": []}
    for _ in range(rounds):
        alone.append(rate(engine.run_for(batch, seconds, engine.at_once), engine.at_once))
        progress(1)
        for answer in worker.answers:
            turns[answer].append(worker.saturate(seconds, answer))
            progress(1)
    added: dict[Answer, dict[str, float]] = {"results": {}, "alerts": {}}
    waited: dict[Answer, dict[str, float]] = {"results": {}, "alerts": {}}
    stages: dict[Answer, dict[str, dict[str, float]]] = {"results": {}, "alerts": {}}
    lost = 0
    for answer in worker.answers:
        first_run = len(engine.runs)
        load = LOAD * median(turn.fps for turn in turns[answer])
        sent, samples = worker.pace(load, LATENCY_TURNS * seconds, answer)
        runs = engine.runs[first_run:]
        added[answer] = percentiles(added_s(samples, runs, engine.at_once))
        waited[answer], stages[answer] = latency(samples, runs)
        lost += sent - len(samples)
        progress(LATENCY_TURNS)
    return Comparison(
        alone=alone,
        turns=turns["results"],
        to_alerts=turns["alerts"],
        added_ms=added["results"],
        waited_ms=waited["results"],
        stage_ms=stages["results"],
        alerts_added_ms=added["alerts"],
        lost=lost,
    )


def latency(samples: Sequence[Sample], runs: Sequence[Run]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """A frame's way without the run of its own batch, in all and by stage; percentiles in milliseconds.

    Args:
        samples: of frames whose batches are among `runs`.
        runs: as they ended.
    """
    pairs = [(sample, runs[_own(sample, runs)]) for sample in samples]
    stages = {
        "push to take": [sample.taken_at - sample.captured_at for sample, _ in pairs],
        "take to run": [run.ended_at - run.run_s - sample.taken_at for sample, run in pairs],
        "run to result": [sample.arrived_at - run.ended_at for sample, run in pairs],
    }
    waited = percentiles([sample.arrived_at - sample.captured_at - run.run_s for sample, run in pairs])
    return waited, {stage: percentiles(times) for stage, times in stages.items()}


def added_s(samples: Sequence[Sample], runs: Sequence[Run], at_once: int) -> list[float]:
    """Seconds of each frame's way, from capture to result, without its own run and the wait for room in the engine.

    The engine has no room while as many runs are under way as it takes at once.

    Args:
        samples: of frames whose batches are among `runs`.
        runs: as they ended.
    """
    began, ended = _taken(runs, at_once)
    added = []
    for sample in samples:
        own = runs[_own(sample, runs)]
        before = np.minimum(ended, own.ended_at - own.run_s) - np.maximum(began, sample.captured_at)
        added.append(sample.arrived_at - sample.captured_at - own.run_s - float(before.clip(0).sum()))
    return added


def _taken(runs: Sequence[Run], at_once: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Beginnings and ends of the spans in which so many runs were under way, unix seconds."""
    changes = sorted([(run.ended_at - run.run_s, 1) for run in runs] + [(run.ended_at, -1) for run in runs])
    under_way = np.cumsum([change for _, change in changes])
    full = np.flatnonzero(under_way >= at_once)
    at = np.array([at for at, _ in changes])
    return at[full], at[full + 1]


def _own(sample: Sample, runs: Sequence[Run]) -> int:
    """Place of the run that had this frame in its batch."""
    return bisect_right(runs, sample.inferred_at, key=attrgetter("ended_at")) - 1
