"""Non-maximum suppression: of the boxes that lie on one object, keep the surest."""

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import Boxes, Int32s

Float64s = NDArray[np.float64]
Indices = NDArray[np.intp]


def non_max_suppression(boxes: Boxes, iou: float, *, class_agnostic: bool = False) -> Boxes:
    """The boxes that no surer kept box overlaps by more than `iou`, in falling confidence.

    Args:
        boxes: any number of boxes, in pixels of one picture.
        iou: largest intersection over union of two kept boxes of one class, 0 to 1.
        class_agnostic: boxes of different classes suppress each other too.
    """
    return boxes[surviving(boxes, iou, None if class_agnostic else boxes.class_id)]


def surviving(boxes: Boxes, iou: float, groups: Int32s | None) -> Indices:
    """Indices of the boxes that are kept, in falling confidence; only boxes of one group suppress each other.

    Greedy, as `torchvision.ops.batched_nms`: of equally sure boxes the earlier one goes first, an overlap equal to
    `iou` keeps both, and a box without area suppresses nothing.

    Args:
        boxes: any number of boxes, in pixels of one picture.
        iou: largest intersection over union of two kept boxes of one group, 0 to 1.
        groups: int32 `[n]`, the group of each box; None: one group.
    """
    order = np.argsort(-boxes.confidence, kind="stable")
    corners = boxes.xyxy[order].T.astype(np.float64)
    if groups is not None and len(boxes):
        corners += groups[order] * _reach(boxes)
    return order[_greedy(corners, iou)]


def _reach(boxes: Boxes) -> float:
    """A shift, in pixels, that carries any of the boxes clear of all others.

    Shifting by group number leaves each group a place of its own. The sums are float64: a float32 coordinate moved by
    a large group number would lose its fraction.
    """
    return float(boxes.xyxy.max()) - float(boxes.xyxy.min()) + 1.0


def _greedy(corners: Float64s, iou: float) -> Indices:
    """Indices of the columns of `corners` (`[4, n]`, surest first) that are kept."""
    # With left and top negated, one minimum gives all four sides of an intersection: half the calls, and with a few
    # hundred boxes it is the calls that cost.
    sides = np.concatenate([-corners[:2], corners[2:]])
    extents = sides[:2] + sides[2:]
    areas = extents[0] * extents[1]
    alive = np.ones(len(areas), np.bool_)
    kept: list[int] = []
    first = 0
    while first < len(alive):
        kept.append(first)
        rest = slice(first + 1, None)
        inner = np.minimum(sides[:, rest], sides[:, first, None])
        shared = np.maximum(inner[0] + inner[2], 0.0) * (inner[1] + inner[3])
        alive[rest] &= shared <= iou * (areas[rest] + areas[first] - shared)
        first = _next_alive(alive, first + 1)
    return np.array(kept, np.intp)


def _next_alive(alive: NDArray[np.bool_], start: int) -> int:
    """Index of the first true value from `start` on, or the length if there is none."""
    tail = alive[start:]
    step = int(tail.argmax()) if tail.size else 0
    return start + step if tail.size and tail[step] else len(alive)
