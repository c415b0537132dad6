"""Walls and grounds seen straight on: boards, bricks, plaster, bars, windows, doors, straw, sand; every seed others."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.sim.painter import FULL, Grey
from fbtasks.sim.stage import Colour, Place

Drawing = NDArray[np.float32]
"""A flat surface seen straight on, `[height, width, 3]`, red first; its top row is its upper or farther edge."""
Values = NDArray[np.float32]

FINE = 90.0
"""Pixels in a metre of a drawing."""
WOODS: tuple[Colour, ...] = (
    (188, 158, 118), (150, 118, 84), (122, 78, 46), (92, 60, 40), (142, 136, 124), (206, 200, 188), (96, 108, 92),
    (128, 62, 44), (70, 62, 56), (170, 128, 80),
)  # fmt: skip
_STRAWS: tuple[Colour, ...] = (
    (208, 180, 116), (188, 152, 92), (222, 204, 150), (150, 118, 78), (166, 152, 120), (120, 92, 62), (214, 190, 160),
)  # fmt: skip
_SANDS: tuple[Colour, ...] = ((196, 176, 142), (172, 146, 110), (150, 132, 106), (134, 108, 80), (120, 128, 84))


def tinted(colour: Colour, random: np.random.Generator) -> Colour:
    """The colour a little lighter or darker and of another hue."""
    red, green, blue = np.clip(np.array(colour) * random.uniform(0.8, 1.2) + random.normal(0, 6, 3), 8, 250)
    return int(red), int(green), int(blue)


def noise(shape: tuple[int, int], size: int, random: np.random.Generator) -> Values:
    """Soft noise of standard deviation about 1 and `size` pixels."""
    small = random.standard_normal((shape[0] // size + 2, shape[1] // size + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def speckle(shape: tuple[int, int], random: np.random.Generator) -> Grey:
    """Texture of things: straw-like, coarser than a coat."""
    total = 14 * noise(shape, 3, random) + 8 * noise(shape, 10, random)
    return np.asarray(np.clip(FULL + total, 0, 255), np.uint8)


def boards(
    width: float, height: float, colour: Colour, random: np.random.Generator, *, upright: bool, board: float
) -> Drawing:
    """Boards of one wood, `board` metres wide."""
    rows, columns = int(height * FINE), int(width * FINE)
    if not upright:
        rows, columns = columns, rows
    count = int(columns / FINE / board) + 2
    index = (np.arange(columns) / FINE / board + random.uniform(0, 1)).astype(int)
    shades = random.normal(1, 0.07, count + 1)[index]
    seam = np.concatenate([[1], np.diff(index)]) > 0
    grain = cv2.resize(
        random.standard_normal((max(2, rows // 60), columns)).astype(np.float32), (columns, rows),
        interpolation=cv2.INTER_LINEAR,
    )  # fmt: skip
    light = shades * (1 + 0.05 * grain + 0.05 * noise((rows, columns), 60, random))
    light[:, seam | np.roll(seam, 1)] *= random.uniform(0.45, 0.75)
    drawing = np.asarray(light[..., None] * np.array(colour), np.float32)
    return drawing if upright else np.ascontiguousarray(drawing.transpose(1, 0, 2))


def _bricks(width: float, height: float, colour: Colour, random: np.random.Generator) -> Drawing:
    rows, columns = int(height * FINE), int(width * FINE)
    y, x = np.mgrid[0:rows, 0:columns] / FINE
    course = (y / 0.09).astype(int)
    column = (x / 0.24 + 0.5 * (course % 2)).astype(int)
    shade = random.normal(1, 0.10, (course.max() + 1, column.max() + 1))[course, column]
    joint = ((y / 0.09) % 1 < 0.14) | ((x / 0.24 + 0.5 * (course % 2)) % 1 < 0.05)
    light = shade + 0.04 * noise((rows, columns), 3, random)
    drawing = light[..., None] * np.array(colour)
    drawing[joint] = np.array((150, 144, 136)) * random.uniform(0.7, 1.1)
    return np.asarray(drawing, np.float32)


def _plaster(width: float, height: float, colour: Colour, random: np.random.Generator) -> Drawing:
    rows, columns = int(height * FINE), int(width * FINE)
    light = 1 + 0.04 * noise((rows, columns), 50, random) + 0.02 * noise((rows, columns), 4, random)
    # Dirty towards the ground.
    light *= np.linspace(1.0, random.uniform(0.7, 0.95), rows)[:, None]
    return np.asarray(light[..., None] * np.array(colour), np.float32)


def wall(length: float, height: float, place: Place, wood: Colour, random: np.random.Generator) -> Drawing:
    """Boards all the way up, or up to the chest with masonry or bars above them."""
    upper = random.integers(4)
    pale = tinted(((206, 200, 186), (176, 170, 160), (196, 186, 150), (120, 120, 116))[random.integers(4)], random)
    board, upright = random.uniform(0.10, 0.26), bool(random.random() < 0.5)
    if upper == 0:
        return boards(length, height, wood, random, upright=upright, board=board)
    if upper == 1:
        drawing = _bricks(length, height, tinted(((150, 82, 62), (170, 150, 130))[random.integers(2)], random), random)
    else:
        drawing = _plaster(length, height, pale, random)
    low = int(random.uniform(1.1, 1.5) * FINE)
    panel = boards(length, low / FINE, wood, random, upright=upright, board=board)
    if upper == 3 or place.kind == "aisle":
        _bars(drawing, drawing.shape[0] - low, random)
    drawing[-panel.shape[0] :, : panel.shape[1]] = panel[:, : drawing.shape[1]]
    cv2.line(drawing, (0, drawing.shape[0] - low), (drawing.shape[1], drawing.shape[0] - low), (70, 66, 60), 5)
    return drawing


def _bars(drawing: Drawing, bottom: int, random: np.random.Generator) -> None:
    """Dark beyond, steel bars before it."""
    top = max(0, bottom - int(0.95 * FINE))
    drawing[top:bottom] *= 0.32
    steel = float(random.uniform(60, 190))
    for x in range(0, drawing.shape[1], 9):
        cv2.line(drawing, (x, top), (x, bottom), (steel, steel, steel), 2)
    cv2.line(drawing, (0, top), (drawing.shape[1], top), (steel, steel, steel), 4)


def window(drawing: Drawing, random: np.random.Generator) -> None:
    """Puts a window into a wall's drawing."""
    rows, columns = drawing.shape[:2]
    width, height = int(random.uniform(0.6, 1.3) * FINE), int(random.uniform(0.5, 0.9) * FINE)
    left = int(random.uniform(0.05, 0.95) * max(1, columns - width))
    top = int(random.uniform(0.1, 0.35) * rows)
    frame = tinted(WOODS[random.integers(len(WOODS))], random)
    cv2.rectangle(drawing, (left - 6, top - 6), (left + width + 6, top + height + 6), frame, -1)
    sky = random.uniform(150, 250)
    cv2.rectangle(drawing, (left, top), (left + width, top + height), (sky * 0.94, sky, min(255.0, sky * 1.05)), -1)
    cv2.rectangle(
        drawing, (left, top + int(random.uniform(0.5, 0.9) * height)), (left + width, top + height), (96, 118, 74), -1
    )
    for x in np.linspace(left, left + width, int(random.integers(2, 9)))[1:-1]:
        cv2.line(drawing, (int(x), top), (int(x), top + height), (70, 72, 74), 3)


