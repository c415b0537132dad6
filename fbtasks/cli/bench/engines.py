"""Engines as `fbtasks bench` runs them: opened by name, every run timed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, thread_time, time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fbtasks.cli.infer import model_file
from fbtasks.detections import BatchCandidates
from fbtasks.errors import ConfigError, ProviderUnavailable
from fbtasks.gpu.engine import LADDER, Engine, Provider, open_engine
from fbtasks.gpu.fixed_engine import fixed_engine
from fbtasks.gpu.model import PreparedModel, prepare
from fbtasks.settings import Settings

FIXED = "fixed:"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an engine.

    Attributes:
        ended_at: unix seconds.
        run_s: how long it took.
        size: pictures in the batch.
    """

    ended_at: float
    run_s: float
    size: int


@dataclass(slots=True)
class TimedEngine:
    """An engine that keeps the time of its runs; see `fbtasks.gpu.engine.Engine`.

    Attributes:
        runs: all of them, in order.
        thread_s: what the runs took of the calling thread's processor time, seconds.
    """

    engine: Engine
    runs: list[Run] = field(default_factory=list)
    thread_s: float = 0.0

    @property
    def provider(self) -> str:
        return self.engine.provider

    @property
    def max_batch(self) -> int:
        return self.engine.max_batch

    @property
    def model(self) -> PreparedModel:
        return self.engine.model

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """See `Engine.run`."""
        began, began_thread = monotonic(), thread_time()
        candidates = self.engine.run(frames)
        self.thread_s += thread_time() - began_thread
        self.runs.append(Run(time(), monotonic() - began, len(frames)))
        return candidates

    def warm_up(self) -> None:
        """See `Engine.warm_up`."""
        self.engine.warm_up()

    def run_for(self, frames: NDArray[np.uint8], seconds: float) -> list[Run]:
        """The runs of the same batch again and again, until the time is over; one at least."""
        first = len(self.runs)
        deadline = monotonic() + seconds
        while len(self.runs) == first or monotonic() < deadline:
            self.run(frames)
        return self.runs[first:]


def rate(runs: list[Run]) -> float:
    """Frames per second of runs that followed each other at once."""
    return sum(run.size for run in runs) / sum(run.run_s for run in runs)


def opener(settings: Settings, size: tuple[int, int]) -> Callable[[str], Engine]:
    """What opens a warm engine by its name; the model is prepared once, when the first engine needs it.

    Args:
        settings: the model and how it is run.
        size: width and height of the pictures.

    The opener raises:
        ConfigError: there is no such engine, or it needs a model and none is set.
        EngineError: the model or the provider cannot be used here.
    """
    gpu = settings.gpu
    cache = settings.data_dir / "models"
    prepared: list[PreparedModel] = []

    def model() -> PreparedModel:
        if gpu.model is None:
            raise ConfigError(f"gpu.model is not set: name an ONNX export with --model, or take --engine {FIXED}20ms")
        if not prepared:
            prepared.append(prepare(model_file(settings), cache, top_k=gpu.candidates, input_size=size))
        return prepared[0]

    def opened(name: str) -> Engine:
        if name.startswith(FIXED):
            return fixed_engine(name, gpu.max_batch, input_size=size, candidates=gpu.candidates)
        provider = _provider(name)
        engine = open_engine(
            model(),
            provider=provider,
            max_batch=gpu.max_batch,
            threads=gpu.threads,
            precision=gpu.precision,
            cache_dir=cache,
        )
        engine.warm_up()
        return engine

    return opened


def all_that_run(open_one: Callable[[str], Engine]) -> list[Engine]:
    """One engine for each provider that runs here.

    Raises:
        ProviderUnavailable: none does; says why of each.
    """
    engines: list[Engine] = []
    refused: list[str] = []
    for name in LADDER:
        try:
            engines.append(open_one(name))
        except ProviderUnavailable as error:
            refused.append(f"{name}: {error}")
    if not engines:
        raise ProviderUnavailable("no provider runs the model here: " + "; ".join(refused))
    return engines


def _provider(name: str) -> Provider | Literal["auto"]:
    if name == "auto":
        return "auto"
    for provider in LADDER:
        if name == provider:
            return provider
    raise ConfigError(f"there is no engine {name!r}: take one of auto, {', '.join(LADDER)}, {FIXED}20ms")
