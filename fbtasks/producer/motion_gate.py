"""Whether anything moves in a camera's picture, told from small grey glances at it.

A glance is compared with the last one and with one of a second ago. What is the same everywhere (a lamp, the
camera's own exposure) is taken off, and what is as large as the picture's own noise does not count; so infrared light,
which is noisy and flickers, opens nothing. What is left has to show in several cells of the glance.

Pure: glances and times in, decisions out.
"""

import numpy as np
from numpy.typing import NDArray

from fbtasks.producer.pacing import Pacer
from fbtasks.producer.stream import Grey

STILL_FPS = 1.0
"""Frames per second of a still picture. The rules bridge gaps of up to 3 s, and a silence is told after 10."""
LOOKS_PER_S = 5.0
"""A still picture is looked at so often at least: movement is seen within 200 ms."""
HOLD_S = 3.0
"""After the last movement the picture counts as moving for so long: a horse pauses between two steps."""
LEAST_DIFFERENCE = 6.0
"""Grey levels, of 255, by which a cell has to change."""
NOISES = 6.0
"""And so many times the noise, as a standard deviation."""
CELLS = 3
"""So many cells of a glance have to change: one is 30 x 30 pixels of a picture of 1920 x 1080."""
_SIGMA = 3.08
"""Standard deviation of normal noise over the mean size of its smaller half: half the picture may move."""
APART_S = 1.0
"""Age of the glance that is compared with beside the last: from one to the next a slow horse moves too little."""


class MotionGate:
    """One camera. All times are capture times, in seconds, never falling.

    Args:
        fps: frames per second that are sent of a moving picture.

    Attributes:
        is_still: nothing has moved for `HOLD_S`.
    """

    def __init__(self, fps: float) -> None:
        self.is_still = False
        self._looks = Pacer(max(fps, LOOKS_PER_S))
        self._references: list[tuple[float, NDArray[np.int16]]] = []
        self._moved_at: float | None = None

    def looks(self, at: float) -> bool:
        """Whether the frame of that time is to be looked at."""
        return self._looks.due(at)

    def see(self, glance: Grey, at: float) -> bool:
        """Take note of a glance; whether it shows the first movement after stillness."""
        seen = glance.astype(np.int16)
        if self._moved_at is None:
            self._moved_at = at
        while len(self._references) > 1 and at - self._references[1][0] >= APART_S:
            del self._references[0]
        ends = self._references[:1] + self._references[1:][-1:]
        if any(moved(reference, seen) for _, reference in ends):
            self._moved_at = at
        self._references.append((at, seen))
        was_still, self.is_still = self.is_still, at - self._moved_at >= HOLD_S
        return was_still and not self.is_still


def moved(before: NDArray[np.int16], after: NDArray[np.int16]) -> bool:
    """Whether something moved from one glance to the other."""
    difference = (after - before).astype(np.float32)
    difference -= np.median(difference)
    size = np.abs(difference)
    half = size.size // 2
    noise = _SIGMA * float(np.partition(size, half, axis=None)[:half].mean())
    return int((size > max(LEAST_DIFFERENCE, NOISES * noise)).sum()) >= CELLS
