"""The engine on a CPU: which lane computes what, and when."""

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.errors import OutOfDeviceMemory
from fbtasks.gpu.cpu_engine import CpuEngine
from fbtasks.gpu.model import PreparedModel

SIDE = 32
WAIT_S = 10.0


class FakeLane:
    """Tells each picture's colour as its confidence, and notes whether two callers met in it.

    Args:
        held: the picture of this colour takes until that was released so often by the others.
        refused: a colour that raises.

    Attributes:
        done: colours that were computed.
    """

    def __init__(self, held: tuple[int, threading.Semaphore, int] | None = None, refused: int | None = None) -> None:
        self.done: list[int] = []
        self.met = False
        self._held = held
        self._refused = refused
        self._turn = threading.Lock()

    def __call__(self, frame: NDArray[np.uint8]) -> BatchCandidates:
        self.met |= not self._turn.acquire(blocking=False)
        colour = int(frame[0, 0, 0, 0])
        if colour == self._refused:
            raise RuntimeError("std::bad_alloc")
        if self._held is not None:
            which, others, times = self._held
            if colour == which:
                assert all(others.acquire(timeout=WAIT_S) for _ in range(times))
            else:
                others.release()
        self.done.append(colour)
        self._turn.release()
        confidence = np.full((1, 1), colour, np.float32)
        return BatchCandidates(np.zeros((1, 1, 4), np.float32), confidence, np.zeros((1, 1), np.int32))


def engine(alone: FakeLane, *beside: FakeLane, max_batch: int = 8) -> CpuEngine:
    model = PreparedModel(Path("none"), {0: "horse"}, SIDE, SIDE, 1, "colour-0", None)
    return CpuEngine(model, "fake", alone, beside, max_batch)


def pictures(count: int) -> NDArray[np.uint8]:
    return np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((SIDE, SIDE, 3), np.uint8)


def colours(found: BatchCandidates) -> list[int]:
    return [int(colour) for colour in found.confidence[:, 0]]


def test_one_picture_is_computed_by_all_threads() -> None:
    alone, lanes = FakeLane(), (FakeLane(), FakeLane())
    assert colours(engine(alone, *lanes).run(pictures(1))) == [0]
    assert (alone.done, [lane.done for lane in lanes]) == ([0], [[], []])


def test_a_few_for_many_lanes_are_computed_one_after_another() -> None:
    alone, lanes = FakeLane(), [FakeLane() for _ in range(4)]
    several = engine(alone, *lanes)
    assert colours(several.run(pictures(2))) == [0, 1]
    assert alone.done == [0, 1]
    assert colours(several.run(pictures(3))) == [0, 1, 2]
    assert alone.done == [0, 1]


def test_what_is_left_for_a_few_lanes_is_computed_by_all_threads() -> None:
    alone, lanes = FakeLane(), [FakeLane() for _ in range(2)]
    assert colours(engine(alone, *lanes).run(pictures(7))) == [0, 1, 2, 3, 4, 5, 6]
    assert alone.done == [6]
    assert sorted(lanes[0].done + lanes[1].done) == [0, 1, 2, 3, 4, 5]


def test_the_lane_that_is_done_first_goes_on_and_the_order_is_kept() -> None:
    others = threading.Semaphore(0)
    lanes = [FakeLane(held=(0, others, 3)) for _ in range(2)]
    assert colours(engine(FakeLane(), *lanes).run(pictures(4))) == [0, 1, 2, 3]
    assert sorted(sorted(lane.done) for lane in lanes) == [[0], [1, 2, 3]]
    assert not any(lane.met for lane in lanes)


def test_a_failure_comes_when_no_lane_computes_any_more() -> None:
    later = threading.Semaphore(0)
    lanes = [FakeLane(held=(1, later, 1), refused=0) for _ in range(2)]
    timer = threading.Timer(0.1, later.release)
    timer.start()
    with pytest.raises(OutOfDeviceMemory, match="bad_alloc"):
        engine(FakeLane(), *lanes).run(pictures(2))
    assert sorted(lane.done for lane in lanes) == [[], [1]]
    timer.join()


@pytest.mark.parametrize(("lanes", "asked", "most"), [(0, 8, 1), (1, 8, 1), (2, 8, 8), (2, 1, 1), (2, 3, 3), (8, 8, 8)])
def test_a_batch_is_as_large_as_pays(lanes: int, asked: int, most: int) -> None:
    found = engine(FakeLane(), *(FakeLane() for _ in range(lanes)), max_batch=asked)
    assert found.max_batch == most
    found.warm_up()
    with pytest.raises(ValueError, match="expected"):
        found.run(pictures(most + 1))
