"""Whether a camera's pictures show anything, and anything new: black, covered, overexposed and frozen ones are told.

Looked at are every so many pixels of the green channel, twice a second at most. Where the limits lie follows from
pictures that must not be called blind: two films of real horses, and twelve simulated scenes by day, at dusk, in
infrared, with dirt on the lens and with a door before it. Measured on them, as levels of 0 to 255:

- brightest hundredth: 61 at least in all, 18 in the films at a tenth of their light. Below 16: `black`.
- difference between neighbouring blocks of 8 x 8 of the pixels looked at: 3.0 at least in all, 6.4 in the films out of
  focus (blurred over a fifth of the picture), 1.2 at a tenth of their light; 0.6 for one even level with noise of five
  levels. Below 1: `covered`.
- share of white pixels: 0.03 at most in all, in infrared; 0.9 in the films with four times their light and more. From
  0.6 on: `overexposed`.

`frozen` means that decoded pictures repeat to the bit. Less would not do: encoded by x264 (veryfast, CRF 34, noise of
one level), a living scene without motion changes 0.1 % of its pixels from one half second to the next, while a picture
that is truly frozen before the encoder changes 4 % (CRF 23), by the encoder's own doing. What tells them apart is that
a living scene is new again with every key frame, which codes fresh noise (62 to 95 % of the pixels change), and that a
frozen one comes back to pictures which were there before. So a picture counts as new when it has not been seen for
three times `frozen_after_s`; or when much of it has changed, for a film that is shown round and round is not frozen. A
camera whose key frames are further apart than `frozen_after_s`, and which removes all noise, may be called frozen
wrongly: set more.
"""

import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fbtasks.settings import SightSettings

Blindness = Literal["", "black", "covered", "overexposed", "frozen"]
Picture = NDArray[np.uint8]
Grey = NDArray[np.uint8]

LOOK_EVERY_S = 0.45
"""Just under half a second, so that of five pictures a second every third is looked at."""
COLUMNS = 320
"""So many pixels of a row are looked at."""
BLOCK = 8
BRIGHTEST = 99.0
WHITE = 250
MOVES = 1.5
"""Mean difference to the picture before, in levels: a frozen picture's own key frames stay below 1.1."""
REPEATS = 4
"""A camera that is analysed slowly is not frozen before so many pictures were the same."""


class Sight:
    """Looks at the pictures of one camera. Times are unix seconds and never fall."""

    def __init__(self, limits: SightSettings) -> None:
        self.blind: Blindness = ""
        self._limits = limits
        self._looked_at: float | None = None
        self._verdict: Blindness = ""
        self._verdict_at = 0.0
        self._before: Grey | None = None
        self._seen: dict[int, float] = {}
        self._new_at = 0.0
        self._repeats = 0

    def look(self, picture: Picture, at: float) -> Blindness:
        """Why the picture `[height, width, 3]` shows nothing, once that has held for long enough; else empty."""
        if self._looked_at is None or at - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = at
            step = max(1, picture.shape[1] // COLUMNS)
            grey = np.ascontiguousarray(picture[::step, ::step, 1])
            self._judge(grey, at)
        return self.blind

    def _judge(self, grey: Grey, at: float) -> None:
        is_frozen = self._is_frozen(grey, at)
        verdict = appearance(grey, self._limits)
        if verdict != self._verdict:
            self._verdict, self._verdict_at = verdict, at
        held_s = at - self._verdict_at
        needed_s = self._limits.blind_after_s if verdict else self._limits.sighted_after_s
        if is_frozen:
            self.blind = "frozen"
        elif held_s >= needed_s or self.blind == "frozen":
            self.blind = verdict if held_s >= needed_s else ""

    def _is_frozen(self, grey: Grey, at: float) -> bool:
        """Whether nothing new has been seen for long enough; takes note of the picture."""
        mark = zlib.crc32(grey.data)
        is_new = mark not in self._seen or self._moves(grey)
        oldest = at - 3 * self._limits.frozen_after_s
        self._seen[mark] = at
        self._seen = {known: seen_at for known, seen_at in self._seen.items() if seen_at >= oldest}
        self._before = grey
        self._new_at, self._repeats = (at, 0) if is_new else (self._new_at, self._repeats + 1)
        return self._repeats >= REPEATS and at - self._new_at >= self._limits.frozen_after_s

    def _moves(self, grey: Grey) -> bool:
        before = self._before
        if before is None or before.shape != grey.shape:
            return True
        return float(np.abs(grey.astype(np.int16) - before).mean()) > MOVES


def appearance(grey: Grey, limits: SightSettings) -> Blindness:
    """What is wrong with a single picture `[height, width]`, if anything; see the top of this module."""
    if float(np.percentile(grey, BRIGHTEST)) < limits.black_below:
        return "black"
    if float((grey >= WHITE).mean()) >= limits.overexposed_share:
        return "overexposed"
    return "covered" if contrast(grey) < limits.covered_below else ""


def contrast(grey: Grey) -> float:
    """Mean difference between neighbouring blocks of 8 x 8 pixels, in levels: what noise and fine dust do not make."""
    rows, columns = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK
    whole = grey[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    blocks = whole.mean(axis=(1, 3), dtype=np.float32)
    return float((np.abs(np.diff(blocks, axis=0)).mean() + np.abs(np.diff(blocks, axis=1)).mean()) / 2)
