"""From metres in a place to pixels in a picture: a pinhole camera, and the ellipses that it makes of ellipsoids.

Pixel coordinates are continuous: the picture reaches from 0 to its width and height.
"""

from dataclasses import dataclass
from math import cos, sin, tan

import numpy as np
from numpy.typing import NDArray

from fbtasks.sim.stage import Mount

Array = NDArray[np.float64]
NEAREST = 0.25
"""Metres before the camera from which on something is seen."""
_CORNERS = 20
"""Of the outline of one piece of a body."""
_ANGLES = np.arange(_CORNERS) * 2 * np.pi / _CORNERS
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
_SQUARES = np.stack([_DIRECTIONS[0] ** 2, 2 * _DIRECTIONS[0] * _DIRECTIONS[1], _DIRECTIONS[1] ** 2])


@dataclass(frozen=True, slots=True)
class Ellipses:
    """What ellipsoids look like in a picture.

    Attributes:
        centres: `[n, 2]`, pixels.
        spread: `[n, 3]`, xx, xy and yy of the matrix M of each ellipse: it reaches sqrt(d M d) in direction d.
        depth: `[n]`, metres before the camera, `NEAREST` at least.
        seen: `[n]`, whether they are before the camera at all.
    """

    centres: Array
    spread: Array
    depth: Array
    seen: NDArray[np.bool_]

    def extremes(self) -> tuple[Array, Array]:
        """Left top and right bottom of every ellipse, `[n, 2]` each."""
        reach = np.sqrt(self.spread[:, ::2])
        return self.centres - reach, self.centres + reach

    def hulls(self, bones: NDArray[np.intp], scale: float = 1.0) -> Array:
        """Outline around every two ellipses, `[m, 20, 2]`, each ellipse being `scale` of its size.

        Args:
            bones: `[m, 2]`, which two; twice the same for one alone.
        """
        reach = np.sqrt(self.spread @ _SQUARES)
        xx, xy, yy = self.spread.T[:, :, None]
        dx, dy = _DIRECTIONS
        inverse = scale / reach
        x = self.centres[:, :1] + (xx * dx + xy * dy) * inverse
        y = self.centres[:, 1:] + (xy * dx + yy * dy) * inverse
        support = self.centres @ _DIRECTIONS + scale * reach
        start, end = bones.T
        first = support[start] >= support[end]
        return np.stack([np.where(first, x[start], x[end]), np.where(first, y[start], y[end])], axis=2)

    def moved(self, by: Array) -> "Ellipses":
        return Ellipses(self.centres + by, self.spread, self.depth, self.seen)


class Pinhole:
    """A pinhole camera.

    Args:
        mount: where it hangs and where it looks.
        width, height: of the picture, pixels.
    """

    def __init__(self, mount: Mount, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.place = np.array([mount.x, mount.y, mount.z])
        self.focal = width / 2 / tan(mount.field / 2)
        self.middle = np.array([width / 2, height / 2])
        self.turn = _turn(mount)
        """`[3, 3]`: its rows are the picture's right, the picture's down and the direction of view."""

    def ellipses(self, points: Array, shapes: Array) -> Ellipses:
        """The ellipsoids around `points` as the picture shows them, perspective taken as even over each of them.

        Args:
            points: `[n, 3]`, metres.
            shapes: `[n, 3, 3]`: the columns of each are the half axes.
        """
        seen = (points - self.place) @ self.turn.T
        depth = np.maximum(seen[:, 2], NEAREST)
        slope = seen[:, :2] / depth[:, None]
        axes = self.turn @ shapes
        flat = (axes[:, :2] - slope[:, :, None] * axes[:, 2:]) * (self.focal / depth)[:, None, None]
        squares = flat @ flat.transpose(0, 2, 1)
        spread = squares.reshape(-1, 4)[:, [0, 1, 3]]
        return Ellipses(self.middle + self.focal * slope, spread, depth, seen[:, 2] > NEAREST)

    def rays(self, margin: int) -> NDArray[np.float32]:
        """Direction of every pixel of the picture and a border of `margin` around it, `[height, width, 3]`."""
        x = (np.arange(-margin, self.width + margin) + 0.5 - self.middle[0]) / self.focal
        y = (np.arange(-margin, self.height + margin) + 0.5 - self.middle[1]) / self.focal
        right, down, ahead = self.turn
        rays = x[None, :, None] * right + y[:, None, None] * down + ahead
        return np.asarray(rays, np.float32)


def _turn(mount: Mount) -> Array:
    right = np.array([cos(mount.yaw), sin(mount.yaw), 0.0])
    ahead = np.array([sin(mount.yaw) * cos(mount.pitch), -cos(mount.yaw) * cos(mount.pitch), -sin(mount.pitch)])
    down = np.array([-sin(mount.yaw) * sin(mount.pitch), cos(mount.yaw) * sin(mount.pitch), -cos(mount.pitch)])
    c, s = cos(mount.roll), sin(mount.roll)
    return np.stack([c * right - s * down, s * right + c * down, ahead])
