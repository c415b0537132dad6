"""Non-maximum suppression against OpenCV and, where they are installed, torchvision: the same boxes, and the time.

    python -m benchmarks.suppression [--cases 10000]

First `--cases` random pictures, half of them with boxes on small whole numbers, which lay many overlaps on the
threshold, and confidences in tenths: how often the others keep what ours keeps. Then microseconds for one picture, the
sides in turn, medians over the turns. A build of torchvision belongs to one build of torch; without its compiled kernel
`torchvision.ops` cannot be imported, and it is left out.
"""

import argparse
import os
import platform
from collections.abc import Callable
from statistics import median
from time import perf_counter

import cv2
import numpy as np

from fbtasks.detections import Boxes
from fbtasks.logic.nms import Indices, surviving

IOU = 0.45
TURNS, REPEATS = 15, 50
THRESHOLDS = (0.1, 0.3, 0.45, 0.5, 0.6, 0.7, 0.9)

Suppression = Callable[[Boxes, float], Indices]


def main() -> None:
    """Compare once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    agnostic, aware = _sides()
    print(f"\npictures of {options.cases} in which another set of boxes is kept than by fbtasks")
    for title, sides in (("one group", agnostic), ("by class", aware)):
        for name, count in _differing(sides, options.cases, options.seed).items():
            print(f"  {title:10s} {name:34s} {count}")
    print("\nmicroseconds for one picture, median and best of the turns")
    for count, objects in ((18, 3), (100, 10), (300, 20), (300, 100)):
        boxes = _crowd(count, objects)
        print(f"  {count} boxes, {len(surviving(boxes, IOU, boxes.class_id))} kept")
        for title, sides in (("one group", agnostic), ("by class", aware)):
            for name, times in _times(sides, boxes).items():
                print(f"    {title:10s} {name:34s} {median(times):7.1f} {min(times):7.1f}")


def _sides() -> tuple[dict[str, Suppression], dict[str, Suppression]]:
    """What to compare, ours first: without and with classes."""
    agnostic: dict[str, Suppression] = {
        "fbtasks": lambda boxes, iou: surviving(boxes, iou, None),
        "cv2.dnn.NMSBoxes": _opencv,
    }
    aware: dict[str, Suppression] = {
        "fbtasks": lambda boxes, iou: surviving(boxes, iou, boxes.class_id),
        "cv2.dnn.NMSBoxesBatched": _opencv_batched,
    }
    try:
        import torch  # noqa: PLC0415 - not everybody has them
        from torchvision.ops import batched_nms, nms  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:
        print(f"torchvision is left out: {error}")
        return agnostic, aware
    torch.set_num_threads(1)
    tensor = torch.from_numpy
    agnostic["torchvision.ops.nms"] = lambda boxes, iou: nms(tensor(boxes.xyxy), tensor(boxes.confidence), iou).numpy()
    aware["torchvision.ops.batched_nms"] = lambda boxes, iou: batched_nms(
        tensor(boxes.xyxy), tensor(boxes.confidence), tensor(boxes.class_id), iou
    ).numpy()
    return agnostic, aware


def _opencv(boxes: Boxes, iou: float) -> Indices:
    return np.asarray(cv2.dnn.NMSBoxes(_corner_and_size(boxes), boxes.confidence, 0.0, iou), np.intp)


def _opencv_batched(boxes: Boxes, iou: float) -> Indices:
    kept = cv2.dnn.NMSBoxesBatched(_corner_and_size(boxes), boxes.confidence, boxes.class_id, 0.0, iou)
    return np.asarray(kept, np.intp)


def _corner_and_size(boxes: Boxes) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.concatenate([boxes.xyxy[:, :2], boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]], axis=1).astype(np.float64)


def _differing(sides: dict[str, Suppression], cases: int, seed: int) -> dict[str, int]:
    """Pictures for which each of the others keeps another set of boxes than the first."""
    chance = np.random.default_rng(seed)
    (_, ours), *others = sides.items()
    counts = {name: 0 for name, _ in others}
    for case in range(cases):
        boxes, iou = _random_boxes(chance, whole=case % 2 == 0), float(chance.choice(THRESHOLDS))
        kept = set(ours(boxes, iou).tolist())
        for name, theirs in others:
            counts[name] += kept != set(theirs(boxes, iou).tolist())
    return counts


def _random_boxes(chance: np.random.Generator, whole: bool) -> Boxes:
    """1 to 150 boxes of four classes on whole numbers or on sixteenths of a pixel, which float32 sums up exactly."""
    count = int(chance.integers(1, 150))
    grain, reach, largest = (1, 12, 8) if whole else (16, 16 * 120, 16 * 80)
    corners = chance.integers(0, reach, (count, 2)) / grain
    far_corners = corners + chance.integers(1, largest, (count, 2)) / grain
    confidence = chance.integers(1, 10, count) / 10 if whole else chance.permutation(np.linspace(0.1, 0.9, count))
    return Boxes(
        np.concatenate([corners, far_corners], axis=1).astype(np.float32),
        confidence.astype(np.float32),
        chance.integers(0, 4, count, np.int32),
    )


def _crowd(count: int, objects: int) -> Boxes:
    """`count` boxes on `objects` objects that stand clear of each other, as a detector gives them."""
    chance = np.random.default_rng(0)
    places = np.stack(np.meshgrid(np.arange(10) * 190.0, np.arange(10) * 105.0), axis=-1).reshape(-1, 2)[:objects]
    centres = places[np.arange(count) % objects] + chance.normal(0, 4, (count, 2))
    halves = np.array([80.0, 45.0]) * chance.uniform(0.9, 1.1, (count, 2))
    xyxy = np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
    confidence = chance.permutation(np.linspace(0.1, 0.95, count)).astype(np.float32)
    return Boxes(xyxy, confidence, np.full(count, 17, np.int32))


def _times(sides: dict[str, Suppression], boxes: Boxes) -> dict[str, list[float]]:
    """Microseconds for one picture in each turn; the sides take turns."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(TURNS):
        for name, side in sides.items():
            began = perf_counter()
            for _ in range(REPEATS):
                side(boxes, IOU)
            times[name].append((perf_counter() - began) / REPEATS * 1e6)
    return times


if __name__ == "__main__":
    main()
