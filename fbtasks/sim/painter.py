"""Draws bodies into pictures: far pieces first, light from above on them, their shadow on the ground."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.sim.body import Body
from fbtasks.sim.projection import Array, Ellipses, Pinhole

Picture = NDArray[np.uint8]
"""`[height, width, 3]`, blue first."""
Grey = NDArray[np.uint8]
"""`[height, width]`."""

FULL = 128
"""What stands for an unchanged brightness in maps of light and texture."""
_FIXED = 4
"""Binary digits behind the point of the corners that OpenCV is given."""
_LIGHT = np.array([-0.25, 0.30, 0.92])
"""Where the light comes from: above, and a little from the left and the viewer."""
# Each a smaller outline nearer to the light: its size, how far it is moved of the whole way to the rim, its brightness.
_LEVELS = ((1.0, 0.0, 44), (0.86, 0.13, 78), (0.64, 0.33, 112), (0.38, 0.56, 148))
_PLAIN = 98
"""Brightness of a piece that is too small for light and shade."""
_FAR_SIDE = 0.30
"""How much darker the far side of a body is, at half a metre behind its middle."""
_SOFTNESS = 0.026
"""Metres over which light and shade run into one another."""
_SHADOW_SCALE = 4
"""Pixels of the picture for one of a shadow."""
_LEVEL = np.array([1.0, 1.0, 0.3])
"""How much places count when groups of pieces are ordered: see `drawn`."""


@dataclass(frozen=True, slots=True)
class Lighting:
    """The light that a body is drawn in.

    Attributes:
        map: `[height, width]`, brightness in every pixel, `FULL` as by day.
        texture: `[height, width]` at least, what a coat's unevenness does to its brightness.
        tint: factors of red, green and blue.
        grey: whether there are no colours.
        lamp: metres from the camera at which its lamp gives full light; 0 without a lamp.
    """

    map: Grey
    texture: Grey
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    grey: bool = False
    lamp: float = 0.0

    def colours(self, body: Body, depth: float) -> Array:
        """The body's colours in this light, `[m, 3]`, blue first."""
        colours = body.paint.colours
        if self.grey:
            # Coats are more alike in the near infrared than by day.
            luminance = 55 + 0.6 * (colours @ (0.30, 0.59, 0.11))
            luminance *= self.gain(depth)
            colours = np.where(body.paint.bright, 255.0, luminance)[:, None].repeat(3, axis=1)
        return np.asarray(np.clip(colours * self.tint, 2, 255)[:, ::-1])

    def gain(self, depth: float | NDArray[np.float32]) -> float | NDArray[np.float32]:
        """How bright the lamp leaves what is `depth` metres away."""
        return np.clip((self.lamp / depth) ** 1.3, 0.2, 1.2) if self.lamp else 1.0


def draw(picture: Picture, seen: Ellipses, body: Body, light: Lighting, camera: Pinhole) -> None:
    """Draws the body into the picture.

    Args:
        seen: the body's ellipsoids in pixels of this picture.
        camera: where it is, without any shaking.
    """
    order = drawn(seen, body, camera)
    if not len(order):
        return
    outlines = _nested(seen, body.paint.bones[order], camera)
    area = _area(outlines[0], picture)
    if area is None:
        return
    left, top, right, bottom = area
    corners = [_corners(outline, left, top) for outline in outlines]
    size = (bottom - top, right - left)
    depths = seen.depth[body.paint.bones[order]].mean(axis=1)
    depth = float(depths.mean())
    layer = _coloured(corners[0], light.colours(body, depth)[order], size)
    dark = 1 - np.clip(2 * _FAR_SIDE * (depths - depth), -0.12, _FAR_SIDE)
    shade = _shaded(corners, body, order, dark, size)
    width = 2 * int(_SOFTNESS * camera.focal / depth) + 1
    shade = _pixels(cv2.blur(cv2.blur(shade, (width, width)), (width, width)))
    there = np.s_[top:bottom, left:right]
    for map_ in (light.map[there], _texture(light.texture, seen.centres[0], area)):
        cv2.multiply(shade, map_, dst=shade, scale=1 / FULL)
    _lay(layer, shade, picture[there])


def _nested(seen: Ellipses, bones: NDArray[np.intp], camera: Pinhole) -> list[Array]:
    """Outlines of the pieces, and in them those of their lighter and lighter parts."""
    towards = camera.turn[:2] @ _LIGHT
    x, y = towards / (np.hypot(*towards) + 1e-9)
    xx, xy, yy = seen.spread.T
    rim = np.stack([xx * x + xy * y, xy * x + yy * y], axis=1)
    rim /= np.sqrt(xx * x * x + 2 * xy * x * y + yy * y * y)[:, None] + 1e-9
    return [seen.moved(move * rim).hulls(bones, size) for size, move, _ in _LEVELS]


