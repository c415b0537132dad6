"""The engine on a CPU, whichever library computes: one picture by all threads, or several at once.

All threads together are soonest done with one picture, but not with many: the parts of a layer are uneven, and each
layer ends with a wait. Several pictures at once, each with a thread or a few of its own, need not wait for each other:
YOLO11n on two cores, measured, 1.2 times as many a second on ONNX Runtime, 1.1 to 1.5 times on OpenVINO. A batch in one
tensor gains less there, and OpenVINO compiles anew at every size.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.gpu.frames import check_frames
from fbtasks.gpu.memory import memory_faults
from fbtasks.gpu.model import PreparedModel

Lane = Callable[[NDArray[np.uint8]], BatchCandidates]
"""Computes one picture, uint8 `[1, H, W, 3]`, for one caller at a time; what it returns it doesn't touch again."""


class CpuEngine:
    """See `fbtasks.gpu.engine.Engine`; any number of threads may call it.

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
        self.at_once = max(1, len(beside))
        self.max_batch = max_batch if self.at_once > 1 else 1
        self._alone = alone
        self._free = list(beside) if self.at_once > 1 else []
        self._wanted = 0
        self._computing = 0
        self._alone_is_on = False
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(self.at_once, "lane")

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """See `fbtasks.gpu.engine.Engine.run`."""
        check_frames(frames, self.model, self.max_batch)
        each = [frames[index : index + 1] for index in range(len(frames))]
        with self._changed:
            self._wanted += len(each)
        with memory_faults():
            if len(each) == 1:
                return self._compute(each[0])
            running = [self._threads.submit(self._compute, frame) for frame in each]
            wait(running)  # for all, also when one fails: the pictures' memory is the caller's
            return BatchCandidates.joined([done.result() for done in running])

    def warm_up(self) -> None:
        """One picture alone and one batch: there is one shape only."""
        for size in {1, self.max_batch}:
            self.run(np.zeros((size, self.model.input_height, self.model.input_width, 3), np.uint8))

    def _compute(self, frame: NDArray[np.uint8]) -> BatchCandidates:
        with self._lane() as lane:
            return lane(frame)

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        """What computes the next picture."""
        with self._changed:
            self._changed.wait_for(self._may_begin)
            # Where at least half of the lanes would be idle, all threads on one picture after another are sooner done.
            alone = not self._computing and (2 * self._wanted <= self.at_once or not self._free)
            self._alone_is_on = alone
            self._computing += 1
            lane = self._alone if alone else self._free.pop()
        try:
            yield lane
        finally:
            with self._changed:
                if not alone:
                    self._free.append(lane)
                self._alone_is_on = False
                self._computing -= 1
                self._wanted -= 1
                self._changed.notify_all()

    def _may_begin(self) -> bool:
        return not self._alone_is_on and bool(self._free or not self._computing)
