import pytest

from fbtasks.logic.posture import Posture, stated_posture, subject
from fbtasks.logic.tracker import Sighting

POSTURE = Posture(lying_aspect=1.7, softness=0.15)


def box(left: float, top: float, width: float, height: float, name: str = "horse") -> Sighting:
    return Sighting((left, top, left + width, top + height), 0.8, "animal", name)


def p_lying(sighting: Sighting, *others: Sighting) -> float | None:
    return POSTURE.of(sighting, [sighting, *others], (1280, 720)).p_lying


def test_shape_decides_around_the_set_aspect() -> None:
    assert p_lying(box(100, 100, 340, 200)) == pytest.approx(0.5)
    assert p_lying(box(100, 100, 370, 200)) == pytest.approx(0.7311, abs=1e-4)
    assert p_lying(box(100, 100, 310, 200)) == pytest.approx(0.2689, abs=1e-4)
    assert p_lying(box(100, 100, 1000, 10)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "of", "stated"),
    [
        ("horse_lying", "horse", 0.95),
        ("lying horse", "horse", 0.95),
        ("Horse-Standing", "horse", 0.05),
        ("horse", "horse", None),
        ("horse_lying_or_standing", "horse_or", None),
        ("teddy bear", "teddy_bear", None),
    ],
)
def test_a_class_may_state_the_posture(name: str, of: str, stated: float | None) -> None:
    assert subject(name) == of
    assert stated_posture(name) == (pytest.approx(stated) if stated is not None else None)


def test_a_stated_posture_beats_shape_border_and_what_hides_it() -> None:
    assert p_lying(box(0, 0, 300, 300, "horse_lying"), box(0, 100, 300, 400)) == 0.95


def test_a_box_cut_off_below_or_above_may_not_look_lying() -> None:
    assert p_lying(box(100, 520, 500, 200)) is None
    assert p_lying(box(100, 0, 500, 200)) is None
    assert p_lying(box(100, 420, 300, 300)) == pytest.approx(0.0, abs=0.01)


def test_a_box_cut_off_at_a_side_may_not_look_standing() -> None:
    assert p_lying(box(0, 200, 200, 300)) is None
    assert p_lying(box(1080, 200, 200, 300)) is None
    assert p_lying(box(0, 200, 600, 200)) == pytest.approx(1.0, abs=0.01)


def test_a_box_in_a_corner_tells_nothing() -> None:
    assert p_lying(box(0, 520, 500, 200)) is None
    assert p_lying(box(0, 420, 200, 300)) is None


def test_what_stands_in_front_hides_the_shape() -> None:
    rear = box(250, 160, 230, 100)
    assert p_lying(rear) == pytest.approx(0.98, abs=0.01)
    assert p_lying(rear, box(180, 190, 360, 300)) is None


def test_what_stands_behind_or_beside_hides_nothing() -> None:
    front = box(180, 190, 360, 300)
    assert p_lying(front, box(250, 160, 230, 100)) is not None
    assert p_lying(front, box(600, 300, 200, 300)) is not None


def test_a_box_without_area_tells_nothing() -> None:
    glimpse = POSTURE.of(box(100, 100, 50, 0), [], (1280, 720))
    assert glimpse.p_lying is None
    assert "no area" in glimpse.reason
