"""What stands still behind the horse: boards, a window, straw."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.sim.horse import Colour

Picture = NDArray[np.uint8]
"""`[height, width, 3]`, blue first."""

BOARD: Colour = (146, 130, 108)
SEAM: Colour = (84, 74, 62)
STRAW: Colour = (206, 178, 112)
SKY: Colour = (196, 214, 226)
POST: Colour = (108, 96, 80)
STEEL: Colour = (120, 126, 130)


def bgr(colour: Colour) -> Colour:
    """OpenCV's order of a colour."""
    return colour[::-1]


def stall(width: int, height: int, seed: int) -> Picture:
    """A box seen from inside: back wall, side walls running towards the camera, deep straw."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.uint8)
    left, right, floor = round(0.12 * width), round(0.88 * width), round(0.62 * height)
    _boards(picture, (0, 0, width, floor), random, upright=True, step=round(width / 26))
    _window(picture, (round(0.60 * width), round(0.09 * height), round(0.76 * width), round(0.30 * height)))
    _straw(picture, floor, random)
    _side_wall(picture, [(0, 0), (left, 0), (left, floor), (0, round(0.80 * height))])
    _side_wall(picture, [(width, 0), (right, 0), (right, floor), (width, round(0.80 * height))])
    _manger(picture, (right - round(0.10 * width), round(0.44 * height)), round(0.045 * width))
    return _lit(picture, centre=(0.55, 0.45))


def paddock(width: int, height: int, seed: int) -> Picture:
    """A long run-in barn: boarded wall with windows, posts and rails, trampled straw."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.uint8)
    floor = round(0.60 * height)
    _boards(picture, (0, 0, width, floor), random, upright=False, step=round(height / 14))
    for centre in (0.1625, 0.3875, 0.6125, 0.8375):
        x = round(centre * width)
        _window(picture, (x - width // 16, round(0.10 * height), x + width // 16, round(0.28 * height)))
    for x in np.linspace(0.05, 0.95, 5) * width:
        cv2.rectangle(picture, (int(x) - 8, 0), (int(x) + 8, floor + 10), bgr(POST), -1)
        cv2.line(picture, (int(x) + 8, 0), (int(x) + 8, floor + 10), bgr(SEAM), 2)
    _straw(picture, floor, random)
    return _lit(picture, centre=(0.5, 0.5))


def _boards(
    picture: Picture, area: tuple[int, int, int, int], random: np.random.Generator, *, upright: bool, step: int
) -> None:
    left, top, right, bottom = area
    ends = range(left, right, step) if upright else range(top, bottom, step)
    for start in ends:
        shade = random.normal(0, 7)
        colour = tuple(float(np.clip(channel + shade, 0, 255)) for channel in bgr(BOARD))
        low = (start, top) if upright else (left, start)
        high = (start + step, bottom) if upright else (right, min(start + step, bottom))
        cv2.rectangle(picture, low, high, colour, -1)
        _grain(picture, low, high, random, upright=upright)
        seam = (start, bottom) if upright else (right, start)
        cv2.line(picture, low, seam, bgr(SEAM), 2, cv2.LINE_AA)


def _grain(
    picture: Picture, low: tuple[int, int], high: tuple[int, int], random: np.random.Generator, *, upright: bool
) -> None:
    for _ in range(14):
        x, y = int(random.integers(low[0], high[0])), int(random.integers(low[1], high[1]))
        length = int(random.integers(30, 160))
        end = (x, min(y + length, high[1])) if upright else (min(x + length, high[0]), y)
        dark = float(random.uniform(0.86, 0.97))
        colour = tuple(dark * channel for channel in bgr(BOARD))
        cv2.line(picture, (x, y), end, colour, 1, cv2.LINE_AA)


def _window(picture: Picture, area: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = area
    cv2.rectangle(picture, (left - 6, top - 6), (right + 6, bottom + 6), bgr(POST), -1)
    cv2.rectangle(picture, (left, top), (right, bottom), bgr(SKY), -1)
    for x in np.linspace(left, right, 7)[1:-1]:
        cv2.line(picture, (int(x), top), (int(x), bottom), bgr(STEEL), 3, cv2.LINE_AA)


def _side_wall(picture: Picture, corners: list[tuple[int, int]]) -> None:
    outline = np.array(corners, np.int32)
    cv2.fillPoly(picture, [outline], bgr((118, 104, 86)), cv2.LINE_AA)
    (outer, _), (inner, _), (_, floor), (_, outer_floor) = corners
    for share in np.linspace(0, 1, 10):
        cv2.line(picture, (outer, int(share * outer_floor)), (inner, int(share * floor)), bgr(SEAM), 2, cv2.LINE_AA)
    cv2.line(picture, (inner, 0), (inner, floor), bgr(SEAM), 3, cv2.LINE_AA)


def _manger(picture: Picture, corner: tuple[int, int], size: int) -> None:
    x, y = corner
    bowl = np.array([(x, y), (x + 2 * size, y), (x + 2 * size, y + size), (x + size // 2, y + size)], np.int32)
    cv2.fillPoly(picture, [bowl], bgr(STEEL), cv2.LINE_AA)
    cv2.ellipse(picture, (x + size, y), (size, size // 5), 0, 0, 360, bgr((70, 72, 74)), -1, cv2.LINE_AA)


def _straw(picture: Picture, floor: int, random: np.random.Generator) -> None:
    """Stalks that grow towards the camera, the far ones first."""
    height, width = picture.shape[:2]
    cv2.rectangle(picture, (0, floor), (width, height), bgr((176, 148, 88)), -1)
    for nearness in np.sort(random.uniform(0, 1, 3500)):
        y = floor + nearness * (height - floor)
        x, angle = random.uniform(0, width), random.uniform(-0.6, 0.6)
        length = 6 + 26 * nearness
        shade = random.uniform(0.72, 1.12)
        colour = tuple(min(255.0, shade * channel) for channel in bgr(STRAW))
        end = (int(x + length * np.cos(angle)), int(y + 0.5 * length * np.sin(angle)))
        cv2.line(picture, (int(x), int(y)), end, colour, 1 + int(nearness > 0.6), cv2.LINE_AA)


def _lit(picture: Picture, centre: tuple[float, float]) -> Picture:
    """Darker towards the corners, as a lamp in the middle leaves it."""
    height, width = picture.shape[:2]
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    light = 1.08 - 0.9 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
    return as_picture(picture * light[:, :, None])


def as_picture(values: NDArray[np.floating]) -> Picture:
    """The values as pixels, cut off at black and white."""
    return np.asarray(np.clip(values, 0, 255), np.uint8)
