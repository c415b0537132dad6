"""What stands still in a place: walls, ground, windows, and things of every shape that are no horses.

Every pixel's ray is followed to the wall or ground that it meets first, and takes its colour from a flat drawing of it.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.sim import painter, places
from fbtasks.sim.furniture import CEILING, furniture
from fbtasks.sim.painter import FULL, Lighting, Picture
from fbtasks.sim.projection import Pinhole
from fbtasks.sim.stage import Place
from fbtasks.sim.surfaces import (
    FINE,
    WOODS,
    Drawing,
    Values,
    boards,
    door,
    ground,
    noise,
    sand,
    speckle,
    tinted,
    wall,
    window,
)

_FAR = 60.0
"""Metres to what is farther than any wall."""


@dataclass(frozen=True, slots=True)
class Backdrop:
    """What stands still, by full daylight.

    Attributes:
        colours: `[height, width, 3]`, blue first; the picture with its border.
        depth: `[height, width]`, metres from the camera.
    """

    colours: Picture
    depth: Values


def stall(width: int, height: int, seed: int) -> Picture:
    """An empty box by day."""
    place = places.place("box", seed)
    return backdrop(place, Pinhole(place.mount, width, height), 0).colours


def as_picture(values: NDArray[Any]) -> Picture:
    """The values as pixels, cut off at black and white."""
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def backdrop(place: Place, camera: Pinhole, margin: int) -> Backdrop:
    """Draws the place as the camera sees it, with a border of `margin` pixels around the picture."""
    random = np.random.default_rng(place.seed)
    rays = camera.rays(margin)
    if place.kind == "paddock":
        colours, depth = _open_ground(place, camera, rays, random)
    else:
        colours, depth = _room(place, camera, rays, random)
    picture = np.ascontiguousarray(as_picture(cv2.blur(colours, (2, 2)))[:, :, ::-1])
    shape = picture.shape[:2]
    light = Lighting(np.full(shape, FULL, np.uint8), speckle(shape, random))
    offset = np.array([margin, margin], float)
    bodies = [(body, camera.ellipses(body.points, body.shapes)) for body in furniture(place, random)]
    bodies.sort(key=lambda pair: -float(pair[1].depth.mean()))
    for body, _ in bodies:
        painter.shade_ground(picture, body, camera, offset, strength=0.4)
    for body, seen in bodies:
        painter.draw(picture, seen.moved(offset), body, light, camera)
    return Backdrop(picture, depth)


def _seen(drawing: Drawing, across: Values, along: Values, light: float = 1.0) -> Drawing:
    """A wall or ground as the camera sees it, `[height, width, 3]`.

    Args:
        drawing: flat.
        across, along: `[height, width]`, where each pixel's ray meets it, metres from its left and its top.
        light: how much of the light reaches it.
    """
    # OpenCV mirrors what is beyond the edge step by step, which takes long for what is far beyond.
    rows, columns = drawing.shape[:2]
    x = np.clip(np.nan_to_num(FINE * across), -columns, 2 * columns).astype(np.float32)
    y = np.clip(np.nan_to_num(FINE * along), -rows, 2 * rows).astype(np.float32)
    drawn = cv2.remap(drawing, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(light * drawn, np.float32)


def _room(place: Place, camera: Pinhole, rays: Values, random: np.random.Generator) -> tuple[Drawing, Values]:
    x, y, z = (float(value) for value in camera.place)
    dx, dy, dz = np.moveaxis(rays, 2, 0)
    top = max(CEILING, z + 0.3)
    wood = tinted(WOODS[random.integers(len(WOODS))], random)
    back, left, right = (wall(length, top, place, wood, random) for length in (place.width, place.depth, place.depth))
    if place.kind == "box" or random.random() < 0.5:
        window(back, random)
    if place.kind == "box" and random.random() < 0.5:
        window(left if random.random() < 0.5 else right, random)
    if random.random() < 0.7:
        door(left if random.random() < 0.5 else right, random)
    ceiling = boards(place.width, place.depth, tinted(wood, random), random, upright=True, board=0.2)
    lights = (*random.uniform((0.9, 0.7, 0.7), (1.05, 0.95, 0.95)), 1.0, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = [_ahead(far) for far in (-y / dy, -x / dx, (place.width - x) / dx, -z / dz, (top - z) / dz)]
    together = np.stack(distances)
    which, depth = together.argmin(axis=0), np.minimum(together.min(axis=0), _FAR)
    colours = np.empty((*depth.shape, 3), np.float32)
    for index, drawing in enumerate((back, left, right, ground(place, random), ceiling)):
        mine = which == index
        if not mine.any():
            continue
        part = _around(mine)
        with np.errstate(invalid="ignore"):
            at_x, at_y, at_z = (
                start + distances[index][part] * way[part] for start, way in ((x, dx), (y, dy), (z, dz))
            )
        across = at_y if index in {1, 2} else at_x
        along = at_y if index > 2 else top - at_z
        np.copyto(colours[part], _seen(drawing, across, along, lights[index]), where=mine[part][:, :, None])
    return np.asarray(colours * _corner_light(place, camera, rays, depth)[:, :, None], np.float32), depth


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns that hold all of it."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _corner_light(place: Place, camera: Pinhole, rays: Values, depth: Values) -> Values:
    """Corners are darker: light hardly reaches them."""
    at = camera.place.astype(np.float32) + depth[:, :, None] * rays
    # Each point is on one surface; its second smallest distance to any of them is that to the next corner.
    back, left, right, ground = (np.abs(gap) for gap in (at[..., 1], at[..., 0], place.width - at[..., 0], at[..., 2]))
    second = np.minimum(
        np.maximum(np.minimum(back, left), np.minimum(right, ground)),
        np.minimum(np.maximum(back, left), np.maximum(right, ground)),
    )
    return np.asarray(1 - 0.38 * np.exp(-second / 0.22), np.float32)


def _open_ground(place: Place, camera: Pinhole, rays: Values, random: np.random.Generator) -> tuple[Drawing, Values]:
    """Sand, grass around it, and what is far behind."""
    x, y, z = (float(value) for value in camera.place)
    dx, dy, dz = np.moveaxis(rays, 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.minimum(_ahead(-z / dz), _FAR)
    across, along = x + distance * dx, y + distance * dy
    colours = _seen(sand(place, random), across, along)
    grass = tinted((108, 124, 70) if random.random() < 0.75 else (140, 128, 90), random)
    beyond = (across < -0.1) | (across > place.width + 0.1) | (along < -0.1)
    rough = 1 + 0.12 * noise(rays.shape[:2], 3, random)
    colours = np.where(beyond[..., None], rough[..., None] * np.array(grass), colours)
    # That far behind the fence, trees or a wall begin.
    horizon = random.uniform(3.0, 14.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(dy < 0, (-horizon - y) / dy, _FAR).astype(np.float32)
    behind = (dz >= 0) | (along < -horizon)
    colours = np.where(behind[..., None], _horizon(x + far * dx, z + far * dz, random), colours)
    return np.asarray(colours, np.float32), np.where(behind, np.minimum(far, _FAR), distance)


def _horizon(across: Values, up: Values, random: np.random.Generator) -> Drawing:
    """Trees or a wall of boards, above them sky; `across` and `up` are metres, `[height, width]`."""
    high = random.uniform(2.0, 6.0)
    if random.random() < 0.5:
        leaf = np.array(tinted((66, 84, 46), random))
        edge = high + 0.6 * noise(up.shape, 14, random) + 0.3 * noise(up.shape, 5, random)
        light = 1 + 0.16 * noise(up.shape, 5, random) + 0.16 * noise(up.shape, 18, random)
        far = light[..., None] * leaf
    else:
        planks = boards(40.0, high, tinted(WOODS[random.integers(len(WOODS))], random), random, upright=True, board=0.3)
        edge = np.full(up.shape, high, np.float32)
        far = _seen(planks, across + 14, high - up)
    sky = np.array(tinted((196, 208, 220), random))
    return np.asarray(np.where((up < edge)[..., None], far, sky), np.float32)


def _ahead(distance: Values) -> Values:
    """Infinite where the surface lies behind."""
    return np.where(distance > 0, distance, np.inf).astype(np.float32)
