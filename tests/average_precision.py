"""AP50 as COCO counts it: 101 recall points, every class that has a true box, averaged over the classes."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import Boxes, Float32s

IOU = 0.5
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Truth:
    """True boxes of one picture.

    Attributes:
        xyxy: float32 `[n, 4]`, in source pixels.
        class_id: int `[n]`.
    """

    xyxy: Float32s
    class_id: NDArray[np.int64]


def overlaps(some: Float32s, others: Float32s) -> Float32s:
    """Intersection over union `[n, m]` of boxes `[n, 4]` and `[m, 4]`."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (some, others)]
    union: Float32s = areas[0][:, None] + areas[1][None] - shared
    result: Float32s = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result


def ap50(pictures: list[tuple[Boxes, Truth]]) -> float:
    """Mean over the classes of the average precision at IoU 0.5, 0 to 1."""
    hits: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    positives: dict[int, int] = defaultdict(int)
    for found, truth in pictures:
        for class_id in np.union1d(truth.class_id, found.class_id):
            true = truth.xyxy[truth.class_id == class_id]
            positives[int(class_id)] += len(true)
            hits[int(class_id)] += _hits(found[found.class_id == class_id], true)
    return float(np.mean([_average(hits[class_id], count) for class_id, count in positives.items() if count]))


def _hits(found: Boxes, true: Float32s) -> list[tuple[float, bool]]:
    """Confidence of each found box of one class, and whether it is the first on its best still free true box."""
    free = np.ones(len(true), bool)
    table = overlaps(found.xyxy, true)
    result: list[tuple[float, bool]] = []
    for index in np.argsort(-found.confidence, kind="stable"):
        candidates = np.where(free, table[index], 0)
        best = int(candidates.argmax()) if len(true) else -1
        hit = best >= 0 and bool(candidates[best] >= IOU)
        if hit:
            free[best] = False
        result.append((float(found.confidence[index]), hit))
    return result


def _average(hits: list[tuple[float, bool]], positives: int) -> float:
    ordered = sorted(hits, key=lambda hit: -hit[0])
    true = np.cumsum([hit for _, hit in ordered])
    if not len(true):
        return 0.0
    precision = np.maximum.accumulate((true / np.arange(1, len(true) + 1))[::-1])[::-1]
    index = np.searchsorted(true / positives, RECALLS, side="left")
    return float(np.append(precision, 0.0)[index].mean())
