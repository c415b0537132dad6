"""How high an animal is that stands, from the boxes of its walking; and what is made of boxes by it."""

import random

import pytest

from fbtasks.logic.baseline import LEARNED_S, Baseline, p_lying
from fbtasks.logic.motion import Corners
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.posture import Posture
from fbtasks.logic.state import LAST, CameraState
from fbtasks.logic.tracker import Sighting
from fbtasks.settings import LogicSettings, PostureSettings
from tests.results import Seen, result

PICTURE = (1280, 720)
LEARNING = LogicSettings(posture=PostureSettings(baseline=True))


def box(bottom: float, width: float, height: float, left: float = 300.0) -> Corners:
    return left, bottom - height, left + width, bottom


def learned(height: float = 0.5, steps: int = 60, noise: float = 0.02) -> Baseline:
    """Of a horse that is half as high as its box ends below the horizon, which is the picture's upper border."""
    chance = random.Random(4)
    baseline = Baseline()
    for _ in range(steps):
        bottom, width = chance.uniform(300, 600), chance.uniform(150, 300)
        baseline.learn(box(bottom, width, height * bottom * (1 + chance.gauss(0, noise))), PICTURE, 0.5)
    return baseline


def share(baseline: Baseline, xyxy: Corners) -> float:
    told = baseline.share_of_standing(xyxy, PICTURE)
    assert told is not None
    return told


@pytest.mark.parametrize("bottom", [300.0, 450.0, 600.0])
def test_it_knows_how_high_the_animal_would_stand_here(bottom: float) -> None:
    baseline = learned()
    assert baseline.known
    assert share(baseline, box(bottom, 220, 0.5 * bottom)) == pytest.approx(1.0, abs=0.05)
    assert share(baseline, box(bottom, 220, 0.25 * bottom)) == pytest.approx(0.5, abs=0.03)


def test_a_low_box_lies_and_a_high_one_stands() -> None:
    assert p_lying(0.55) > 0.95
    assert p_lying(1.0) < 0.05


def test_it_takes_its_time() -> None:
    assert not learned(steps=int(LEARNED_S / 0.5) - 1).known


def test_two_sizes_under_one_number_make_no_baseline() -> None:
    chance, baseline = random.Random(4), Baseline()
    for number in range(60):
        bottom = chance.uniform(300, 600)
        baseline.learn(box(bottom, 220, (0.5, 0.3)[number % 2] * bottom), PICTURE, 0.5)
    assert not baseline.known


def test_one_place_only_gives_one_height() -> None:
    baseline = Baseline()
    for _ in range(60):
        baseline.learn(box(450, 220, 225), PICTURE, 0.5)
    assert baseline.known
    assert share(baseline, box(600, 400, 225)) == pytest.approx(1.0, abs=0.01)


def test_the_shape_is_judged_by_it_and_the_reason_says_so() -> None:
    posture = Posture(lying_aspect=1.7, softness=0.15)
    # Three times as wide as high, and yet as high as it stands: a pony behind a low wall, or a wide box.
    sighting = Sighting(box(450, 675, 225), 0.9, "animal", "horse")
    assert posture.of(sighting, [], PICTURE).p_lying == pytest.approx(1.0, abs=0.01)
    told = posture.of(sighting, [], PICTURE, learned())
    assert told.p_lying == pytest.approx(0.0, abs=0.05)
    assert "of its standing height" in told.reason


def test_a_box_cut_off_below_may_not_look_lying_by_its_height() -> None:
    baseline = Baseline()
    for _ in range(60):
        baseline.learn((300.0, 400.0, 520.0, 715.0), PICTURE, 0.5)
    sighting = Sighting((300.0, 600.0, 520.0, 720.0), 0.9, "animal", "horse")
    told = Posture(1.7, 0.15).of(sighting, [], PICTURE, baseline)
    assert told.p_lying is None
    assert "cut off" in told.reason


def walk(state: CameraState, seconds: float, *, second: bool = False, logic: LogicSettings = LEARNING) -> None:
    """A horse walks to and fro; with `second`, another one stands far from it."""
    pipeline = Pipeline("box-3", logic, ())
    for step in range(int(5 * seconds)):
        at = step / 5
        x = 200 + 400 * abs((at / 4) % 2 - 1)
        seen = [Seen((x, 300.0, x + 220.0, 520.0))] + [Seen((1000.0, 200.0, 1200.0, 400.0))] * second
        pipeline.step(state, result(at, seen, seq=step))


def test_a_walking_horse_is_learned_and_a_standing_one_is_not() -> None:
    state = CameraState(camera_id="box-3")
    walk(state, 30, second=True)
    known = {track_id: one.known for track_id, one in state.baselines.items()}
    assert list(known.values()) == [True]
    assert CameraState.decode(state.encode()).baselines == state.baselines


def test_nothing_is_learned_or_used_where_it_is_not_asked_for() -> None:
    state = CameraState(camera_id="box-3")
    walk(state, 30)
    pipeline = Pipeline("box-3", LogicSettings(), ())
    _, decision, _ = pipeline.step(state, result(31, [Seen((300.0, 410.0, 520.0, 520.0))]))
    assert decision is not None
    assert "of height" in decision.tracks[0].p_lying_reason
    fresh = CameraState(camera_id="box-3")
    walk(fresh, 30, logic=LogicSettings())
    assert fresh.baselines == {}


def test_the_only_animal_takes_over_the_baseline_of_the_one_that_was_lost() -> None:
    state = CameraState(camera_id="box-3")
    walk(state, 30)
    (first,) = state.baselines
    pipeline = Pipeline("box-3", LEARNING, ())
    for step in range(40):
        pipeline.step(state, result(30 + step / 5, []))
    assert list(state.baselines) == [LAST]
    for step in range(10):
        pipeline.step(state, result(40 + step / 5, [Seen((700.0, 100.0, 1000.0, 300.0))]))
    (heir,) = state.baselines
    assert heir not in (first, LAST)
    assert state.baselines[heir].known


def test_beside_another_animal_it_may_be_either_and_is_given_to_none() -> None:
    state = CameraState(camera_id="box-3")
    walk(state, 30, second=True)
    pipeline = Pipeline("box-3", LEARNING, ())
    other = Seen((1000.0, 200.0, 1200.0, 400.0))
    for step in range(40):
        pipeline.step(state, result(30 + step / 5, [other]))
    assert list(state.baselines) == [LAST]
    for step in range(10):
        pipeline.step(state, result(40 + step / 5, [other, Seen((100.0, 100.0, 400.0, 300.0))]))
    known = [track_id for track_id, one in state.baselines.items() if one.known and track_id != LAST]
    assert known == []
