"""Average precision as COCO counts it: greedy matching, 101 recall points, boxes that are no one's fault left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import Boxes, Float32s

RECALLS = np.linspace(0, 1, 101)
OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Least overlaps of a match over which the stricter figure is averaged."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was found and what is true of one class in one picture.

    Attributes:
        found: of this class, in any order.
        wanted: float32 `[n, 4]`, true boxes, in pixels of the same picture.
        excused: float32 `[m, 4]`, where it does not matter whether something is found.
    """

    found: Boxes
    wanted: Float32s
    excused: Float32s


def average_precision(sightings: Sequence[Sighting], overlap: float) -> float:
    """Of one class, 0 to 1; nan if no picture has it.

    Args:
        sightings: of all pictures.
        overlap: intersection over union from which a found box is on a true one.
    """
    wanted = sum(len(one.wanted) for one in sightings)
    if not wanted:
        return float("nan")
    judged = [_judged(one, overlap) for one in sightings]
    confidence = np.concatenate([confidence for confidence, _ in judged])
    hit = np.concatenate([hit for _, hit in judged])
    if not len(hit):
        return 0.0
    right = np.cumsum(hit[np.argsort(-confidence, kind="stable")])
    # The best precision at this recall or a higher one, so that the curve only falls.
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    index = np.searchsorted(right / wanted, RECALLS, side="left")
    return float(np.append(precision, 0.0)[index].mean())


def _judged(sighting: Sighting, overlap: float) -> tuple[Float32s, NDArray[np.bool_]]:
    """Confidence of each found box that counts, surest first, and whether it is the first on its best free true box."""
    found = sighting.found[np.argsort(-sighting.found.confidence, kind="stable")]
    free = np.ones(len(sighting.wanted), bool)
    hit = np.zeros(len(found), bool)
    for row, candidates in enumerate(overlaps(found.xyxy, sighting.wanted)):
        still_free = np.where(free, candidates, 0.0)
        if still_free.max(initial=0.0) >= overlap:
            hit[row] = True
            free[still_free.argmax()] = False
    # As COCO judges crowds: what mostly lies in such a box is left out, however small it is in it.
    inside = _shares(found.xyxy, sighting.excused).max(axis=1, initial=0.0) >= overlap
    counts = hit | ~inside
    return found.confidence[counts], hit[counts]


def overlaps(some: Float32s, others: Float32s) -> Float32s:
    """Intersection over union `[n, m]` of boxes `[n, 4]` and `[m, 4]`."""
    shared = _shared(some, others)
    return _ratio(shared, _areas(some)[:, None] + _areas(others)[None] - shared)


def _shares(some: Float32s, others: Float32s) -> Float32s:
    """Which share of each of `some` lies in each of `others`, `[n, m]`."""
    shared = _shared(some, others)
    return _ratio(shared, np.broadcast_to(_areas(some)[:, None], shared.shape))


def _shared(some: Float32s, others: Float32s) -> Float32s:
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    area: Float32s = np.clip(high - low, 0, None).prod(axis=2)
    return area


def _areas(boxes: Float32s) -> Float32s:
    area: Float32s = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return area


def _ratio(part: Float32s, whole: Float32s) -> Float32s:
    ratio: Float32s = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio
