import random
from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.logic.tracker import Kind, Sighting, Tracker, Tracks

TRACKER = Tracker(lost_after_s=5.0, confirm_s=0.5, confidence=0.25)


def box(x: float, y: float = 100.0, confidence: float = 0.8, kind: Kind = "animal", size: float = 200.0) -> Sighting:
    return Sighting((x, y, x + size, y + size), confidence, kind, "horse" if kind == "animal" else "person")


def run(tracks: Tracks, boxes: list[Sighting], at: float) -> list[int]:
    """Ids of the tracks seen at `at`."""
    TRACKER.step(tracks, boxes, at)
    return [track.id for track in tracks.alive if track.last_seen_at == at]


@settings(deadline=None, max_examples=20)
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
    for index in range(10, 35):
        run(tracks, [], index / 5)
    assert run(tracks, [box(100)], 1.8 + 5.3) == [2]
    assert [track.id for track in tracks.alive] == [2]


@given(st.floats(5.1, 600.0))
def test_a_gap_without_pictures_makes_no_new_animals(gap: float) -> None:
    tracks = Tracks()
    for index in range(10):
        run(tracks, [box(100), box(600)], index / 5)
    before = {track.id: track.sighting.xyxy[0] for track in tracks.alive}
    run(tracks, [box(610), box(90)], 1.8 + gap)
    assert {track.id: round(track.sighting.xyxy[0], -2) for track in tracks.alive} == before


def test_what_is_not_there_after_a_gap_is_given_up_after_watching() -> None:
    tracks = Tracks()
    for index in range(10):
        run(tracks, [box(100)], index / 5)
    assert [run(tracks, [], 60 + index / 5) for index in range(15)] == [[]] * 15
    assert tracks.alive == []


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


def test_an_id_lives_through_three_seconds_behind_a_door_and_a_restart_of_the_worker() -> None:
    tracks = Tracks()
    for index in range(20):
        run(tracks, [box(100), box(600)], index / 5)
    for index in range(20, 36):
        assert run(tracks, [box(600)], index / 5) == [2]
    tracks = msgspec.msgpack.decode(msgspec.msgpack.encode(tracks), type=Tracks)
    assert run(tracks, [box(600), box(130)], 7.2) == [1, 2]


def test_horses_that_cross_keep_their_ids_though_one_hides_the_other() -> None:
    for fps in (2, 5, 10, 25):
        tracks = Tracks()
        for index in range(6 * fps):
            at = index / fps
            front, rear = box(50 + 150 * at, 120), box(900 - 150 * at, 100)
            hidden = abs(front.xyxy[0] - rear.xyxy[0]) < 120
            run(tracks, [front] if hidden else [rear, front], at)
        places = {track.id: track.sighting.xyxy[0] for track in tracks.alive}
        assert places.keys() == {1, 2}, fps
        assert places[1] > 700, fps
        assert places[2] < 200, fps


def test_a_crossing_horse_does_not_take_the_id_of_a_lost_one() -> None:
    tracks = Tracks()
    for index in range(30):
        at = index / 10
        hidden = 1.0 <= at <= 2.5
        run(tracks, [box(0 + 200 * at)] + ([] if hidden else [box(300, 110)]), at)
    places = {track.id: track.sighting.xyxy[0] for track in tracks.alive}
    assert sorted(places.values()) == [300, 580]
    assert places.keys() == {1, 2}
    assert places[1] == 580


def test_a_box_around_two_horses_does_not_make_them_swap() -> None:
    tracks = Tracks()
    front, rear = (174.0, 179.0, 477.0, 522.0), (249.0, 139.0, 610.0, 464.0)
    around = [(199.0, 148.0, 608.0, 483.0), (187.0, 150.0, 600.0, 518.0), (174.0, 155.0, 574.0, 511.0)]
    for index in range(10):
        run(tracks, [seen(front), seen(rear)], index / 5)
    before = {track.id: track.sighting.xyxy for track in tracks.alive}
    for index, corners in enumerate(around, 10):
        assert len(run(tracks, [seen(corners)], index / 5)) == 1
    run(tracks, [seen((163.0, 161.0, 454.0, 516.0)), seen((290.0, 183.0, 558.0, 444.0))], 13 / 5)
    after = {track.id: track.sighting.xyxy for track in tracks.alive}
    assert after.keys() == before.keys()
    assert all((after[number][0] < 200) == (before[number][0] < 200) for number in after)


def test_what_begins_inside_another_box_must_last_longer_to_count() -> None:
    tracks = Tracks()
    counted = []
    for index in range(16):
        part = [box(150, 150, size=90)] if index >= 5 else []
        run(tracks, [box(100), *part], index / 5)
        counted.append(sum(track.confirmed for track in tracks.alive))
    assert counted[5:15] == [1] * 10
    assert counted[15] == 2


def seen(corners: tuple[float, float, float, float]) -> Sighting:
    return Sighting(corners, 0.8, "animal", "horse")