def door(drawing: Drawing, random: np.random.Generator) -> None:
    """Puts a door into a wall's drawing, closed or open to the dark."""
    rows, columns = drawing.shape[:2]
    width, height = int(random.uniform(1.0, 1.4) * FINE), int(random.uniform(2.0, 2.4) * FINE)
    width = min(width, columns)
    left = int(random.uniform(0.2, 0.9) * max(1, columns - width))
    leaf = boards(width / FINE, height / FINE, tinted(WOODS[random.integers(len(WOODS))], random), random,
                   upright=True, board=0.14)  # fmt: skip
    if random.random() < 0.35:
        leaf *= 0.25
    there = drawing[rows - height : rows, left : left + width]
    there[:] = cv2.resize(leaf, (there.shape[1], there.shape[0]))
    cv2.rectangle(drawing, (left, rows - height), (left + width, rows), (58, 56, 54), 4)


def ground(place: Place, random: np.random.Generator) -> Drawing:
    """Straw of a box, or concrete of an aisle with straw about; seen from above, the back wall at the top."""
    rows, columns = int((place.depth + 1.5) * FINE), int(place.width * FINE)
    if place.kind == "aisle":
        grey = random.uniform(95, 165)
        light = 1 + 0.06 * noise((rows, columns), 40, random) + 0.03 * noise((rows, columns), 3, random)
        concrete = tinted((int(grey), int(grey * 0.97), int(grey * 0.92)), random)
        drawing = np.asarray(light[..., None] * np.array(concrete), np.float32)
        step = int(random.uniform(0.5, 2.0) * FINE)
        drawing[::step] *= 0.7
        drawing[:, ::step] *= 0.8
        _stalks(drawing, _STRAWS[random.integers(len(_STRAWS))], int(random.uniform(100, 2500)), random)
        return drawing
    straw = tinted(_STRAWS[random.integers(len(_STRAWS))], random)
    # Trampled and wet in places, to the ground below it.
    heap = noise((rows, columns), 70, random) + 0.6 * noise((rows, columns), 25, random)
    light = 0.80 + random.uniform(0.03, 0.10) * heap + 0.05 * noise((rows, columns), 3, random)
    drawing = np.asarray(light[..., None] * np.array(straw), np.float32)
    _stalks(drawing, straw, int(random.uniform(2000, 9000)), random)
    if random.random() < 0.6:
        bare = np.clip(heap - random.uniform(0.8, 1.6), 0, 0.8)[..., None]
        drawing = np.asarray(drawing * (1 - bare) + bare * np.array((72, 64, 56)), np.float32)
    return drawing


