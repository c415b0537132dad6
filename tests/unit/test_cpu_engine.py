"""The engine on a CPU: which lane computes what, and when."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.errors import OutOfDeviceMemory
from fbtasks.gpu.cpu_engine import CpuEngine
from fbtasks.gpu.model import PreparedModel
from tests.waiting import wait_until

SIDE = 32
WAIT_S = 10.0


class FakeLane:
    """Tells each picture's colour as its confidence, and notes whether two callers met in it.

    Attributes:
        gate: computes while it is set.
        done: colours that were computed.
        refused: a colour that raises.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.done: list[int] = []
        self.met = False
        self.refused = -1
        self._turn = threading.Lock()

    def __call__(self, frame: NDArray[np.uint8]) -> BatchCandidates:
        self.met |= not self._turn.acquire(blocking=False)
        try:
            assert self.gate.wait(WAIT_S)
            colour = int(frame[0, 0, 0, 0])
            if colour == self.refused:
                raise RuntimeError("std::bad_alloc")
            self.done.append(colour)
            confidence = np.full((1, 1), colour, np.float32)
            return BatchCandidates(np.zeros((1, 1, 4), np.float32), confidence, np.zeros((1, 1), np.int32))
        finally:
            self._turn.release()


class Tried:
    """An engine with so many lanes, and its callers."""

    def __init__(self, lanes: int, threads: ThreadPoolExecutor) -> None:
        self.alone = FakeLane()
        self.lanes = [FakeLane() for _ in range(lanes)]
        model = PreparedModel(Path("none"), {0: "horse"}, SIDE, SIDE, 1, "colour-0", None)
        self.engine = CpuEngine(model, "fake", self.alone, self.lanes)
        self._threads = threads
        self._callers = 0

    def call(self, colour: int) -> "Future[BatchCandidates]":
        """From another thread; returns when it computes or waits."""
        self._callers += 1
        calling = self._threads.submit(self.engine.run, picture(colour))
        wait_until(lambda: self.engine._wanted == self._callers, WAIT_S)
        return calling

    @property
    def beside(self) -> list[list[int]]:
        return sorted(lane.done for lane in self.lanes)


@pytest.fixture
def tried() -> Iterator[Callable[[int], Tried]]:
    with ThreadPoolExecutor(8) as threads:
        yield lambda lanes: Tried(lanes, threads)


def picture(colour: int) -> NDArray[np.uint8]:
    return np.full((1, SIDE, SIDE, 3), colour, np.uint8)


def colour_of(calling: "Future[BatchCandidates]") -> int:
    return int(calling.result(WAIT_S).confidence[0, 0])


def test_one_picture_after_another_is_computed_by_all_threads(tried: Callable[[int], Tried]) -> None:
    one = tried(2)
    for colour in range(3):
        assert one.engine.run(picture(colour)).confidence[0, 0] == colour
    assert (one.alone.done, one.beside) == ([0, 1, 2], [[], []])


def test_those_that_wait_are_computed_beside_each_other(tried: Callable[[int], Tried]) -> None:
    one = tried(2)
    one.alone.gate.clear()
    calling = [one.call(colour) for colour in range(3)]
    assert one.beside == [[], []], "all threads are busy"
    for lane in one.lanes:
        lane.gate.clear()
    one.alone.gate.set()
    wait_until(lambda: one.engine._computing == 2, WAIT_S)
    for lane in one.lanes:
        lane.gate.set()
    assert [colour_of(each) for each in calling] == [0, 1, 2]
    assert one.alone.done == [0]
    assert one.beside == [[1], [2]]


def test_whoever_comes_while_a_lane_is_free_need_not_wait(tried: Callable[[int], Tried]) -> None:
    one = tried(2)
    slow, quick = one.lanes
    for lane in (one.alone, slow, quick):
        lane.gate.clear()
    calling = [one.call(colour) for colour in range(3)]
    one.alone.gate.set()
    assert colour_of(calling[0]) == 0
    wait_until(lambda: one.engine._computing == 2, WAIT_S)
    quick.gate.set()
    wait_until(lambda: len(quick.done) == 1, WAIT_S)
    assert one.engine.run(picture(13)).confidence[0, 0] == 13
    assert (one.alone.done, quick.done[1:]) == ([0], [13])
    slow.gate.set()
    assert [colour_of(each) for each in calling[1:]] == [1, 2]


def test_a_few_for_many_lanes_are_computed_one_after_another(tried: Callable[[int], Tried]) -> None:
    one = tried(4)
    one.alone.gate.clear()
    calling = [one.call(colour) for colour in range(2)]
    one.alone.gate.set()
    assert [colour_of(each) for each in calling] == [0, 1]
    assert (one.alone.done, one.beside) == ([0, 1], [[]] * 4)


@pytest.mark.parametrize("lanes", [0, 2])
def test_more_callers_than_lanes_wait_for_each_other(tried: Callable[[int], Tried], lanes: int) -> None:
    one = tried(lanes)
    one.alone.gate.clear()
    calling = [one.call(colour) for colour in range(8)]
    one.alone.gate.set()
    assert [colour_of(each) for each in calling] == list(range(8))
    assert sorted(chain(one.alone.done, *one.beside)) == list(range(8))
    assert not any(lane.met for lane in (one.alone, *one.lanes))


def test_a_failure_leaves_the_lane_to_the_next(tried: Callable[[int], Tried]) -> None:
    one = tried(2)
    for lane in (one.alone, *one.lanes):
        lane.refused = 1
    one.alone.gate.clear()
    calling = [one.call(colour) for colour in (0, 1, 1, 2, 3)]
    one.alone.gate.set()
    for failing in calling[1:3]:
        with pytest.raises(OutOfDeviceMemory, match="bad_alloc"):
            failing.result(WAIT_S)
    assert [colour_of(calling[place]) for place in (0, 3, 4)] == [0, 2, 3]
    with pytest.raises(OutOfDeviceMemory, match="bad_alloc"):
        one.engine.run(picture(1))
    assert one.engine.run(picture(4)).confidence[0, 0] == 4
    assert one.alone.done[-1] == 4


@pytest.mark.parametrize(("lanes", "at_once"), [(0, 1), (2, 2), (8, 8)])
def test_it_takes_one_picture_in_each_run(tried: Callable[[int], Tried], lanes: int, at_once: int) -> None:
    one = tried(lanes)
    assert (one.engine.at_once, one.engine.max_batch) == (at_once, 1)
    one.engine.warm_up()
    assert all(lane.done for lane in (one.alone, *one.lanes))
    with pytest.raises(ValueError, match="expected"):
        one.engine.run(np.concatenate([picture(0), picture(1)]))