def crowd(seed: int, shift: float = 0.0) -> Iterator[tuple[float, list[Sighting]]]:
    """Ten seconds of three wandering horses and a person, with misses, doubles and weak boxes; times are eighths."""
    chance = random.Random(seed)
    places = [[chance.uniform(0, 800), chance.uniform(0, 300)] for _ in range(4)]
    for index in range(80):
        boxes = []
        for number, place in enumerate(places):
            place[0] += chance.uniform(-30, 30)
            place[1] += chance.uniform(-10, 10)
            kind: Kind = "person" if number == 3 else "animal"
            if chance.random() < 0.85:
                boxes.append(box(place[0], place[1], chance.uniform(0.1, 0.9), kind))
            if chance.random() < 0.2:
                boxes.append(box(place[0] + 60, place[1] + 60, chance.uniform(0.1, 0.6), kind, size=90))
        chance.shuffle(boxes)
        yield shift + index / 8, boxes


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_ids_are_never_used_again_and_no_box_twice(seed: int) -> None:
    tracks, ended, alive_before = Tracks(), set[int](), set[int]()
    for at, boxes in crowd(seed):
        before = tracks.next_id
        TRACKER.step(tracks, boxes, at)
        ids = [track.id for track in tracks.alive]
        taken = [id(track.sighting) for track in tracks.alive if track.last_seen_at == at]
        assert len(ids) == len(set(ids))
        assert len(taken) == len(set(taken)) <= len(boxes)
        assert not ended & set(ids)
        assert all(number in alive_before or number >= before for number in ids)
        ended |= alive_before - set(ids)
        alive_before = set(ids)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False), st.sampled_from([0.0, 1024.0, 2.0**30]))
def test_neither_the_order_of_boxes_nor_the_time_of_day_matters(seed: int, order: random.Random, shift: float) -> None:
    one, other = Tracks(), Tracks()
    for (at, boxes), (later, same) in zip(crowd(seed), crowd(seed, shift), strict=True):
        order.shuffle(same)
        TRACKER.step(one, boxes, at)
        TRACKER.step(other, same, later)
        assert [(t.id, t.sighting, t.motion, t.confirmed) for t in one.alive] == [
            (t.id, t.sighting, t.motion, t.confirmed) for t in other.alive
        ]


@settings(deadline=None, max_examples=20)
@given(st.floats(-120, 120), st.floats(-120, 120), st.floats(60, 200))
def test_smooth_motion_has_the_same_identities_at_any_frame_rate(left: float, right: float, apart: float) -> None:
    for fps in (2, 5, 10, 25):
        tracks = Tracks()
        for index in range(6 * fps):
            at = index / fps
            rear, front = box(400 + left * at, 100), box(400 + right * at, 300 + apart)
            run(tracks, [rear, front], at)
        assert [(track.id, track.sighting.xyxy[1]) for track in tracks.alive] == [(1, 100), (2, 300 + apart)]


def test_a_horse_that_bolts_keeps_its_id_where_it_turns() -> None:
    """Boxes of a simulated horse at 5 pictures a second: it comes from the right, turns at the fence, and goes back."""
    way = [
        (330, 130, 426, 199), (290, 128, 388, 197), (250, 127, 350, 196), (215, 128, 316, 196), (179, 130, 280, 196),
        (144, 134, 248, 200), (108, 137, 217, 204), (73, 141, 186, 209), (46, 149, 160, 219), (42, 157, 136, 236),
        (63, 162, 111, 237), (66, 169, 116, 254), (69, 175, 158, 254), (93, 181, 211, 268), (120, 176, 258, 284),
        (159, 184, 314, 281), (203, 178, 361, 287),
    ]  # fmt: skip
    tracks = Tracks()
    seen = [run(tracks, [Sighting(xyxy, 0.9, "animal", "horse")], index / 5) for index, xyxy in enumerate(way)]
    assert seen == [[1]] * len(way)


def test_a_horse_that_bolts_and_turns_at_two_pictures_a_second_stays_one() -> None:
    """Its own track misses it when it turns, and another begins; neither is ever seen beside the other."""
    tracks = Tracks()
    at = 0.0
    for _ in range(10):
        at += 0.5
        run(tracks, [box(100)], at)
    for x in (700, 150, 720, 120, 700, 160):
        at += 0.5
        run(tracks, [box(x)], at)
    assert [track.id for track in tracks.alive if track.confirmed] == [1]


def test_a_horse_that_comes_while_another_is_hidden_is_another_once_both_are_seen() -> None:
    tracks = Tracks()
    for index in range(20):
        run(tracks, [box(100)], index / 5)
    run(tracks, [box(600)], 4.0)
    run(tracks, [box(100), box(600)], 4.2)
    for index in range(22, 30):
        assert run(tracks, [box(100), box(600)], index / 5) == [1, 2]


def test_who_is_too_far_away_to_have_run_there_is_another() -> None:
    tracks = Tracks()
    for index in range(20):
        run(tracks, [box(100)], index / 5)
    for index in range(20, 28):
        run(tracks, [box(1600)], index / 5)
    assert sorted(track.id for track in tracks.alive) == [1, 2]