def _stalks(drawing: Drawing, colour: Colour, count: int, random: np.random.Generator) -> None:
    rows, columns = drawing.shape[:2]
    x, y = random.uniform(0, columns, count), random.uniform(0, rows, count)
    angle, long = random.uniform(0, np.pi, count), random.uniform(5, 24, count)
    shade = random.uniform(0.6, 1.18, count)[:, None] * np.array(colour)
    ends = np.stack([x, y, x + long * np.cos(angle), y + long * np.sin(angle)], axis=1).astype(int)
    for (x0, y0, x1, y1), stalk in zip(ends.tolist(), np.minimum(shade, 255).tolist(), strict=True):
        cv2.line(drawing, (x0, y0), (x1, y1), stalk, 1, cv2.LINE_AA)


def sand(place: Place, random: np.random.Generator) -> Drawing:
    """Sand with hoof prints, wet in places."""
    rows, columns = int((place.depth + 4) * FINE), int(place.width * FINE)
    colour = tinted(_SANDS[random.integers(len(_SANDS))], random)
    light = 0.95 + 0.06 * noise((rows, columns), 90, random) + 0.05 * noise((rows, columns), 8, random)
    light += 0.04 * noise((rows, columns), 2, random)
    drawing = np.asarray(light[..., None] * np.array(colour), np.float32)
    prints = int(random.uniform(0, 900))
    for x, y in zip(random.uniform(0, columns, prints), random.uniform(0, rows, prints), strict=True):
        cv2.ellipse(drawing, (int(x), int(y)), (4, 3), 0, 0, 360, [0.72 * channel for channel in colour], -1)
    if random.random() < 0.3:
        wet = np.clip(noise((rows, columns), 120, random) - 1.0, 0, 0.5)[..., None]
        drawing = np.asarray(drawing * (1 - wet), np.float32)
    return drawing
