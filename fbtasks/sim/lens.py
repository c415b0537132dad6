"""What lies between a place and its picture: light, a shaking mount, dirt, a door, the sensor's noise, a cover."""

from functools import lru_cache, partial
from math import cos, log, pi, sin, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.sim.painter import FULL, Grey, Lighting, Picture
from fbtasks.sim.stage import Conditions

MARGIN = 0.05
"""How far the camera can shake at most, as a share of the picture's width."""
INFRARED_NOISE = 1.6
"""A sensor at night is that much noisier."""
_TINTS = {"day": (1.0, 1.0, 1.0), "dusk": (0.46, 0.52, 0.66), "infrared": (1.0, 1.0, 1.0)}
_WORD = (1 << 64) - 1


def lighting(conditions: Conditions, height: int, width: int, lamp: float) -> Lighting:
    """The light of a picture of that size, seen from the camera, whose lamp lights best at `lamp` metres."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    infrared = conditions.light == "infrared"
    level = 0.30 + 0.95 * np.exp(-(x**2 + 0.8 * y**2) / 0.8) if infrared else 1.08 - 0.10 * (x**2 + y**2)
    light = np.clip(FULL * conditions.brightness * level, 0, 255).astype(np.uint8)
    return Lighting(light, _texture(height, width), _TINTS[conditions.light], infrared, lamp if infrared else 0.0)


def shake(conditions: Conditions, moment: int, seed: int, width: int) -> tuple[int, int]:
    """By how many pixels the picture is off at that moment."""
    if not conditions.shake:
        return 0, 0
    first, second = _uniform(moment, seed), _uniform(moment, seed + 1)
    far = min(conditions.shake * sqrt(-2 * log(first)), MARGIN) * width
    return round(far * cos(2 * pi * second)), round(far * sin(2 * pi * second))


def _uniform(moment: int, seed: int) -> float:
    """Above 0 and up to 1: the mixing steps of SplitMix64 (Steele, Lea and Flood, 2014)."""
    value = (moment * 0x9E3779B97F4A7C15 + (seed + 1) * 0xD1B54A32D192ED03) & _WORD
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
    return ((value ^ (value >> 31)) + 1) / (_WORD + 1)


@lru_cache(maxsize=4)
def _texture(height: int, width: int) -> Grey:
    """Unevenness of a coat, around `FULL`."""
    random = np.random.default_rng(0)
    total = np.zeros((height, width), np.float32)
    for size, strength in ((24, 10.0), (7, 7.0), (2, 6.0)):
        small = random.normal(0, strength, (height // size + 2, width // size + 2)).astype(np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(FULL + total, 0, 255), np.uint8)


_SPARE = 64
"""Rows and columns by which the stored noise is larger than the picture, so that every picture gets another piece."""


class Sensor:
    """Noise and dirt of one camera's pictures."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self._size, self._seed = (height, width), seed
        self._dirt = lru_cache(maxsize=4)(partial(_dirt, width, height, seed))

    def soil(self, picture: Picture, dirt: float) -> Picture:
        """The picture through a dirty lens."""
        clear, glow = self._dirt(round(dirt, 2))
        width = 2 * int(dirt * self._size[1] / 90) + 1
        blurred = cv2.blur(picture, (width, width))
        cv2.multiply(blurred, clear, dst=blurred, scale=1 / 255)
        cv2.add(blurred, glow, dst=blurred)
        return np.asarray(blurred, np.uint8)

    def expose(self, picture: Picture, deviation: float, moment: int) -> None:
        """Adds the noise of that moment to the picture."""
        if deviation <= 0:
            return
        height, width = self._size
        row = int(_uniform(moment, self._seed + 2) * _SPARE) % _SPARE
        column = int(_uniform(moment, self._seed + 3) * _SPARE) % _SPARE
        brighter, darker = _noise(width, height, round(deviation, 1))
        there = np.s_[row : row + height, column : column + width]
        cv2.add(picture, brighter[there], dst=picture)
        cv2.subtract(picture, darker[there], dst=picture)


@lru_cache(maxsize=8)
def _noise(width: int, height: int, deviation: float) -> tuple[Picture, Picture]:
    """What noise adds and what it takes; the same for all cameras, each of which takes its own pieces of it."""
    noise = np.round(deviation * _grain(width, height))
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _grain(width: int, height: int) -> NDArray[np.float32]:
    """Noise of deviation 1, mostly alike in all colours, as a camera's own denoising leaves it."""
    random = np.random.default_rng(1)
    shape = (height + _SPARE, width + _SPARE)
    alike = 0.85 * random.standard_normal((*shape, 1), np.float32)
    return np.asarray(alike + 0.53 * random.standard_normal((*shape, 3), np.float32), np.float32)


def _dirt(width: int, height: int, seed: int, dirt: float) -> tuple[Picture, Picture]:
    """What dirt leaves of the picture, of 255, and the grey that it adds."""
    random = np.random.default_rng([seed, 7])
    hidden = np.full((height, width), 0.55 * dirt**1.5)
    for x, y, size in random.uniform((0.0, 0.0, 0.3), 1.0, (40, 3)).tolist():
        radius = int((0.03 + 0.16 * size * dirt) * width)
        blob = np.zeros_like(hidden)
        middle, axes = (int(x * width), int(y * height)), (radius, int(0.8 * radius))
        cv2.ellipse(blob, middle, axes, 180 * size, 0, 360, 0.75 * dirt * size, -1)
        hidden = 1 - (1 - hidden) * (1 - blob)
    blur = 2 * (width // 40) + 1
    hidden = np.clip(cv2.GaussianBlur(hidden, (blur, blur), 0), 0, 0.97)[:, :, None]
    clear = np.repeat(255 * (1 - hidden), 3, axis=2)
    return clear.astype(np.uint8), np.asarray(hidden * np.array([88.0, 98.0, 104.0]), np.uint8)


def door_leaf(width: int, height: int, seed: int, *, grey: bool) -> Picture:
    """An open door close to the camera, out of focus, `[height, width, 3]`."""
    random = np.random.default_rng([seed, 11])
    leaf = np.asarray(cv2.resize(random.uniform(0.55, 0.8, (1, 6)), (width, height)), np.float64)
    leaf[:, : max(1, width // 60)] *= 0.45
    colour = random.uniform(60, 130) * np.array([0.9, 0.9, 0.9] if grey else [0.75, 0.9, 1.0])
    return np.asarray(np.clip(leaf[:, :, None] * colour, 0, 255), np.uint8)
