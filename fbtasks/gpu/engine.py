"""The engine: what runs the model. Which one, `open_engine` decides, down a ladder and never silently."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.errors import ProviderUnavailable
from fbtasks.gpu import onnx_engine, openvino_engine
from fbtasks.gpu.model import PreparedModel

log = logging.getLogger(__name__)

Provider = Literal["tensorrt", "cuda", "openvino", "cpu"]
Precision = Literal["auto", "float32"]

LADDER: tuple[Provider, ...] = ("tensorrt", "cuda", "openvino", "cpu")
"""Providers, fastest first."""


class Engine(Protocol):
    """Runs one model."""

    @property
    def provider(self) -> str:
        """What really runs the model: tensorrt, cuda, openvino or cpu."""

    @property
    def max_batch(self) -> int:
        """Most pictures in one run; fewer than was asked for where larger batches gain nothing."""

    @property
    def at_once(self) -> int:
        """How many threads may call `run` at a time: several where they gain more than a batch."""

    @property
    def model(self) -> PreparedModel:
        """The model that is run."""

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """Candidates of each picture, best first.

        Args:
            frames: uint8 `[B, H, W, 3]`, RGB, of the model's input size, `B` at most `max_batch`.

        Raises:
            ValueError: the array is of another type or shape.
            OutOfDeviceMemory: the batch is too large for what memory there is now.
        """

    def warm_up(self) -> None:
        """Run whatever is slow the first time; afterwards every batch size takes its usual time."""


def open_engine(
    model: PreparedModel,
    *,
    provider: Provider | Literal["auto"] = "auto",
    max_batch: int,
    threads: int = 0,
    precision: Precision = "auto",
    cache_dir: Path,
) -> Engine:
    """An engine for the model; not yet warm.

    Args:
        model: from `prepare`.
        provider: this one or none; `auto` takes the first of `LADDER` that runs the model here.
        max_batch: most pictures in one run.
        threads: of a provider that computes on the CPU; 0 means all cores this process may use.
        precision: `auto` lets the provider compute in half precision where that is faster.
        cache_dir: for what TensorRT builds, which takes minutes the first time.

    Raises:
        ProviderUnavailable: the provider does not really run the model here; the message says what is missing.
    """
    threads = threads or cores()
    half = precision == "auto"
    rungs: dict[Provider, Callable[[], Engine]] = {
        "tensorrt": lambda: onnx_engine.open_tensorrt(model, max_batch, half, cache_dir),
        "cuda": lambda: onnx_engine.open_cuda(model, max_batch, half),
        "openvino": lambda: openvino_engine.open_openvino(model, max_batch, half, threads),
        "cpu": lambda: onnx_engine.open_cpu(model, max_batch, threads),
    }
    return _first_that_runs(rungs) if provider == "auto" else rungs[provider]()


def _first_that_runs(rungs: dict[Provider, Callable[[], Engine]]) -> Engine:
    refused: list[str] = []
    for name in LADDER:
        try:
            engine = rungs[name]()
        except ProviderUnavailable as error:
            refused.append(f"{name}: {error}")
            continue
        if refused:
            log.warning("the model runs on %s; faster providers are not to be had: %s", name, "; ".join(refused))
        return engine
    raise ProviderUnavailable("no provider runs the model here: " + "; ".join(refused))


def cores() -> int:
    """Cores this process may use; a container's or a cgroup's share, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
