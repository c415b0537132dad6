"""How high one animal's box is while it stands, learned while it walks: what plain boxes are judged against.

An animal that goes sideways through the picture is on its legs, and nothing else need be known to learn from its boxes.
How high they are depends on where they end below, for what is farther away is smaller, and on how wide they are, for
from above a horse that faces the camera is long in depth: least squares on both, in shares of the picture. The slopes
are held back where little variety was seen (a ridge): a horse that was seen in one place only has one height.

Off as it comes. On simulated nights it was clearly better over boxes with one horse, and worse over paddocks, where
most steps are made with the head in the grass (figures: `benchmarks/RESULTS.md`).

Of a sum over boxes that do not belong together, as of two horses of different size under one number, the rest that
the line does not explain is large, and it is not used.
"""

from math import exp, sqrt

import msgspec

from fbtasks.logic.motion import Corners

WALKS_BL_S = 0.15
"""Sideways, body lengths per second, as the tracker evens it out: a few steps. A box that trembles gives half of it,
and lying down and rising move a box upwards and downwards."""
LEARNED_S = 8.0
"""Of walking, before the baseline is known. Ours: a horse in a stall makes so many steps in about half an hour."""
MEMORY_S = 1800.0
"""Of walking; older boxes count for less."""
RIDGE = 0.01
"""Variety of place and width, as a share of the picture, below which slopes are not believed."""
LOOSEST = 0.15
"""Standard deviation of the rest, as a share of the height; above it the boxes are not of one animal that stands."""
REACH = 2.0
"""Standard deviations of place and width up to which the line is followed."""
LYING_HEIGHT, SOFTNESS = 0.8, 0.05
"""Share of the standing height at which both postures are even, and how far from it the estimate becomes sure; see
`benchmarks/posture.py`. A horse that rests on its breast with its head up is about 1.2 m high, one that stands with its
head low 1.6 m."""


class Baseline(msgspec.Struct, array_like=True):
    """Means and products of the boxes of one animal that walked, each weighted by its time.

    Attributes:
        seconds: of walking that it was learned from, older ones for less.
        place, width, height: means of where boxes end below, and of their size; shares of the picture's sides.
        place_2, width_2, height_2, place_width, place_height, width_height: variances and covariances.
        seen_at: when the animal was last seen; capture time.
    """

    seconds: float = 0.0
    place: float = 0.0
    width: float = 0.0
    height: float = 0.0
    place_2: float = 0.0
    width_2: float = 0.0
    height_2: float = 0.0
    place_width: float = 0.0
    place_height: float = 0.0
    width_height: float = 0.0
    seen_at: float = 0.0

    @property
    def known(self) -> bool:
        """Whether enough was seen, and all of it of one standing animal."""
        return self.seconds >= LEARNED_S and self._rest <= LOOSEST * self.height

    def learn(self, xyxy: Corners, picture: tuple[int, int], elapsed: float) -> None:
        """Take the box of a walking animal, which speaks for `elapsed` seconds."""
        place, width, height = _shares(xyxy, picture)
        self.seconds = self.seconds * exp(-elapsed / MEMORY_S) + elapsed
        share = elapsed / self.seconds
        off_place, off_width, off_height = place - self.place, width - self.width, height - self.height
        self.place += share * off_place
        self.width += share * off_width
        self.height += share * off_height
        stays = 1.0 - share
        self.place_2 = stays * (self.place_2 + share * off_place * off_place)
        self.width_2 = stays * (self.width_2 + share * off_width * off_width)
        self.height_2 = stays * (self.height_2 + share * off_height * off_height)
        self.place_width = stays * (self.place_width + share * off_place * off_width)
        self.place_height = stays * (self.place_height + share * off_place * off_height)
        self.width_height = stays * (self.width_height + share * off_width * off_height)

    def share_of_standing(self, xyxy: Corners, picture: tuple[int, int]) -> float | None:
        """The box's height as a share of that of the animal if it stood there; None where that cannot be told."""
        place, width, height = _shares(xyxy, picture)
        by_place, by_width = self._slopes
        off_place = _limited(place - self.place, REACH * sqrt(self.place_2) + RIDGE)
        off_width = _limited(width - self.width, REACH * sqrt(self.width_2) + RIDGE)
        standing = self.height + by_place * off_place + by_width * off_width
        return height / standing if standing > 0.1 * self.height else None

    @property
    def _slopes(self) -> tuple[float, float]:
        """Of the height on place and width."""
        place_2, width_2 = self.place_2 + RIDGE**2, self.width_2 + RIDGE**2
        both = place_2 * width_2 - self.place_width**2
        by_place = (width_2 * self.place_height - self.place_width * self.width_height) / both
        by_width = (place_2 * self.width_height - self.place_width * self.place_height) / both
        return by_place, by_width

    @property
    def _rest(self) -> float:
        """Standard deviation of the heights about the line."""
        by_place, by_width = self._slopes
        explained = by_place * self.place_height + by_width * self.width_height
        return sqrt(max(0.0, self.height_2 - explained))


def p_lying(share: float) -> float:
    """P(lying) of a box that is so high, as a share of the animal's standing height."""
    return 1.0 / (1.0 + exp(max(-60.0, min(60.0, (share - LYING_HEIGHT) / SOFTNESS))))


def _shares(xyxy: Corners, picture: tuple[int, int]) -> tuple[float, float, float]:
    """Where the box ends below, its width and its height, as shares of the picture's sides."""
    left, top, right, bottom = xyxy
    width, height = picture
    return bottom / height, (right - left) / width, (bottom - top) / height


def _limited(value: float, most: float) -> float:
    return max(-most, min(most, value))
