"""The engine on a CPU: which lane computes what, and when."""

import threading
from concurrent.futures import ThreadPoolExecutor
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


def test_more_than_half_as_many_as_lanes_are_computed_at_once() -> None:
    meeting = threading.Barrier(3)

    class Meeting(FakeLane):
        def __call__(self, frame: NDArray[np.uint8]) -> BatchCandidates:
            meeting.wait(WAIT_S)
            return super().__call__(frame)

    alone = FakeLane()
    assert colours(engine(alone, *(Meeting() for _ in range(4))).run(pictures(3))) == [0, 1, 2]
    assert alone.done == []


def test_whoever_comes_while_another_computes_gets_a_lane_and_who_comes_alone_all_threads() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(FakeLane):
        def __call__(self, frame: NDArray[np.uint8]) -> BatchCandidates:
            begun.set()
            assert go_on.wait(WAIT_S)
            return super().__call__(frame)

    alone, lanes = Slow(), [FakeLane() for _ in range(2)]
    found = engine(alone, *lanes)
    assert found.at_once == 2
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(found.run, pictures(1))
        assert begun.wait(WAIT_S)
        others = [threads.submit(found.run, pictures(3)[2:]), threads.submit(found.run, pictures(2)[1:])]
        assert not any(other.done() for other in others)
        go_on.set()
        assert [colours(done.result(WAIT_S)) for done in (first, *others)] == [[0], [2], [1]]
    assert sorted(alone.done + lanes[0].done + lanes[1].done) == [0, 1, 2]
    assert alone.done[0] == 0
    found.run(pictures(1))
    assert alone.done[-1] == 0


def test_the_lane_that_is_done_first_goes_on_and_the_order_is_kept() -> None:
    others = threading.Semaphore(0)
    lanes = [FakeLane(held=(0, others, 3)) for _ in range(2)]
    assert colours(engine(FakeLane(), *lanes).run(pictures(4))) == [0, 1, 2, 3]
    assert sorted(sorted(lane.done) for lane in lanes) == [[0], [1, 2, 3]]
    assert not any(lane.met for lane in lanes)


def test_a_failure_comes_when_no_lane_computes_any_more() -> None:
    later = threading.Semaphore(0)
    lanes = [FakeLane(held=(1, later, 1), refused=0) for _ in range(3)]
    timer = threading.Timer(0.1, later.release)
    timer.start()
    with pytest.raises(OutOfDeviceMemory, match="bad_alloc"):
        engine(*lanes).run(pictures(2))
    assert sorted(lane.done for lane in lanes) == [[], [], [1]]
    timer.join()


@pytest.mark.parametrize(("lanes", "asked", "most"), [(0, 8, 1), (1, 8, 1), (2, 8, 8), (2, 1, 1), (2, 3, 3), (8, 8, 8)])
def test_a_batch_is_as_large_as_pays(lanes: int, asked: int, most: int) -> None:
    found = engine(FakeLane(), *(FakeLane() for _ in range(lanes)), max_batch=asked)
    assert found.max_batch == most
    found.warm_up()
    with pytest.raises(ValueError, match="expected"):
        found.run(pictures(most + 1))
