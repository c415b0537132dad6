"""AP50 as COCO counts it: 101 recall points, every class that has a true box, averaged over the classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import Boxes, Float32s
from training.average_precision import Sighting, average_precision, overlaps

__all__ = ["IOU", "Truth", "ap50", "overlaps"]

IOU = 0.5


@dataclass(frozen=True)
class Truth:
    """True boxes of one picture.

    Attributes:
        xyxy: float32 `[n, 4]`, in source pixels.
        class_id: int `[n]`.
    """

    xyxy: Float32s
    class_id: NDArray[np.int64]


def ap50(pictures: list[tuple[Boxes, Truth]]) -> float:
    """Mean over the classes of the average precision at IoU 0.5, 0 to 1."""
    classes = np.unique(np.concatenate([truth.class_id for _, truth in pictures]))
    return float(np.mean([average_precision(_sightings(pictures, class_id), IOU) for class_id in classes]))


def _sightings(pictures: list[tuple[Boxes, Truth]], class_id: int) -> list[Sighting]:
    return [
        Sighting(
            found[found.class_id == class_id], truth.xyxy[truth.class_id == class_id], np.empty((0, 4), np.float32)
        )
        for found, truth in pictures
    ]
