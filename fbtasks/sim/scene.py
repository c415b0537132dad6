"""A camera of the drawn stable: the picture at any time, and what is truly in it."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from fbtasks.sim.backdrop import Picture, as_picture, paddock, stall
from fbtasks.sim.horse import Part, Points, parts
from fbtasks.sim.script import Moment, Script, bolts, lies_down

WIDTH, HEIGHT = 960, 540
FPS = 15
NARROWEST = 0.6
"""A turning horse is never narrower than this share of its side view: it turns within two pictures of 5 a second, and a
box that halves its area from one to the next is another animal to the tracker."""
GRAIN = 4.0
"""Standard deviation of the grain, of 255. It stands still: moving noise would be encoded anew in every picture."""
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True)
class Truth:
    """One animal or person in a picture.

    Attributes:
        name: `horse`.
        xyxy: left, top, right, bottom of everything drawn of it, in pixels of the picture.
    """

    name: str
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class View:
    """Where a camera stands and what happens before it.

    Attributes:
        camera_id: its name.
        backdrop: draws what stands still, from width, height and seed.
        script: what the horse does.
        way: from where to where it goes, in pixels from the left.
        ground: where it stands, in pixels from above.
        withers: height of its withers, in pixels.
    """

    camera_id: str
    backdrop: Callable[[int, int, int], Picture]
    script: Script
    way: tuple[float, float]
    ground: float
    withers: float


VIEWS = (
    View("box-1", stall, lies_down, way=(430, 430), ground=452, withers=250),
    View("box-2", paddock, bolts, way=(125, 835), ground=432, withers=120),
)


class Scene:
    """The pictures of one camera; the same for the same view and seed, whatever the order of asking."""

    def __init__(self, view: View, seed: int = 0) -> None:
        self._view = view
        backdrop = view.backdrop(WIDTH, HEIGHT, seed)
        grain = np.random.default_rng(seed).normal(0, GRAIN, (HEIGHT, WIDTH, 1))
        self._backdrop = as_picture(backdrop + grain)
        self._write(view.camera_id)

    def picture(self, t: float) -> Picture:
        """What the camera sees `t` seconds after the start, uint8 `[540, 960, 3]`, blue first."""
        moment = self._view.script(t)
        picture = self._backdrop.copy()
        self._shadow(picture, moment)
        for corners, part in self._placed(moment):
            fixed = np.round(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(picture, [fixed], part.colour[::-1], cv2.LINE_AA, _SUBPIXEL_BITS)
        return picture

    def truth(self, t: float) -> list[Truth]:
        """Everything alive in that picture."""
        corners = np.concatenate([corners for corners, _ in self._placed(self._view.script(t))])
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        return [Truth("horse", (float(left), float(top), float(right), float(bottom)))]

    def _write(self, text: str) -> None:
        cv2.putText(self._backdrop, text, (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (240, 240, 240), 2, cv2.LINE_AA)

    def _placed(self, moment: Moment) -> list[tuple[Points, Part]]:
        """The horse's parts with their corners in pixels of the picture."""
        scale = self._view.withers * np.array([_side_view(moment.facing), -1.0])
        foot = np.array([self._x(moment), self._view.ground])
        return [(part.corners * scale + foot, part) for part in parts(moment.pose)]

    def _x(self, moment: Moment) -> float:
        start, end = self._view.way
        return start + moment.across * (end - start)

    def _shadow(self, picture: Picture, moment: Moment) -> None:
        """Darker straw below the horse."""
        withers, side = self._view.withers, _side_view(moment.facing)
        width, height = int(1.9 * withers * abs(side)), int(0.34 * withers)
        x, y = self._x(moment) + 0.1 * withers * side, self._view.ground
        left, top = max(0, int(x - width / 2)), int(y - height / 2)
        patch = picture[top : top + height, left : left + width]
        light = cv2.resize(_SHADOW, (patch.shape[1], patch.shape[0]))
        cv2.multiply(patch, light, dst=patch, scale=1 / 255)


def _side_view(facing: float) -> float:
    """Width of what is seen, as a share of the side view, negative when the horse looks to the left."""
    return (1.0 if facing >= 0 else -1.0) * max(NARROWEST, abs(facing))


def _soft_ellipse() -> Picture:
    """What is left of the light, 255 all of it, from the rim of the shadow to its middle."""
    y, x = np.mgrid[-1:1:64j, -1:1:128j]
    left = 1 - 0.6 * np.clip(1 - x**2 - y**2, 0, 1)
    return as_picture(255 * left[:, :, None].repeat(3, axis=2))


_SHADOW = _soft_ellipse()
