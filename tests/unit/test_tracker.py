import random

from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.logic.tracker import Kind, Sighting, Tracker, Tracks

TRACKER = Tracker(match_iou=0.2, lost_after_s=3.0, confirm_s=0.5, confidence=0.25)


def box(x: float, y: float = 100.0, confidence: float = 0.8, kind: Kind = "animal", size: float = 200.0) -> Sighting:
    return Sighting((x, y, x + size, y + size), confidence, kind, "horse" if kind == "animal" else "person")


def run(tracks: Tracks, boxes: list[Sighting], at: float) -> list[int]:
    """Ids of the tracks seen at `at`."""
    TRACKER.step(tracks, boxes, at)
    return [track.id for track in tracks.alive if track.last_seen_at == at]


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([2.0, 5.0, 10.0, 25.0]), st.integers(0, 1000))
def test_two_jittering_horses_keep_their_ids(fps: float, seed: int) -> None:
    chance = random.Random(seed)
    tracks = Tracks()
    for index in range(int(10 * fps)):
        boxes = [box(start + chance.uniform(-15, 15), 100 + chance.uniform(-15, 15)) for start in (100.0, 500.0)]
        chance.shuffle(boxes)
        TRACKER.step(tracks, boxes, index / fps)
    assert tracks.next_id == 3
    left, right = sorted(tracks.alive, key=lambda track: track.sighting.xyxy[0])
    assert left.sighting.xyxy[0] < 200 < right.sighting.xyxy[0]


@settings(deadline=None, max_examples=50)
@given(st.floats(0.2, 2.8))
def test_an_id_lives_through_a_short_absence(absence: float) -> None:
    tracks = Tracks()
    for index in range(10):
        run(tracks, [box(100)], index / 5)
    assert run(tracks, [], 2.0) == []
    assert run(tracks, [box(110)], 1.8 + absence) == [1]


def test_a_track_unseen_for_longer_is_ended() -> None:
    tracks = Tracks()
    for index in range(10):
        run(tracks, [box(100)], index / 5)
    assert run(tracks, [box(100)], 1.8 + 3.1) == [2]
    assert [track.id for track in tracks.alive] == [2]


def test_a_walking_horse_is_found_where_it_should_be_after_an_absence() -> None:
    tracks = Tracks()
    for index in range(10):
        run(tracks, [box(100 + 40 * index)], index / 5)
    # At 200 px/s it has moved by a whole box: only the prediction overlaps, and a second box at the old place does not
    # take its id.
    run(tracks, [box(460 + 200), box(440, confidence=0.7)], 1.8 + 1.0)
    places = {track.id: track.sighting.xyxy[0] for track in tracks.alive}
    assert places == {1: 660, 2: 440}


def test_a_running_horse_at_few_pictures_a_second_is_found_by_distance() -> None:
    tracks = Tracks()
    assert run(tracks, [box(100)], 0.0) == [1]
    assert run(tracks, [box(290)], 0.5) == [1]


def test_no_horse_is_found_by_distance_out_of_reach_or_of_another_size() -> None:
    tracks = Tracks()
    run(tracks, [box(100)], 0.0)
    assert run(tracks, [box(420)], 0.5) == [2]
    tracks = Tracks()
    run(tracks, [box(100)], 0.0)
    assert run(tracks, [box(301, size=60)], 0.5) == [2]


def test_a_weak_box_keeps_a_track_but_starts_none() -> None:
    tracks = Tracks()
    assert run(tracks, [box(100, confidence=0.15)], 0.0) == []
    assert run(tracks, [box(100)], 0.2) == [1]
    assert run(tracks, [box(105, confidence=0.15), box(700, confidence=0.15)], 0.4) == [1]
    assert tracks.next_id == 2


def test_a_strong_box_is_matched_before_a_weak_one() -> None:
    tracks = Tracks()
    run(tracks, [box(100)], 0.0)
    run(tracks, [box(100, confidence=0.15), box(150)], 0.2)
    assert [track.sighting.xyxy[0] for track in tracks.alive] == [150]


def test_an_animal_never_becomes_a_person() -> None:
    tracks = Tracks()
    run(tracks, [box(100)], 0.0)
    assert run(tracks, [box(100, kind="person")], 0.2) == [2]
    assert [(track.id, track.kind) for track in tracks.alive] == [(1, "animal"), (2, "person")]


def test_a_track_counts_once_seen_for_long_enough() -> None:
    tracks = Tracks()
    confirmed = []
    for at in (0.0, 0.2, 0.4, 0.6):
        run(tracks, [box(100)], at)
        confirmed.append(tracks.alive[0].confirmed)
    assert confirmed == [False, False, False, True]


def test_a_track_that_does_not_count_yet_ends_soon() -> None:
    tracks = Tracks()
    run(tracks, [box(100)], 0.0)
    run(tracks, [], 0.6)
    assert tracks.alive == []


def test_two_cameras_count_their_ids_apart() -> None:
    first, second = Tracks(), Tracks()
    assert run(first, [box(100), box(500)], 0.0) == [1, 2]
    assert run(second, [box(100)], 0.0) == [1]


def test_a_storm_of_false_boxes_does_not_grow_the_state() -> None:
    tracks = Tracks()
    chance = random.Random(1)
    for index in range(50):
        boxes = [box(chance.uniform(0, 20_000), chance.uniform(0, 20_000), size=20) for _ in range(100)]
        run(tracks, boxes, index / 25)
    assert len(tracks.alive) <= 64
