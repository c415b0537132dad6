"""The batch that is being put together while the engine runs the one before.

Decoded frames gather in a buffer of `max_batch` pictures until the engine asks for it. The engine goes first: once it
asks and at least one frame is there or on its way, the next ones go into another buffer. So an idle engine never waits
for a batch to fill (beyond `max_wait_s`), and a busy one finds all that came meanwhile. There is one buffer more than
runs are under way, for whoever took a batch gives its buffer back.

All pictures of a batch are of one size, that of the first.
"""

import threading
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fbtasks.gpu.batcher import Taken

Pictures = NDArray[np.uint8]


class Place:
    """Where one frame's picture goes. Whoever decodes into it says with `settle` when that is over.

    Attributes:
        taken: the frame.
        picture: uint8 `[H, W, 3]`, to be written by this decoder alone.
    """

    def __init__(self, taken: Taken, picture: Pictures) -> None:
        self.taken = taken
        self.picture = picture
        self.good = False


class Batch(NamedTuple):
    """What one run of the engine gets.

    Attributes:
        frames: in order.
        pictures: uint8 `[B, H, W, 3]`, of these frames.
        buffer: where they lie, to be given back.
    """

    frames: list[Taken]
    pictures: Pictures
    buffer: Pictures


class Assembly:
    """Hands batches from the thread that gathers frames to the engine's; any number of threads may decode.

    Args:
        max_batch: pictures in a batch at most.
        height, width: of the largest pictures, in pixels.
        max_wait_s: how long a batch that is not full waits for more frames once the engine is idle.
    """

    def __init__(self, max_batch: int, height: int, width: int, *, max_wait_s: float) -> None:
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._open = np.empty(max_batch * height * width * 3, np.uint8)
        self._spare: list[Pictures] = []
        self._places: list[Place] = []
        self._decoding = 0
        self._first_at = 0.0
        self._engine_asks = False
        self._closed = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether no more frames are taken in."""
        return self._closed

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the pictures in the open batch; None while it is empty and takes any."""
        places = self._places
        return places[0].taken.size if places else None

    def await_empty(self, timeout_s: float) -> None:
        """Wait for the engine to take the open batch, so that pictures of another size have their turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._places, timeout_s)

    def room(self, timeout_s: float) -> int:
        """How many frames fit now, of the size of the open batch; waits up to `timeout_s` for any room."""
        with self._changed:
            self._changed.wait_for(self._has_room, timeout_s)
            return self._max_batch - len(self._places) if self._has_room() else 0

    def place(self, taken: Taken) -> Place | None:
        """The next free place, in the order of the calls; blocks while there is none. For one thread.

        The frames of one open batch must all be of one size.

        None once closed, and the frame is dropped: only a worker that has lost a part closes before the last frame,
        and then nobody may be there to make room.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room())
            if self._closed:
                return None
            self._first_at = self._first_at if self._places else monotonic()
            place = Place(taken, _pictures(self._open, taken.size)[len(self._places)])
            self._places.append(place)
            self._decoding += 1
            return place

    def settle(self, place: Place, *, good: bool) -> None:
        """The picture is complete, or its frame is of no use. Without this call the engine waits for ever."""
        with self._changed:
            place.good = good
            self._decoding -= 1
            if not self._decoding:
                self._free_the_end()
            self._changed.notify_all()

    def take(self) -> Batch | None:
        """The gathered batch; None once closed and empty. For one thread at a time."""
        with self._changed:
            self._engine_asks = True
            self._changed.notify_all()
            while not self._is_due():
                if self._closed and not self._places:
                    return None
                self._changed.wait(self._remaining())
            self._engine_asks = False
            places, self._places = self._places, []
            lent, self._open = self._open, self._spare.pop() if self._spare else np.empty_like(self._open)
            self._changed.notify_all()
        good = [number for number, place in enumerate(places) if place.good]
        pictures = _pictures(lent, places[0].taken.size)
        # Only where a frame between others was of no use are pictures copied.
        pictures = pictures[: len(good)] if len(good) == len(places) else pictures[good]
        return Batch([places[number].taken for number in good], pictures, lent)

    def give_back(self, batch: Batch) -> None:
        """Its pictures are of no use any more."""
        with self._changed:
            self._spare.append(batch.buffer)

    def close(self) -> None:
        """No more frames will come; `take` hands out what is left and then None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _free_the_end(self) -> None:
        while self._places and not self._places[-1].good:
            self._places.pop()

    def _has_room(self) -> bool:
        engine_first = self._engine_asks and self._waited_enough()
        return len(self._places) < self._max_batch and not engine_first

    def _is_due(self) -> bool:
        return not self._decoding and self._waited_enough()

    def _waited_enough(self) -> bool:
        if not self._places:
            return False
        full = len(self._places) == self._max_batch
        return full or self._closed or monotonic() - self._first_at >= self._max_wait_s

    def _remaining(self) -> float | None:
        """How long the engine may sleep before the batch is due by time alone."""
        if not self._places or self._decoding:
            return None
        return max(0.0, self._first_at + self._max_wait_s - monotonic())


def _pictures(buffer: Pictures, size: tuple[int, int]) -> Pictures:
    """The buffer as pictures `[B, H, W, 3]` of this width and height, as many as it holds."""
    width, height = size
    picture = height * width * 3
    return buffer[: len(buffer) // picture * picture].reshape(-1, height, width, 3)
