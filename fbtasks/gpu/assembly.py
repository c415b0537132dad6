"""The batch that is being put together while the engine runs the one before.

Two buffers of `max_batch` pictures: decoded frames gather in one of them until the engine asks for it. The engine goes
first: once it asks and at least one frame is there, the buffer changes hands and decoding goes on in the other. So an
idle engine never waits for a batch to fill (beyond `max_wait_s`), and a busy one finds all that came meanwhile.
"""

import threading
from collections.abc import Callable
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from fbtasks.gpu.batcher import Taken

Pictures = NDArray[np.uint8]


class Assembly:
    """Hands batches from the decoding thread to the engine's thread. One thread on each side.

    Args:
        max_batch: pictures in a batch at most.
        height, width: of the model's input, in pixels.
        max_wait_s: how long a batch that is not full waits for more frames once the engine is idle.
    """

    def __init__(self, max_batch: int, height: int, width: int, *, max_wait_s: float) -> None:
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._open = np.empty((max_batch, height, width, 3), np.uint8)
        self._lent = np.empty_like(self._open)
        self._frames: list[Taken] = []
        self._first_at = 0.0
        self._engine_asks = False
        self._decoding = False
        self._closed = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether no more frames are taken in."""
        return self._closed

    def room(self, timeout_s: float) -> int:
        """How many frames fit now; waits up to `timeout_s` for there to be any room."""
        with self._changed:
            self._changed.wait_for(self._has_room, timeout_s)
            return self._max_batch - len(self._frames) if self._has_room() else 0

    def add(self, taken: Taken, decode: Callable[[Pictures], None]) -> None:
        """Decode one frame into the next free picture `[H, W, 3]`; blocks while there is no room.

        Whatever `decode` raises is raised on, and the picture stays free. Once closed, frames are dropped: only a
        worker that has lost a part closes before the last frame, and then nobody may be there to make room.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room())
            if self._closed:
                return
            self._decoding = True
            picture = self._open[len(self._frames)]
        decoded: list[Taken] = []
        try:
            decode(picture)
            decoded = [taken]
        finally:
            with self._changed:
                self._decoding = False
                self._first_at = self._first_at if self._frames else monotonic()
                self._frames += decoded
                self._changed.notify_all()

    def take(self) -> tuple[list[Taken], Pictures] | None:
        """The gathered batch and its pictures `[B, H, W, 3]`, valid until the next call; None once closed and empty."""
        with self._changed:
            self._engine_asks = True
            self._changed.notify_all()
            while not self._is_due():
                if self._closed and not self._frames and not self._decoding:
                    return None
                self._changed.wait(self._remaining())
            self._engine_asks = False
            frames, self._frames = self._frames, []
            self._open, self._lent = self._lent, self._open
            self._changed.notify_all()
            return frames, self._lent[: len(frames)]

    def close(self) -> None:
        """No more frames will come; `take` hands out what is left and then None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        engine_first = self._engine_asks and self._is_due()
        return len(self._frames) < self._max_batch and not engine_first

    def _is_due(self) -> bool:
        if not self._frames or self._decoding:
            return False
        full = len(self._frames) == self._max_batch
        return full or self._closed or monotonic() - self._first_at >= self._max_wait_s

    def _remaining(self) -> float | None:
        """How long the engine may sleep before the batch is due by time alone."""
        if not self._frames or self._decoding:
            return None
        return max(0.0, self._first_at + self._max_wait_s - monotonic())
