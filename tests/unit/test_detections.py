"""What is left of a batch for one picture."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fbtasks.detections import BatchCandidates

NUMBERS = st.sampled_from([0.0, 0.1, 0.3, 0.9, float("nan"), float("inf"), -float("inf")])


@given(
    arrays(np.float32, (2, 5, 4), elements=NUMBERS.map(np.float32)),
    arrays(np.float32, (2, 5), elements=NUMBERS.map(np.float32)),
)
def test_candidates_of_a_picture_are_those_that_are_sure_and_finite(
    xyxy: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
    confidence: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> None:
    class_id = np.arange(10, dtype=np.int32).reshape(2, 5)
    boxes = BatchCandidates(xyxy, confidence, class_id).of(1, 0.3)
    kept = [row for row in range(5) if confidence[1, row] >= np.float32(0.3) and np.isfinite(xyxy[1, row]).all()]
    assert boxes.class_id.tolist() == [5 + row for row in kept]
    np.testing.assert_array_equal(boxes.xyxy, xyxy[1, kept])
    np.testing.assert_array_equal(boxes.confidence, confidence[1, kept])
