"""The measure itself, on cases small enough to count by hand."""

import numpy as np
import pytest

from fbtasks.detections import Boxes
from tests.average_precision import Truth, ap50
from training.average_precision import Sighting, average_precision

SQUARE, ELSEWHERE = [0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]
HALF_OFF = [0.0, 0.0, 10.0, 4.9]


def found(*rows: tuple[list[float], float, int]) -> Boxes:
    return Boxes(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int32),
    )


def true(*rows: tuple[list[float], int]) -> Truth:
    return Truth(np.array([row[0] for row in rows], np.float32).reshape(-1, 4), np.array([row[1] for row in rows]))


@pytest.mark.parametrize(
    ("boxes", "truth", "expected"),
    [
        (found((SQUARE, 0.9, 0)), true((SQUARE, 0)), 1.0),
        (found(), true((SQUARE, 0)), 0.0),
        (found((HALF_OFF, 0.9, 0)), true((SQUARE, 0)), 0.0),
        (found((SQUARE, 0.9, 1)), true((SQUARE, 0)), 0.0),
        # The true box is found second: precision 1/2 at every recall.
        (found((ELSEWHERE, 0.9, 0), (SQUARE, 0.8, 0)), true((SQUARE, 0)), 0.5),
        # Of two boxes on one true box the second is wrong, but comes after full recall.
        (found((SQUARE, 0.9, 0), (SQUARE, 0.8, 0)), true((SQUARE, 0)), 1.0),
        # One of two found: precision 1 up to recall 0.5, which is 51 of the 101 points.
        (found((SQUARE, 0.9, 0)), true((SQUARE, 0), (ELSEWHERE, 0)), 51 / 101),
        # A class that is found but never true does not count; two true classes are averaged.
        (found((SQUARE, 0.9, 0), (SQUARE, 0.9, 7)), true((SQUARE, 0), (ELSEWHERE, 1)), 0.5),
    ],
)
def test_counted_by_hand(boxes: Boxes, truth: Truth, expected: float) -> None:
    assert ap50([(boxes, truth)]) == pytest.approx(expected)


def test_what_mostly_lies_where_it_does_not_matter_is_left_out() -> None:
    nowhere = np.empty((0, 4), np.float32)
    square = np.array([SQUARE], np.float32)
    inside, wrong = found(([0.0, 0.0, 5.0, 5.0], 0.9, 0)), found((ELSEWHERE, 0.9, 0))
    finds_it = Sighting(found((SQUARE, 0.8, 0)), square, nowhere)
    assert average_precision([Sighting(inside, nowhere, square), finds_it], 0.5) == 1.0
    assert average_precision([Sighting(wrong, nowhere, square), finds_it], 0.5) == pytest.approx(0.5)


def test_pictures_share_one_ranking() -> None:
    first = (found((ELSEWHERE, 0.9, 0)), true())
    second = (found((SQUARE, 0.8, 0)), true((SQUARE, 0)))
    assert ap50([first, second]) == pytest.approx(0.5)
