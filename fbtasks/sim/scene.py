"""A camera of the drawn stable: its picture at any moment, and what is truly in it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.sim import lens, painter
from fbtasks.sim.backdrop import Backdrop, as_picture, backdrop
from fbtasks.sim.body import Body
from fbtasks.sim.horse import horse
from fbtasks.sim.painter import Lighting, Picture
from fbtasks.sim.person import person
from fbtasks.sim.projection import Array, Ellipses, Pinhole
from fbtasks.sim.stage import BODY_LENGTHS_PER_HEIGHT, Conditions, HorsePose, Light, Place, Placed, Truth

Box = tuple[float, float, float, float]
_SHADOW = {"day": 0.50, "dusk": 0.35, "infrared": 0.12}
_CELLS = 64
"""Cells along the longer side of a body's box, in which it is counted how much of it can be seen."""


class Scene:
    """The pictures of one camera; the same input gives the same picture, whatever was asked before.

    Args:
        place: where the camera hangs.
        width, height: of its pictures, pixels.
    """

    def __init__(self, place: Place, width: int, height: int) -> None:
        self._width, self._height, self._seed = width, height, place.seed
        self._margin = int(lens.MARGIN * width) + 1
        self._camera = Pinhole(place.mount, width, height)
        self._sensor = lens.Sensor(width, height, place.seed)
        # Kept by functions that do not know the scene: it is freed as soon as nobody needs it.
        still = lru_cache(maxsize=1)(partial(backdrop, place, self._camera, self._margin))
        self._lit = lru_cache(maxsize=8)(partial(_lit, place, still, self._margin))
        # Of a horse that rests while another one walks, and of one that raises its head to where it was before.
        self._body = lru_cache(maxsize=64)(partial(_body, self._camera))

    def picture(self, placed: Sequence[Placed], conditions: Conditions, moment: int) -> Picture:
        """What the camera sees, uint8 `[height, width, 3]`, blue first.

        Args:
            placed: who is there.
            moment: number of the picture; noise and shaking follow from it.
        """
        if conditions.covered:
            picture: Picture = np.full((self._height, self._width, 3), 7, np.uint8)
            self._sensor.expose(picture, conditions.noise / 2, moment)
            return picture
        dx, dy = lens.shake(conditions, moment, self._seed, self._width)
        still, light = self._lit(conditions.light, round(conditions.brightness, 2))
        top, left = self._margin - dy, self._margin - dx
        picture = still[top : top + self._height, left : left + self._width].copy()
        offset = np.array([dx, dy], float)
        bodies = self._bodies(placed)
        for _, body, _ in bodies:
            painter.shade_ground(picture, body, self._camera, offset, _SHADOW[conditions.light])
        for _, body, seen in bodies:
            painter.draw(picture, seen.moved(offset), body, light, self._camera)
        self._hide(picture, conditions, light)
        if conditions.dirt > 0:
            picture = self._sensor.soil(picture, conditions.dirt)
        noise = conditions.noise * (lens.INFRARED_NOISE if conditions.light == "infrared" else 1.0)
        self._sensor.expose(picture, noise, moment)
        return picture

    def truth(self, placed: Sequence[Placed], conditions: Conditions, moment: int) -> list[Truth]:
        """Everyone who is drawn at least in part inside that picture, whatever hides it, the farthest first.

        `visible` is counted in cells of 1/64 of the body's longer side: what nearer bodies, the door and the picture's
        border leave of it. Dirt, darkness and a covered lens hide nothing here.
        """
        offset = np.array(lens.shake(conditions, moment, self._seed, self._width), float)
        bodies = [(who, body, seen.moved(offset)) for who, body, seen in self._bodies(placed)]
        whole = [_box(body, seen) for _, body, seen in bodies]
        inside = [
            self._inside(body, seen, box) if box else None for (_, body, seen), box in zip(bodies, whole, strict=True)
        ]
        truths = []
        door = self._width * (1 - conditions.door)
        for index, (who, _, _) in enumerate(bodies):
            box, full = inside[index], whole[index]
            if box is None or full is None:
                continue
            nearer = [other for other in range(index + 1, len(bodies)) if _meet(full, whole[other])]
            visible = 1.0
            if nearer or box != full or full[2] > door:
                visible = self._visible(full, bodies[index][1:], [bodies[other][1:] for other in nearer], door)
            speed = who.speed / (BODY_LENGTHS_PER_HEIGHT * who.look.height) if who.kind == "horse" else 0.0
            truths.append(Truth(who.id, who.kind, box, visible, who.posture, speed))
        return truths

    def _bodies(self, placed: Sequence[Placed]) -> list[tuple[Placed, Body, Ellipses]]:
        """Everyone with their ellipsoids in pixels of a picture that does not shake, the farthest first."""
        bodies = [(who, *self._body(who)) for who in placed]
        # Over the ground alone: who stands upright is nearer to a camera above than who lies before her.
        ahead = self._camera.turn[2]
        bodies.sort(key=lambda entry: -float(entry[0].x * ahead[0] + entry[0].y * ahead[1]))
        return bodies

    def _hide(self, picture: Picture, conditions: Conditions, light: Lighting) -> None:
        """Draws the door over the picture's right."""
        left = round(self._width * (1 - min(conditions.door, 1.0)))
        if left >= self._width:
            return
        leaf = lens.door_leaf(self._width - left, self._height, self._seed, grey=light.grey)
        shade = light.map[:, left:]
        picture[:, left:] = cv2.multiply(leaf, cv2.merge([shade, shade, shade]), scale=min(light.tint) / painter.FULL)

    def _inside(self, body: Body, seen: Ellipses, box: Box) -> Box | None:
        """The box of what is drawn inside the picture."""
        left, top, right, bottom = box
        if left >= self._width or top >= self._height or right <= 0 or bottom <= 0:
            return None
        if left >= 0 and top >= 0 and right <= self._width and bottom <= self._height:
            return box
        outlines = seen.hulls(_bones(body, seen))
        points = _clipped(outlines, self._width, self._height)
        if not len(points):
            return None
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    def _visible(
        self, box: Box, body: tuple[Body, Ellipses], nearer: list[tuple[Body, Ellipses]], door: float
    ) -> float:
        left, top, right, bottom = box
        scale = _CELLS / max(right - left, bottom - top, 1.0)
        size = (int((bottom - top) * scale) + 1, int((right - left) * scale) + 1)
        mask = _mask(body, size, (left, top), scale)
        drawn = cv2.countNonZero(mask)
        for other in nearer:
            mask[_mask(other, size, (left, top), scale) > 0] = 0
        x = left + (np.arange(size[1]) + 0.5) / scale
        y = top + (np.arange(size[0]) + 0.5) / scale
        mask[:, (x < 0) | (x > min(self._width, door))] = 0
        mask[(y < 0) | (y > self._height)] = 0
        return cv2.countNonZero(mask) / drawn if drawn else 0.0


