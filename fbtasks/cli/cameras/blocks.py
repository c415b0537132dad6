"""A picture in a terminal: two pixels in each character, one over the other, in 24-bit colour."""

import numpy as np
from numpy.typing import NDArray

HALF_BLOCK = "▀"
RESET = "\x1b[0m"


def blocks(picture: NDArray[np.uint8], columns: int, lines: int) -> str:
    """The picture as text of at most that many columns and lines, its shape kept; a character is twice as high as wide.

    Args:
        picture: `[height, width, 3]`, blue first.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = min(columns / width, 2 * lines / height)
    size = max(1, int(width * scale)), max(2, int(height * scale) & ~1)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1]
    return "\n".join(
        "".join(map(_cell, upper.tolist(), lower.tolist())) + RESET
        for upper, lower in zip(small[::2], small[1::2], strict=True)
    )


def _cell(upper: list[int], lower: list[int]) -> str:
    """Foreground above, background below."""
    over, under = ";".join(map(str, upper)), ";".join(map(str, lower))
    return f"\x1b[38;2;{over}m\x1b[48;2;{under}m{HALF_BLOCK}"
