"""Non-maximum suppression: of the boxes that lie on one object, keep the surest."""

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import Boxes, Float32s, Int32s

Indices = NDArray[np.intp]

BLOCK = 16
"""So many of the surest boxes are compared with all others at once. One at a time, the calls cost more than the sums;
all at once, most sums are of boxes that a surer one has put out already. From 12 to 32 there is little between them."""


def non_max_suppression(boxes: Boxes, iou: float) -> Boxes:
    """The boxes that no surer kept box overlaps by more than `iou`, in falling confidence.

    Args:
        boxes: any number of boxes, in pixels of one picture.
        iou: largest intersection over union of two kept boxes of one class, 0 to 1.
    """
    return boxes[surviving(boxes, iou, boxes.class_id)]


def surviving(boxes: Boxes, iou: float, groups: Int32s) -> Indices:
    """Indices of the boxes that are kept, in falling confidence; only boxes of one group suppress each other.

    Greedy, and to the bit what `torchvision.ops.nms` keeps: of equally sure boxes the earlier one goes first, an
    overlap equal to `iou` keeps both, and two boxes without area keep each other. Overlaps are float32: one of exactly
    3/5 is 0.6000000238 there, more than an `iou` of 0.6.

    `torchvision.ops.batched_nms` moves each group to a place of its own instead of comparing groups, which costs it
    fractions of pixels, and mixes groups up where coordinates are negative; elsewhere it keeps the same.

    Args:
        boxes: any number of boxes, in pixels of one picture.
        iou: largest intersection over union of two kept boxes of one group, 0 to 1.
        groups: int32 `[n]`, the group of each box.
    """
    left = (-boxes.confidence).argsort(kind="stable")
    # With left and top negated, one minimum gives all four sides of an intersection. In C order, for speed.
    sides = np.array(boxes.xyxy.take(left, 0).T, np.float32, order="C")
    np.negative(sides[:2], out=sides[:2])
    extents = sides[:2] + sides[2:]
    areas = extents[0] * extents[1]
    groups = groups.take(left)
    kept = [left[:0]]
    while len(left):
        overlaps = _overlaps(sides, areas) > _float32_not_above(iou)
        overlaps &= groups[:BLOCK, None] == groups
        survivors, alive = _greedy(overlaps)
        kept.append(left.take(survivors))
        left, sides, areas, groups = left[alive], sides.compress(alive, 1), areas[alive], groups[alive]
    return np.concatenate(kept)


def _overlaps(sides: Float32s, areas: Float32s) -> Float32s:
    """`[BLOCK, n]` intersections over unions of the first boxes with all; NaN or 0 where neither has an area.

    Args:
        sides: `[4, n]`, left and top negated.
        areas: `[n]`.
    """
    inner = np.minimum(sides[:, :BLOCK, None], sides[:, None, :])
    widths, heights = np.add(inner[:2], inner[2:], out=inner[:2])
    # Apart in one direction only, boxes share a negative area, which is below every threshold as 0 is; apart in both,
    # they would share a positive one.
    shared: Float32s = np.maximum(widths, 0.0, out=widths)
    shared *= heights
    union = areas[:BLOCK, None] + areas
    union -= shared
    with np.errstate(invalid="ignore"):
        shared /= union
    return shared


def _greedy(overlaps: NDArray[np.bool_]) -> tuple[list[int], NDArray[np.bool_]]:
    """Which of the first boxes are kept, and bool `[n]`, which of the others no kept one suppresses.

    Args:
        overlaps: `[b, n]`, whether each of the first boxes, surest first, overlaps each box too much.
    """
    block = len(overlaps)
    suppressed = np.zeros(overlaps.shape[1], np.bool_)
    survivors = []
    for index in range(block):
        if not suppressed[index]:
            survivors.append(index)
            suppressed |= overlaps[index]
    suppressed[:block] = True
    return survivors, ~suppressed


def _float32_not_above(value: float) -> np.float32:
    """The largest float32 that is at most `value`: a float32 is greater than both or than neither."""
    rounded = np.float32(value)
    return rounded if float(rounded) <= value else np.nextafter(rounded, np.float32(-1.0))