def _mask(
    body: tuple[Body, Ellipses], size: tuple[int, int], corner: tuple[float, float], scale: float
) -> NDArray[np.uint8]:
    """Where the body is drawn, in cells of 1 / `scale` pixels from `corner` on."""
    mask = np.zeros(size, np.uint8)
    shape, seen = body
    outlines = (seen.hulls(_bones(shape, seen)) - corner) * scale
    for outline in np.round(np.clip(outlines, -2000, 2000) * 16 - 8).astype(np.int32):
        cv2.fillConvexPoly(mask, outline, 1, cv2.LINE_8, 4)
    return mask


def _bones(body: Body, seen: Ellipses) -> NDArray[np.intp]:
    """The pieces of the body that are before the camera."""
    bones = body.paint.bones
    return bones if seen.seen.all() else np.asarray(bones[np.all(seen.seen[bones], axis=1)], np.intp)


def _lit(
    place: Place, still: Callable[[], Backdrop], margin: int, light: Light, brightness: float
) -> tuple[Picture, Lighting]:
    """What stands still in that light, with its border, and the light for who moves."""
    drawn = still()
    height, width = drawn.colours.shape[:2]
    lamp = 1.1 * float(np.hypot(place.mount.z, 0.6 * place.depth))
    whole = lens.lighting(Conditions(light=light, brightness=brightness), height, width, lamp)
    colours = drawn.colours.astype(np.float32) * whole.tint[::-1]
    if whole.grey:
        grey = (colours @ np.array([0.11, 0.59, 0.30])) * whole.gain(drawn.depth)
        colours = (18 + 0.8 * grey)[:, :, None].repeat(3, axis=2)
    colours *= whole.map[:, :, None] / painter.FULL
    inside = np.ascontiguousarray(whole.map[margin : height - margin, margin : width - margin])
    return as_picture(colours), replace(whole, map=inside)


def _box(body: Body, seen: Ellipses) -> Box | None:
    """Left, top, right, bottom of all that is drawn, inside the picture or not."""
    low, high = seen.extremes()
    kept = body.paint.used if seen.seen.all() else np.unique(_bones(body, seen))
    if not len(kept):
        return None
    low, high = low[kept], high[kept]
    (left, top), (right, bottom) = low.min(axis=0).tolist(), high.max(axis=0).tolist()
    return left, top, right, bottom


def _meet(one: Box, other: Box | None) -> bool:
    return other is not None and one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _body(camera: Pinhole, who: Placed) -> tuple[Body, Ellipses]:
    body = horse(who, who.pose) if isinstance(who.pose, HorsePose) else person(who, who.pose)
    return body, camera.ellipses(body.points, body.shapes)


def _clipped(outlines: Array, width: int, height: int) -> Array:
    """Corners of the outlines inside the picture, and where their edges cross its border, `[n, 2]`."""
    start = outlines.reshape(-1, 2)
    way = (np.roll(outlines, -1, axis=1) - outlines).reshape(-1, 2)
    found = [start]
    for axis, border in ((0, 0.0), (0, float(width)), (1, 0.0), (1, float(height))):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (border - start[:, axis]) / way[:, axis]
        here = (share >= 0) & (share <= 1)
        crossing = start[here] + share[here, None] * way[here]
        crossing[:, axis] = border
        found.append(crossing)
    points = np.concatenate(found)
    x, y = points.T
    return np.asarray(points[(x >= 0) & (y >= 0) & (x <= width) & (y <= height)])
