"""Standing or lying, as far as one box of one picture tells."""

import re
from dataclasses import dataclass
from math import exp
from typing import NamedTuple

from fbtasks.logic.baseline import Baseline, p_lying
from fbtasks.logic.motion import Corners
from fbtasks.logic.tracker import Sighting

LYING_WORDS = frozenset({"lying", "laying", "recumbent", "down"})
STANDING_WORDS = frozenset({"standing", "upright", "up"})
STATED = 0.95
"""P(lying) of a box whose class says so. Not 1: such models err too, and the window of seconds evens that out."""
BORDER_SHARE = 0.005
"""A box that ends so near the border of the picture, as a share of its side, goes on outside: 3 pixels of 640."""
HIDDEN_SHARE = 0.2
"""A box of which another one in front covers more than this tells no shape. Ours: in a clip of two horses the rear one,
its legs behind the other, looked 2.3 times as wide as high."""
IN_FRONT_SHARE = 0.05
"""On flat ground what stands lower in the picture is nearer. By less, as a share of the height, it may be jitter."""


class Glimpse(NamedTuple):
    """What one box tells: P(lying) from 0 to 1, or None, and why; and whether so little that it tells no movement."""

    p_lying: float | None
    reason: str
    vague: bool = False


@dataclass(frozen=True, slots=True)
class Posture:
    """From a box to P(lying).

    A model trained with classes such as `horse_lying` and `horse_standing` is believed. From any other, only the shape
    of the box is left, and that is a heuristic which holds for one camera at most: seen from the side a standing horse
    is about as wide as high and a lying one twice as wide; seen from its front, from above or behind a wall it can be
    either. `lying_aspect` must be set from pictures of the camera at hand. Where the settings say so, a box is judged
    instead by how high the animal would stand there, once it has walked there (`fbtasks.logic.baseline`). A box that is
    cut off or half hidden has no shape to speak of, and says nothing.

    Attributes:
        lying_aspect: width over height at which both postures are even.
        softness: distance from `lying_aspect` at which the estimate is 0.73 sure (one unit of the logistic function).
    """

    lying_aspect: float
    softness: float

    def of(
        self, sighting: Sighting, others: list[Sighting], picture: tuple[int, int], standing: Baseline | None = None
    ) -> Glimpse:
        """P(lying) of `sighting`.

        Args:
            others: what is seen in the same picture.
            picture: its width and height, pixels.
            standing: what is known of the animal's height.
        """
        stated = stated_posture(sighting.class_name)
        if stated is not None:
            return Glimpse(stated, f"the model says {sighting.class_name}")
        if any(_hides(other, sighting) for other in others):
            return Glimpse(None, "something in front hides it", vague=True)
        share = standing.share_of_standing(sighting.xyxy, picture) if standing is not None and standing.known else None
        return self._from_shape(sighting, picture) if share is None else _from_height(sighting.xyxy, picture, share)

    def _from_shape(self, sighting: Sighting, picture: tuple[int, int]) -> Glimpse:
        box_width, box_height = sighting.size
        if box_width <= 0 or box_height <= 0:
            return Glimpse(None, "the box has no area")
        aspect = box_width / box_height
        p_lying = _logistic((aspect - self.lying_aspect) / self.softness)
        # A cut box is a bound, not a measure: without its legs a standing horse looks wide, without its head a lying
        # one looks narrow. So a cut below or above leaves only "standing" to believe, one at a side only "lying".
        cut_sideways, cut_upright = cut_off(sighting.xyxy, picture)
        if (cut_sideways and p_lying < 0.5) or (cut_upright and p_lying >= 0.5):
            return Glimpse(None, "the box is cut off by the picture's border")
        return Glimpse(p_lying, f"width is {aspect:.2f} of height")


def _from_height(xyxy: Corners, picture: tuple[int, int], share: float) -> Glimpse:
    p = p_lying(share)
    if cut_off(xyxy, picture)[1] and p >= 0.5:
        return Glimpse(None, "the box is cut off by the picture's border")
    return Glimpse(p, f"height is {share:.2f} of its standing height")


def subject(class_name: str) -> str:
    """What a class is of, without its posture: `horse` of `horse_lying`."""
    return "_".join(word for word in _words(class_name) if word not in LYING_WORDS | STANDING_WORDS)


def stated_posture(class_name: str) -> float | None:
    """P(lying) that a class name states, if it states one."""
    words = set(_words(class_name))
    lying, standing = bool(words & LYING_WORDS), bool(words & STANDING_WORDS)
    if lying == standing:
        return None
    return STATED if lying else 1.0 - STATED


def _words(class_name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", class_name.lower())


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + exp(-max(-60.0, min(60.0, value))))


def cut_off(xyxy: Corners, picture: tuple[int, int]) -> tuple[bool, bool]:
    """Whether the picture's border cuts the box at a side, and above or below."""
    left, top, right, bottom = xyxy
    width, height = picture
    margin_x, margin_y = BORDER_SHARE * width, BORDER_SHARE * height
    sideways = left <= margin_x or right >= width - margin_x
    upright = top <= margin_y or bottom >= height - margin_y
    return sideways, upright


def _hides(other: Sighting, sighting: Sighting) -> bool:
    """Whether `other` stands in front of `sighting` and covers too much of it."""
    left, top, right, bottom = sighting.xyxy
    other_left, other_top, other_right, other_bottom = other.xyxy
    if other_bottom <= bottom + IN_FRONT_SHARE * (bottom - top):
        return False
    shared_width = min(right, other_right) - max(left, other_left)
    shared_height = min(bottom, other_bottom) - max(top, other_top)
    shared = max(0.0, shared_width) * max(0.0, shared_height)
    return shared > HIDDEN_SHARE * (right - left) * (bottom - top)
