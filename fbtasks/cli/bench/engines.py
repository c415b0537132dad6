"""Engines as `fbtasks bench` runs them: opened by name, every run timed."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, thread_time, time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fbtasks.cli.engine import engine_of
from fbtasks.cli.infer import model_file
from fbtasks.detections import BatchCandidates
from fbtasks.errors import ConfigError, ProviderUnavailable
from fbtasks.gpu.engine import LADDER, Engine, Provider
from fbtasks.gpu.fixed_engine import fixed_engine
from fbtasks.gpu.model import PreparedModel
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
        runs: all of them, as they ended.
        thread_s: what the runs took of the calling threads' processor time, seconds.
    """

    engine: Engine
    runs: list[Run] = field(default_factory=list)
    thread_s: float = 0.0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def provider(self) -> str:
        return self.engine.provider

    @property
    def max_batch(self) -> int:
        return self.engine.max_batch

    @property
    def at_once(self) -> int:
        return self.engine.at_once

    @property
    def model(self) -> PreparedModel:
        return self.engine.model

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """See `Engine.run`."""
        began, began_thread = monotonic(), thread_time()
        candidates = self.engine.run(frames)
        with self._counting:
            self.thread_s += thread_time() - began_thread
            self.runs.append(Run(time(), monotonic() - began, len(frames)))
        return candidates

    def warm_up(self) -> None:
        """See `Engine.warm_up`."""
        self.engine.warm_up()

    def run_for(self, frames: NDArray[np.uint8], seconds: float, threads: int = 1) -> list[Run]:
        """The runs of the same batch again and again, one at least in each thread, until the time is over."""
        first = len(self.runs)
        deadline = monotonic() + seconds

        def again_and_again() -> None:
            self.run(frames)
            while monotonic() < deadline:
                self.run(frames)

        with ThreadPoolExecutor(threads) as pool:
            for running in [pool.submit(again_and_again) for _ in range(threads)]:
                running.result()
        return self.runs[first:]


def rate(runs: list[Run], threads: int = 1) -> float:
    """Frames per second of runs that followed each other at once in each thread."""
    return threads * sum(run.size for run in runs) / sum(run.run_s for run in runs)


def opener(settings: Settings, size: tuple[int, int]) -> Callable[[str], Engine]:
    """What opens a warm engine by its name.

    Args:
        settings: the model and how it is run.
        size: width and height of the pictures.

    The opener raises:
        ConfigError: there is no such engine, or it needs a model and none is set.
        EngineError: the model or the provider cannot be used here.
    """
    gpu = settings.gpu

    def opened(name: str) -> Engine:
        if name.startswith(FIXED):
            return fixed_engine(name, gpu.max_batch, input_size=size, candidates=gpu.candidates)
        provider = _provider(name)
        if gpu.model is None:
            raise ConfigError(f"gpu.model is not set: name an ONNX export with --model, or take --engine {FIXED}20ms")
        engine = engine_of(settings, model_file(settings), size, provider=provider, max_batch=gpu.max_batch)
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
