"""Pictures in a terminal."""

import re

import numpy as np

from fbtasks.cli.cameras.blocks import HALF_BLOCK, blocks


def test_each_character_shows_two_pixels_in_their_colours() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0] = (0, 0, 255)  # red, as OpenCV has it
    picture[1, 1] = (255, 0, 0)
    assert blocks(picture, 2, 1) == (
        f"\x1b[38;2;255;0;0m\x1b[48;2;0;0;0m{HALF_BLOCK}\x1b[38;2;0;0;0m\x1b[48;2;0;0;255m{HALF_BLOCK}\x1b[0m"
    )


def test_the_picture_keeps_its_shape_and_fits() -> None:
    for columns, lines in ((120, 30), (40, 30), (300, 10), (1, 1)):
        rows = re.sub(r"\x1b\[[0-9;]*m", "", blocks(np.zeros((540, 960, 3), np.uint8), columns, lines)).split("\n")
        width, height = len(rows[0]), 2 * len(rows)
        assert width <= columns
        assert len(rows) <= lines
        assert columns == 1 or abs(width / height - 960 / 540) < 0.15
