"""Results of the GPU worker and beat's silences, made by hand."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fbtasks.wire import Result, Silence

NAMES = {0: "person", 16: "dog", 17: "horse", 80: "horse_lying", 81: "horse_standing"}
NUMBERS = {name: number for number, name in NAMES.items()}
START = 1_700_000_000.0


class Seen(NamedTuple):
    """One box: left, top, right, bottom in source pixels."""

    xyxy: tuple[float, float, float, float]
    name: str = "horse"
    confidence: float = 0.8


def standing(x: float = 400.0, y: float = 300.0, confidence: float = 0.8) -> Seen:
    """A horse as wide as high, with its left top corner at `x`, `y`."""
    return Seen((x, y, x + 300.0, y + 300.0), "horse", confidence)


def lying(x: float = 400.0, y: float = 400.0, confidence: float = 0.8) -> Seen:
    """A horse two and a half times as wide as high, with its left top corner at `x`, `y`."""
    return Seen((x, y, x + 400.0, y + 160.0), "horse", confidence)


def result(at: float, boxes: Sequence[Seen], *, seq: int = 0, camera_id: str = "box-3") -> Result:
    """What a 1280 x 720 camera's picture taken `at` seconds after `START` holds."""
    return Result(
        camera_id=camera_id,
        seq=seq,
        captured_at=START + at,
        sent_at=START + at,
        taken_at=START + at,
        inferred_at=START + at,
        width=1280,
        height=720,
        model_id="by hand",
        xyxy=np.array([box.xyxy for box in boxes], "<f4").tobytes(),
        confidence=np.array([box.confidence for box in boxes], "<f4").tobytes(),
        class_id=np.array([NUMBERS[box.name] for box in boxes], "<i4").tobytes(),
        names={NUMBERS[box.name]: box.name for box in boxes},
    )


def silence(at: float, last: float | None, *, camera_id: str = "box-3", reason: str = "") -> Silence:
    """That nothing came since the picture taken `last` seconds after `START`, told `at` seconds after it."""
    last_captured_at = START + last if last is not None else None
    return Silence(camera_id=camera_id, at=START + at, last_captured_at=last_captured_at, reason=reason)
