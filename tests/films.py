"""Films that live cameras show in tests. The drawing process imports them from here."""

import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fbtasks.sim.encoder import Picture
from fbtasks.sim.film import Shoot

BITS = 8


def numbered_picture(number: int, size: tuple[int, int]) -> Picture:
    """A picture that bears its number as black and white squares."""
    width, height = size
    picture = np.full((height, width, 3), 90, np.uint8)
    step = width // BITS
    for bit in range(BITS):
        colour = (255, 255, 255) if number >> bit & 1 else (0, 0, 0)
        cv2.rectangle(picture, (bit * step + 4, 8), ((bit + 1) * step - 4, height - 8), colour, -1)
    return picture


def number_in(picture: Picture) -> int:
    """The number that it bears."""
    height, width = picture.shape[:2]
    step = width // BITS
    middles = [picture[height // 2, bit * step + step // 2].mean() for bit in range(BITS)]
    return sum(int(middle > 128) << bit for bit, middle in enumerate(middles))


def noise(number: int, size: tuple[int, int]) -> Picture:
    """A picture that cannot be compressed well."""
    return np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)


@dataclass(frozen=True)
class Numbered:
    """Numbered pictures, round after round.

    Attributes:
        drawing_s: how long each takes.
        noted_in: every picture that is drawn adds a line to this file.
    """

    pictures: int = 30
    fps: float = 20.0
    size: tuple[int, int] = (256, 128)
    drawing_s: float = 0.0
    noted_in: Path | None = None

    @property
    def length_s(self) -> float | None:
        return self.pictures / self.fps

    def opened(self, size: tuple[int, int]) -> Shoot:
        def shoot(number: int) -> Picture:
            if self.noted_in is not None:
                with self.noted_in.open("a") as file:
                    file.write(f"{number}\n")
            time.sleep(self.drawing_s)  # the slow machine that a test asks for; no test waits by it
            return numbered_picture(number, size)

        return shoot