def _coloured(outlines: NDArray[np.int32], colours: Array, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pieces in their colours, `[height, width, 4]`; the last channel says where they are, with soft edges."""
    layer = np.zeros((*size, 4), np.uint8)
    for outline, (blue, green, red) in zip(outlines, colours.tolist(), strict=True):
        cv2.fillConvexPoly(layer, outline, (blue, green, red, 255.0), cv2.LINE_8, _FIXED)
    return _pixels(cv2.GaussianBlur(layer, (3, 3), 0))


def _shaded(
    corners: list[NDArray[np.int32]], body: Body, order: NDArray[np.intp], dark: Array, size: tuple[int, int]
) -> Grey:
    """Light and shade, `[height, width]`: a group's dark parts first, so that its pieces run into one another."""
    shade = np.full(size, 96, np.uint8)
    is_round = body.paint.round[order]
    base = (dark * np.where(is_round, _LEVELS[0][2], _PLAIN)).tolist()
    for first, last in _runs(body.paint.group[order]):
        for index in range(first, last):
            cv2.fillConvexPoly(shade, corners[0][index], base[index], cv2.LINE_8, _FIXED)
        rounded = [index for index in range(first, last) if is_round[index]]
        for outlines, (_, _, level) in zip(corners[1:], _LEVELS[1:], strict=True):
            for index in rounded:
                cv2.fillConvexPoly(shade, outlines[index], level * dark[index], cv2.LINE_8, _FIXED)
    return shade


def _lay(layer: NDArray[np.uint8], shade: Grey, patch: Picture) -> None:
    """Lays the shaded layer over its patch of the picture."""
    blue, green, red, cover = cv2.split(layer)
    shaded = cv2.multiply(cv2.merge([blue, green, red]), cv2.merge([shade, shade, shade]), scale=1 / FULL)
    clear = cv2.bitwise_not(cover)
    cv2.multiply(patch, cv2.merge([clear, clear, clear]), dst=patch, scale=1 / 255)
    cv2.add(patch, shaded, dst=patch)


def drawn(seen: Ellipses, body: Body, camera: Pinhole) -> NDArray[np.intp]:
    """The pieces that are before the camera: group by group, in each the farthest first."""
    bones, group = body.paint.bones, body.paint.group
    depth = seen.depth[bones].mean(axis=1) - body.paint.ahead
    # Seen from above, a leg is farther away than the chest above it, and yet before it: heights hardly count.
    level = (body.points @ (camera.turn[2] * _LEVEL))[bones[:, 0]]
    of_group = np.bincount(group, level) / np.maximum(np.bincount(group), 1)
    order = np.lexsort((-depth, -of_group[group]))
    return np.asarray(order[np.all(seen.seen[bones], axis=1)[order]], np.intp)


def shade_ground(picture: Picture, body: Body, camera: Pinhole, offset: Array, strength: float) -> None:
    """The soft shadow that the body throws straight down."""
    points = body.points.copy()
    height = points[:, 2]
    points[:, 0] += 0.18 * height
    points[:, 1] -= 0.10 * height
    points[:, 2] = 0.0
    seen = camera.ellipses(points, body.shapes * np.array([[1.0], [1.0], [0.02]]))
    bones = body.paint.bones[body.paint.round & np.all(seen.seen[body.paint.bones], axis=1)]
    if not len(bones):
        return
    outlines = seen.moved(offset).hulls(bones)
    blur = 2 * int(0.05 * camera.focal / float(seen.depth.mean()) / _SHADOW_SCALE) + 3
    area = _area(outlines, picture, margin=2 * blur * _SHADOW_SCALE)
    if area is None:
        return
    left, top, right, bottom = area
    mask = np.zeros(((bottom - top) // _SHADOW_SCALE + 1, (right - left) // _SHADOW_SCALE + 1), np.uint8)
    for outline in _corners((outlines - (left, top)) / _SHADOW_SCALE, 0, 0):
        cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_8, _FIXED)
    soft = cv2.blur(cv2.blur(mask, (blur, blur)), (blur, blur))
    left_over = cv2.convertScaleAbs(soft, alpha=-strength, beta=255)
    light = cv2.resize(left_over, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    patch = picture[top:bottom, left:right]
    cv2.multiply(patch, cv2.merge([light, light, light]), dst=patch, scale=1 / 255)


def _pixels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """What OpenCV's types do not say: pixels remain pixels."""
    return np.asarray(values, np.uint8)


def _runs(group: NDArray[np.intp]) -> list[tuple[int, int]]:
    """First and behind the last of every run of equal numbers."""
    ends = [*(np.flatnonzero(np.diff(group)) + 1).tolist(), len(group)]
    return list(zip([0, *ends], ends, strict=False))


def _area(outlines: Array, picture: Picture, margin: int = 2) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of what lies in the picture, in whole pixels."""
    height, width = picture.shape[:2]
    low, high = outlines.min(axis=(0, 1)), outlines.max(axis=(0, 1))
    left, top = max(0, int(low[0]) - margin), max(0, int(low[1]) - margin)
    right, bottom = min(width, int(high[0]) + margin + 1), min(height, int(high[1]) + margin + 1)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _corners(outlines: Array, left: int, top: int) -> NDArray[np.int32]:
    """As OpenCV wants them: its whole numbers are the middles of pixels."""
    clipped = np.clip(outlines - (left + 0.5, top + 0.5), -20000, 20000)
    return np.asarray(np.round(clipped * (1 << _FIXED)), np.int32)


def _texture(texture: Grey, at: Array, area: tuple[int, int, int, int]) -> Grey:
    """A piece of the texture that moves with the body."""
    left, top, right, bottom = area
    height, width = bottom - top, right - left
    x = int(np.clip(left - at[0] + (texture.shape[1]) / 2, 0, texture.shape[1] - width))
    y = int(np.clip(top - at[1] + (texture.shape[0]) / 2, 0, texture.shape[0] - height))
    return texture[y : y + height, x : x + width]
