import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.detections import Boxes, Float32s
from fbtasks.logic.nms import non_max_suppression, surviving


def boxes_of(*rows: tuple[float, float, float, float, float, int]) -> Boxes:
    """Boxes from left, top, right, bottom, confidence, class."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Boxes(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int32))


def overlap(a: Float32s, b: Float32s) -> np.float32:
    """Intersection over union in float32, as the published kernel sums it up."""
    width = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]))
    height = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]))
    shared: np.float32 = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else np.float32(0)


def brute_force(boxes: Boxes, iou: float) -> list[int]:
    """Greedy suppression as its definition reads: indices of the kept boxes, surest first."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -float(boxes.confidence[i])):
        rivals = [k for k in kept if boxes.class_id[k] == boxes.class_id[index]]
        if all(float(overlap(boxes.xyxy[k], boxes.xyxy[index])) <= iou for k in rivals):
            kept.append(index)
    return kept


# Small whole numbers lay many overlaps on the threshold itself, sixteenths of a pixel next to none.
place = st.integers(0, 16 * 60).map(lambda n: n / 16) | st.integers(-6, 6).map(float)
side = st.integers(0, 16 * 40).map(lambda n: n / 16) | st.integers(0, 5).map(float)
box = st.tuples(place, place, side, side, st.integers(0, 20).map(lambda n: n / 20), st.integers(0, 3)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3], b[4], b[5])
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(box, max_size=60),
    st.sampled_from([0.1, 0.25, 0.45, 0.5, 0.6, 2 / 3, 1.0]) | st.floats(0, 1),
)
def test_keeps_what_the_definition_keeps(rows: list[tuple[float, ...]], iou: float) -> None:
    boxes = boxes_of(*rows)  # type: ignore[arg-type]
    kept = non_max_suppression(boxes, iou)
    expected = boxes[np.array(brute_force(boxes, iou), np.intp)]
    np.testing.assert_array_equal(kept.xyxy, expected.xyxy)
    np.testing.assert_array_equal(kept.confidence, expected.confidence)
    np.testing.assert_array_equal(kept.class_id, expected.class_id)


def test_only_boxes_of_one_class_suppress_each_other() -> None:
    boxes = boxes_of((0, 0, 10, 10, 0.9, 17), (0, 0, 10, 10, 0.8, 0), (1, 0, 11, 10, 0.7, 17))
    assert non_max_suppression(boxes, 0.5).class_id.tolist() == [17, 0]
    assert surviving(boxes, 0.5, np.zeros(3, np.int32)).tolist() == [0]


def test_an_overlap_equal_to_the_threshold_keeps_both() -> None:
    boxes = boxes_of((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 5, 0.8, 0))
    assert len(non_max_suppression(boxes, 0.5)) == 2
    assert len(non_max_suppression(boxes, 0.499)) == 1


def test_classes_far_apart_in_number_keep_fractions_of_a_pixel() -> None:
    first, second = (1900.0, 0.0, 1900.5, 0.5), (1900.25, 0.0, 1900.75, 0.5)
    boxes = boxes_of((*first, 0.9, 1_000_000), (*second, 0.8, 1_000_000))
    assert len(non_max_suppression(boxes, 0.4)) == 2
    assert len(non_max_suppression(boxes, 0.3)) == 1


def test_an_overlap_is_a_float32() -> None:
    boxes = boxes_of((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 6, 0.8, 0))
    assert float(np.float32(0.6)) > 0.6
    assert len(non_max_suppression(boxes, 0.6)) == 1
    assert len(non_max_suppression(boxes, float(np.float32(0.6)))) == 2


def test_of_equally_sure_boxes_the_earlier_one_is_kept() -> None:
    boxes = boxes_of(*((float(left), 0, left + 10.0, 10, 0.5, 0) for left in (2, 0, 1)))
    assert non_max_suppression(boxes, 0.5).xyxy[:, 0].tolist() == [2]


def test_boxes_without_area_or_far_apart_are_all_kept() -> None:
    points = [(float(n), 5.0, float(n), 5.0, 0.5, 0) for n in range(3) for _ in range(2)]
    apart = [(100.0 * n, 100.0 * n, 100.0 * n + 1, 100.0 * n + 1, 0.4, 0) for n in range(1, 4)]
    assert len(non_max_suppression(boxes_of(*points, *apart), 0.0)) == 9


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_crowds_of_any_size_are_thinned_out_alike(seed: int, objects: int) -> None:
    chance = np.random.default_rng(seed)
    centres = chance.uniform(0, 600, (objects, 2))[chance.integers(0, objects, 150)] + chance.normal(0, 5, (150, 2))
    xyxy = np.concatenate([centres - 50, centres + 50], axis=1).astype(np.float32)
    boxes = Boxes(xyxy, chance.random(150, np.float32), np.zeros(150, np.int32))
    assert surviving(boxes, 0.45, boxes.class_id).tolist() == brute_force(boxes, 0.45)


def test_nothing_in_nothing_out() -> None:
    assert len(non_max_suppression(Boxes.empty(), 0.5)) == 0
