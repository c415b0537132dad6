"""The engine on a CPU, whichever library computes: one picture by all threads, or several at once.

All threads together are soonest done with one picture, but not with many: the parts of a layer are uneven, and each
layer ends with a wait. Several pictures at once, each with a thread or a few of its own, need not wait for each other:
YOLO11n on two cores, measured, 1.2 times as many a second on ONNX Runtime, 1.1 to 1.5 times on OpenVINO. A batch in one
tensor gains less there, and OpenVINO compiles anew at every size.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
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
    """See `fbtasks.gpu.engine.Engine`. More callers than `at_once` wait for each other.

    Args:
        provider: the library.
        alone: computes one picture with all threads.
        beside: compute at once, with their share of the threads each; none where there is nothing to share.
    """

    max_batch = 1

    def __init__(self, model: PreparedModel, provider: str, alone: Lane, beside: Sequence[Lane]) -> None:
        self.model = model
        self.provider = provider
        self.at_once = max(1, len(beside))
        self._alone = alone
        self._free = list(beside)
        self._wanted = 0
        self._computing = 0
        self._alone_is_on = False
        self._changed = threading.Condition()

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """See `fbtasks.gpu.engine.Engine.run`."""
        check_frames(frames, self.model, self.max_batch)
        with memory_faults(), self._lane() as lane:
            return lane(frames)

    def warm_up(self) -> None:
        """All that compute, for memory is taken at the first run."""
        black = np.zeros((1, self.model.input_height, self.model.input_width, 3), np.uint8)
        for lane in (self._alone, *self._free):
            lane(black)

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        """What computes the caller's picture, which is all threads while at least half of the lanes would be idle."""
        with self._changed:
            self._wanted += 1
            self._changed.wait_for(self._may_begin)
            alone = not self._computing and (2 * self._wanted <= self.at_once or not self._free)
            lane = self._alone if alone else self._free.pop()
            self._alone_is_on = alone
            self._computing += 1
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
