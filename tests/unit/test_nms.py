import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.detections import Boxes
from fbtasks.logic.nms import non_max_suppression


def boxes_of(*rows: tuple[float, float, float, float, float, int]) -> Boxes:
    """Boxes from left, top, right, bottom, confidence, class."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Boxes(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int32))


def overlap(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def brute_force(boxes: Boxes, iou: float, class_agnostic: bool) -> list[int]:
    """Greedy suppression as its definition reads: indices of the kept boxes, surest first."""
    xyxy, classes = boxes.xyxy.astype(np.float64).tolist(), boxes.class_id.tolist()
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -float(boxes.confidence[i])):
        rivals = [k for k in kept if class_agnostic or classes[k] == classes[index]]
        if all(overlap(xyxy[k], xyxy[index]) <= iou for k in rivals):
            kept.append(index)
    return kept


# Sixteenths of a pixel and an IoU that is no fraction of small numbers: no overlap lies on the threshold.
place = st.integers(0, 16 * 60).map(lambda n: n / 16)
side = st.integers(0, 16 * 40).map(lambda n: n / 16)
box = st.tuples(place, place, side, side, st.integers(0, 20).map(lambda n: n / 20), st.integers(0, 3)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3], b[4], b[5])
)


@settings(deadline=None, max_examples=50)
@given(st.lists(box, max_size=40), st.sampled_from([0.1234567, 0.4512345, 0.7098765]), st.booleans())
def test_keeps_what_the_definition_keeps(rows: list[tuple[float, ...]], iou: float, agnostic: bool) -> None:
    boxes = boxes_of(*rows)  # type: ignore[arg-type]
    kept = non_max_suppression(boxes, iou, class_agnostic=agnostic)
    expected = boxes[np.array(brute_force(boxes, iou, agnostic), np.intp)]
    np.testing.assert_array_equal(kept.xyxy, expected.xyxy)
    np.testing.assert_array_equal(kept.confidence, expected.confidence)
    np.testing.assert_array_equal(kept.class_id, expected.class_id)


def test_only_boxes_of_one_class_suppress_each_other() -> None:
    boxes = boxes_of((0, 0, 10, 10, 0.9, 17), (0, 0, 10, 10, 0.8, 0), (1, 0, 11, 10, 0.7, 17))
    assert non_max_suppression(boxes, 0.5).class_id.tolist() == [17, 0]
    assert non_max_suppression(boxes, 0.5, class_agnostic=True).class_id.tolist() == [17]


def test_an_overlap_equal_to_the_threshold_keeps_both() -> None:
    boxes = boxes_of((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 5, 0.8, 0))
    assert len(non_max_suppression(boxes, 0.5)) == 2
    assert len(non_max_suppression(boxes, 0.499)) == 1


def test_classes_far_apart_in_number_keep_fractions_of_a_pixel() -> None:
    first, second = (1900.0, 0.0, 1900.5, 0.5), (1900.25, 0.0, 1900.75, 0.5)
    boxes = boxes_of((*first, 0.9, 1_000_000), (*second, 0.8, 1_000_000))
    assert len(non_max_suppression(boxes, 0.4)) == 2
    assert len(non_max_suppression(boxes, 0.3)) == 1


def test_nothing_in_nothing_out() -> None:
    assert len(non_max_suppression(Boxes.empty(), 0.5)) == 0
