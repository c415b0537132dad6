"""Batches in parts while memory is short."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.errors import OutOfDeviceMemory
from fbtasks.gpu import runner
from fbtasks.gpu.batch_limit import PROBE_MIN_S
from fbtasks.gpu.fixed_engine import FixedEngine, fixed_engine
from fbtasks.gpu.memory import memory_faults
from fbtasks.gpu.runner import Runner
from fbtasks.gpu.watchdog import Watchdog

SIDE = 32


class Small:
    """An engine on a device where `fits` pictures fit; tells each picture's colour as its confidence."""

    provider = "none"
    max_batch = 8
    at_once = 1

    def __init__(self, fits: int) -> None:
        self.model = fixed_engine("fixed:1ms", 8, input_size=(SIDE, SIDE)).model
        self.fits = fits
        self.sizes: list[int] = []

    def warm_up(self) -> None:
        """Nothing is slow."""

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        self.sizes.append(len(frames))
        with memory_faults():
            if len(frames) > self.fits:
                raise RuntimeError(
                    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of "
                    "size 838860800"
                )
        colour = (frames[:, 0, 0, :1] / 255).astype(np.float32)
        return BatchCandidates(np.zeros((len(frames), 1, 4), np.float32), colour, np.zeros(colour.shape, np.int32))


def pictures(count: int) -> NDArray[np.uint8]:
    return np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((SIDE, SIDE, 3), np.uint8)


def colours(found: BatchCandidates) -> list[int]:
    return [round(float(confidence) * 255) for confidence in found.confidence[:, 0]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr(runner, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def made() -> Runner:
    return Runner(8, Watchdog(10.0, lambda _what: None))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("fits", "sizes"), [(8, [8]), (5, [8, 4, 4]), (2, [8, 4, 2, 2, 2, 2]), (1, [8, 4, 2, *[1] * 8])]
)
def test_every_picture_is_run_in_order_whatever_fits(fits: int, sizes: list[int]) -> None:
    running, engine = made(), Small(fits)
    assert colours(running.run(engine, pictures(8))) == list(range(8))
    assert engine.sizes == sizes
    assert running.limit.limit <= fits


def test_it_finds_its_way_back_and_says_so(clock: Callable[[float], None], caplog: pytest.LogCaptureFixture) -> None:
    running, engine = made(), Small(3)
    with caplog.at_level(logging.INFO):
        running.run(engine, pictures(8))
        assert (running.limit.limit, running.memory_faults) == (2, 2)
        engine.fits = 8
        for _ in range(2):
            clock(PROBE_MIN_S)
            assert colours(running.run(engine, pictures(8))) == list(range(8))
    assert running.limit.limit == 8
    said = [record.getMessage() for record in caplog.records]
    assert "no memory for a batch of 8, going on with 4: [ONNXRuntimeError]" in said[0]
    assert said[2:] == ["batches of 4 fit again", "batches of 8 fit again"]


@pytest.mark.usefixtures("clock")
def test_a_device_on_which_nothing_fits_is_an_error() -> None:
    running = made()
    with pytest.raises(OutOfDeviceMemory, match="Failed to allocate memory"):
        running.run(Small(0), pictures(8))
    assert running.memory_faults == 4


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("CUDA failure 2: out of memory ; GPU=0"),
        RuntimeError("CUDA error cudaErrorMemoryAllocation:out of memory"),
        RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 123"),
        RuntimeError("CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED ; GPU=0"),
        RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
    ],
)
def test_a_want_of_memory_is_known_by_its_words(fault: Exception) -> None:
    with pytest.raises(OutOfDeviceMemory) as told, memory_faults():
        raise fault
    assert told.value.__cause__ is fault


def test_other_faults_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="device lost"), memory_faults():
        raise RuntimeError("CUDA failure 719: device lost")


def test_the_engine_of_the_bench_runs_too() -> None:
    engine: FixedEngine = fixed_engine("fixed:1ms", 8, input_size=(SIDE, SIDE), candidates=20)
    assert len(made().run(engine, pictures(8))) == 8
