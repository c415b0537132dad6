"""Which frames are analysed under which load."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.gpu.batcher import Batcher, Choice, Taken
from fbtasks.wire import Frame

NOW = 1_700_000_000.0


def taken(camera_id: str, captured_at: float, seq: int = 0, size: tuple[int, int] = (3, 2)) -> Taken:
    frame = Frame(
        camera_id=camera_id,
        seq=seq,
        captured_at=captured_at,
        sent_at=captured_at,
        width=64,
        height=64,
        scale=1.0,
        pad_x=0,
        pad_y=0,
        jpeg=memoryview(b""),
    )
    return Taken(frame, b"", captured_at, size, frame.letterbox)


def cameras(choice: Choice) -> list[str]:
    return [one.frame.camera_id for one in choice.batch]


SIZES = [(640, 640), (640, 384), (640, 480)]
arrivals = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.floats(0, 3)).map(lambda pair: taken(pair[0], NOW - pair[1])),
    max_size=40,
)
mixed = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.floats(0, 3), st.sampled_from(SIZES)).map(
        lambda drawn: taken(drawn[0], NOW - drawn[1], size=drawn[2])
    ),
    max_size=20,
)
rounds = st.lists(st.tuples(arrivals | mixed, st.integers(0, 10), st.floats(0, 0.5)), min_size=1, max_size=8)


@given(rounds)
def test_every_frame_is_chosen_or_waits_or_is_given_up_exactly_once(plan: list[tuple[list[Taken], int, float]]) -> None:
    batcher = Batcher(max_age_s=1.0)
    now, added, chosen, given_up = NOW, 0, [], 0
    for frames, room, pause in plan:
        now += pause
        batcher.add(frames)
        added += len(frames)
        choice = batcher.choose(room, now)
        assert len(choice.batch) <= room
        assert all(now - one.frame.captured_at <= 1.0 for one in choice.batch)
        assert len({one.size for one in choice.batch}) <= 1
        chosen += choice.batch
        given_up += choice.stale + choice.superseded
        assert added == len(chosen) + given_up + len(batcher)
    assert len({id(one) for one in chosen}) == len(chosen)


@given(rounds)
def test_each_camera_keeps_its_order_within_a_batch(plan: list[tuple[list[Taken], int, float]]) -> None:
    batcher = Batcher(max_age_s=10.0)
    for frames, room, _ in plan:
        batcher.add(frames)
        by_camera = defaultdict(list)
        for one in batcher.choose(room, NOW).batch:
            by_camera[one.frame.camera_id].append(one.frame.captured_at)
        assert all(times == sorted(times) for times in by_camera.values())


@given(arrivals, st.integers(1, 10))
def test_the_newest_of_each_camera_goes_before_the_second_newest_of_any(frames: list[Taken], room: int) -> None:
    batcher = Batcher(max_age_s=10.0)
    batcher.add(frames)
    batch = batcher.choose(room, NOW).batch
    counts = Counter(one.frame.camera_id for one in batch)
    waiting = {one.frame.camera_id for one in frames} - counts.keys()
    assert not waiting or max(counts.values()) == 1
    for camera_id, count in counts.items():
        newest = sorted((one.frame.captured_at for one in frames if one.frame.camera_id == camera_id), reverse=True)
        assert (
            sorted((one.frame.captured_at for one in batch if one.frame.camera_id == camera_id), reverse=True)
            == (newest[:count])
        )


@given(rounds)
def test_a_camera_s_frames_are_chosen_in_order_of_capture_whatever_their_sizes(
    plan: list[tuple[list[Taken], int, float]],
) -> None:
    """What waits for its size to have its turn is still newer than what was chosen before; one list for each round."""
    for frames, room, _ in plan:
        batcher = Batcher(max_age_s=10.0)
        batcher.add(frames)
        seen: dict[str, float] = {}
        while room and len(batcher):
            for one in batcher.choose(room, NOW).batch:
                assert seen.get(one.frame.camera_id, 0.0) <= one.frame.captured_at
                seen[one.frame.camera_id] = one.frame.captured_at


@given(mixed, st.integers(1, 10), st.sampled_from(SIZES))
def test_frames_that_join_others_are_of_their_size(frames: list[Taken], room: int, size: tuple[int, int]) -> None:
    batcher = Batcher(max_age_s=10.0)
    batcher.add(frames)
    batch = batcher.choose(room, NOW, size).batch
    assert all(one.size == size for one in batch)
    assert bool(batch) == any(one.size == size for one in frames)


@pytest.mark.parametrize(("room", "cameras"), [(1, (3, 3, 1)), (2, (9, 1, 1)), (8, (20, 5, 1))])
def test_no_size_starves_another(room: int, cameras: tuple[int, int, int]) -> None:
    """Every camera sends a frame in every round, and one batch is run; no wait is longer than all batches together."""
    batcher = Batcher(max_age_s=1.0)
    sizes = {f"{number}-{size}": size for size, count in zip(SIZES, cameras, strict=True) for number in range(count)}
    last_served = dict.fromkeys(sizes, 0)
    longest_wait: Counter[str] = Counter()
    for number in range(400):
        now = NOW + number * 0.2
        batcher.add([taken(name, now, size=size) for name, size in sizes.items()])
        batch = batcher.choose(room, now).batch
        assert batch
        for name in (one.frame.camera_id for one in batch):
            longest_wait[name] = max(longest_wait[name], number - last_served[name])
            last_served[name] = number
    assert set(longest_wait) == set(sizes)
    # Each batch begins with the camera that waited longest, so at worst every camera begins one.
    assert max(longest_wait.values()) <= sum(-(-count // room) for count in cameras) + len(cameras), longest_wait


def test_while_everything_fits_everything_is_analysed() -> None:
    batcher = Batcher(max_age_s=1.0)
    batcher.add([taken("a", NOW - 0.3, 1), taken("b", NOW - 0.2, 1), taken("a", NOW - 0.1, 2)])
    choice = batcher.choose(8, NOW)
    assert [(one.frame.camera_id, one.frame.seq) for one in choice.batch] == [("a", 1), ("b", 1), ("a", 2)]
    assert (choice.stale, choice.superseded, len(batcher)) == (0, 0, 0)


def test_a_frame_of_exactly_the_age_limit_still_counts() -> None:
    batcher = Batcher(max_age_s=1.0)
    batcher.add([taken("a", NOW - 1.0), taken("b", NOW - 1.001)])
    choice = batcher.choose(8, NOW)
    assert (cameras(choice), choice.stale) == (["a"], 1)


def test_without_room_nothing_is_lost() -> None:
    batcher = Batcher(max_age_s=1.0)
    batcher.add([taken("a", NOW), taken("a", NOW - 0.1)])
    assert batcher.choose(0, NOW) == Choice([], 0, 0)
    assert len(batcher) == 2


@pytest.mark.parametrize(("room", "slow"), [(1, 3), (2, 7), (8, 20)])
def test_a_fast_camera_starves_no_slow_one(room: int, slow: int) -> None:
    """In every round one camera sends ten frames and each of the others one, far more than there is room for."""
    batcher = Batcher(max_age_s=1.0)
    names = [f"slow-{number}" for number in range(slow)]
    served: Counter[str] = Counter()
    last_served = dict.fromkeys([*names, "fast"], 0)
    longest_wait: Counter[str] = Counter()
    for number in range(300):
        now = NOW + number * 0.2
        batcher.add([taken("fast", now - 0.01 * step) for step in range(10)])
        batcher.add([taken(name, now) for name in names])
        batch = cameras(batcher.choose(room, now))
        served.update(batch)
        for name in set(batch):
            longest_wait[name] = max(longest_wait[name], number - last_served[name])
            last_served[name] = number
    fair = 300 * room / (slow + 1)
    assert all(abs(count - fair) <= 1 + fair * 0.02 for count in served.values()), served
    assert max(longest_wait.values()) <= -(-(slow + 1) // room), longest_wait


def test_the_memory_of_served_cameras_is_bounded() -> None:
    batcher = Batcher(max_age_s=1.0)
    for number in range(5000):
        now = NOW + number
        batcher.add([taken(f"camera-{number}", now)])
        batcher.choose(8, now)
    assert len(batcher._served_at) <= 130
