"""The engine on a CPU, whichever library computes: one picture by all threads, or several at once.

All threads together are soonest done with one picture, but not with many: the parts of a layer are uneven, and each
layer ends with a wait. Several pictures at once, each with a thread or a few of its own, need not wait for each other:
YOLO11n on two cores, measured, 1.2 times as many a second on ONNX Runtime, 1.1 to 1.5 times on OpenVINO. A batch in one
tensor gains less there, and OpenVINO compiles anew at every size.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.gpu.frames import check_frames
from fbtasks.gpu.memory import memory_faults
from fbtasks.gpu.model import PreparedModel

Lane = Callable[[NDArray[np.uint8]], BatchCandidates]
"""Computes one picture, uint8 `[1, H, W, 3]`, for one caller at a time; what it returns it doesn't touch again."""


class CpuEngine:
    """See `fbtasks.gpu.engine.Engine`.

    Args:
        provider: the library.
        alone: computes one picture with all threads.
        beside: compute at once, with their share of the threads each.
        max_batch: most pictures in one run; without lanes it is one, for more gain nothing.
    """

    def __init__(
        self, model: PreparedModel, provider: str, alone: Lane, beside: Sequence[Lane], max_batch: int
    ) -> None:
        self.model = model
        self.provider = provider
        self.max_batch = max_batch if len(beside) > 1 else 1
        self._alone = alone
        self._lanes = max(2, len(beside))  # with one or none there is one picture at a time, which is half of two
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for lane in beside:
            self._free.put(lane)
        self._threads = ThreadPoolExecutor(self._lanes, "lane")

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """See `fbtasks.gpu.engine.Engine.run`."""
        check_frames(frames, self.model, self.max_batch)
        each = [frames[index : index + 1] for index in range(len(frames))]
        # Where at least half of the lanes would be idle, all threads on one picture after another are sooner done.
        last = len(each) % self._lanes
        beside = len(each) - last if 2 * last <= self._lanes else len(each)
        with memory_faults():
            done = self._at_once(each[:beside])
            return BatchCandidates.joined(done + [self._alone(frame) for frame in each[beside:]])

    def warm_up(self) -> None:
        """One picture alone and one batch: there is one shape only."""
        for size in {1, self.max_batch}:
            self.run(np.zeros((size, self.model.input_height, self.model.input_width, 3), np.uint8))

    def _at_once(self, frames: Sequence[NDArray[np.uint8]]) -> list[BatchCandidates]:
        running = [self._threads.submit(self._compute, frame) for frame in frames]
        wait(running)  # for all, also when one fails: the pictures' memory is the caller's
        return [done.result() for done in running]

    def _compute(self, frame: NDArray[np.uint8]) -> BatchCandidates:
        lane = self._free.get()
        try:
            return lane(frame)
        finally:
            self._free.put(lane)
