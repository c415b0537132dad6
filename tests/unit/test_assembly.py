"""The batch in the making, between two real threads."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.gpu.assembly import Assembly, Batch, Pictures, Place
from fbtasks.gpu.batcher import Taken
from tests.unit.test_batcher import NOW, taken
from tests.waiting import wait_until

TIMEOUT_S = 5.0


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def assembly(max_batch: int = 4, max_wait_s: float = 0.0) -> Assembly:
    return Assembly(max_batch, 2, 3, max_wait_s=max_wait_s)


def frame(number: int) -> Taken:
    return taken("a", NOW, number)


def painting(colour: int) -> Callable[[Pictures], None]:
    return lambda picture: picture.fill(colour)


def add(gathering: Assembly, one: Taken, decode: Callable[[Pictures], None]) -> None:
    """As a decoder does."""
    place = gathering.place(one)
    if place is None:
        return
    good = False
    try:
        decode(place.picture)
        good = True
    finally:
        gathering.settle(place, good=good)


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [one.frame.seq for one in batch.frames]


def is_waiting(future: "Future[Any]") -> bool:
    """Whether the call is in progress and stays there for a moment."""
    wait_until(future.running, TIMEOUT_S)
    try:
        future.result(0.1)
    except TimeoutError:
        return True
    return False


def test_frames_come_out_in_order_with_their_pictures() -> None:
    gathering = assembly()
    for number in range(3):
        add(gathering, frame(number), painting(10 + number))
    batch = gathering.take()
    assert numbers(batch) == [0, 1, 2]
    assert batch is not None
    assert batch.pictures.shape == (3, 2, 3, 3)
    assert batch.pictures[:, 0, 0, 0].tolist() == [10, 11, 12]


def test_each_batch_has_the_size_of_its_first_picture() -> None:
    gathering = assembly(max_batch=2)
    for size in ((3, 2), (1, 2), (3, 1), (3, 2)):
        assert gathering.size is None
        for number in range(2):
            add(gathering, taken("a", NOW, number, size), painting(number + 7))
            assert gathering.size == size
        batch = gathering.take()
        assert batch is not None
        assert batch.pictures.shape == (2, size[1], size[0], 3)
        assert batch.pictures[:, 0, 0, 0].tolist() == [7, 8]
        assert (batch.pictures == batch.pictures[:, :1, :1, :1]).all()


def test_whoever_waits_for_another_size_is_told_when_the_open_batch_is_taken(threads: ThreadPoolExecutor) -> None:
    gathering = assembly()
    add(gathering, frame(1), painting(1))
    gathering.await_empty(0.01)
    assert gathering.size == (3, 2), "its patience had ended"
    waiting = threads.submit(gathering.await_empty, TIMEOUT_S)
    assert is_waiting(waiting)
    gathering.take()
    waiting.result(TIMEOUT_S)
    assert gathering.size is None


def test_pictures_stay_until_they_are_given_back_and_their_memory_is_used_again() -> None:
    gathering = assembly(max_batch=1)

    def next_batch(colour: int) -> Batch:
        add(gathering, frame(colour), painting(colour))
        batch = gathering.take()
        assert batch is not None
        return batch

    held = [next_batch(colour) for colour in range(4)]
    assert [batch.pictures.max() for batch in held] == [0, 1, 2, 3]
    for batch in held:
        gathering.give_back(batch)
    later = []
    for colour in range(4, 30):
        later.append(next_batch(colour))
        assert later[-1].pictures.max() == colour
        gathering.give_back(later[-1])
    # One was open meanwhile.
    assert len({id(batch.buffer) for batch in held + later}) == 5


def test_an_idle_engine_is_served_with_the_first_frame(threads: ThreadPoolExecutor) -> None:
    gathering = assembly()
    asking = threads.submit(gathering.take)
    assert is_waiting(asking)
    add(gathering, frame(1), painting(1))
    assert numbers(asking.result(TIMEOUT_S)) == [1]


def test_an_idle_engine_waits_max_wait_for_more(threads: ThreadPoolExecutor) -> None:
    gathering = assembly(max_wait_s=0.2)
    asking = threads.submit(gathering.take)
    began = monotonic()
    add(gathering, frame(1), painting(1))
    add(gathering, frame(2), painting(2))
    assert numbers(asking.result(TIMEOUT_S)) == [1, 2]
    assert 0.2 <= monotonic() - began < 2.0


def test_a_full_batch_does_not_wait(threads: ThreadPoolExecutor) -> None:
    gathering = assembly(max_batch=2, max_wait_s=60.0)
    asking = threads.submit(gathering.take)
    add(gathering, frame(1), painting(1))
    add(gathering, frame(2), painting(2))
    assert numbers(asking.result(TIMEOUT_S)) == [1, 2]


def test_there_is_room_for_one_batch_and_then_none_until_the_engine_takes_it(threads: ThreadPoolExecutor) -> None:
    gathering = assembly(max_batch=2)
    assert gathering.room(0) == 2
    add(gathering, frame(1), painting(1))
    assert gathering.room(0) == 1
    add(gathering, frame(2), painting(2))
    assert gathering.room(0.01) == 0
    adding = threads.submit(add, gathering, frame(3), painting(3))
    assert is_waiting(adding)
    assert numbers(gathering.take()) == [1, 2]
    adding.result(TIMEOUT_S)
    assert numbers(gathering.take()) == [3]


def test_a_picture_that_cannot_be_decoded_leaves_its_place_free() -> None:
    def fails(picture: Pictures) -> None:
        picture.fill(66)
        raise ValueError("truncated")

    gathering = assembly(max_batch=2)
    add(gathering, frame(1), painting(1))
    with pytest.raises(ValueError, match="truncated"):
        add(gathering, frame(2), fails)
    assert gathering.room(0) == 1
    add(gathering, frame(3), painting(3))
    batch = gathering.take()
    assert numbers(batch) == [1, 3]
    assert batch is not None
    assert batch.pictures[:, 0, 0, 0].tolist() == [1, 3]


def test_a_frame_of_no_use_between_others_leaves_no_gap() -> None:
    gathering = assembly()
    places = [gathering.place(frame(number)) for number in range(4)]
    for number in (3, 1, 0, 2):
        place = places[number]
        assert place is not None
        place.picture.fill(number)
        gathering.settle(place, good=number in {1, 3})
    batch = gathering.take()
    assert numbers(batch) == [1, 3]
    assert batch is not None
    assert batch.pictures[:, 0, 0, 0].tolist() == [1, 3]
    assert gathering.room(0) == 4


def test_a_batch_of_nothing_but_useless_frames_is_none(threads: ThreadPoolExecutor) -> None:
    gathering = assembly(max_batch=2)
    asking = threads.submit(gathering.take)
    for number in range(2):
        place = gathering.place(frame(number))
        assert place is not None
        gathering.settle(place, good=False)
    assert is_waiting(asking)
    add(gathering, frame(3), painting(3))
    assert numbers(asking.result(TIMEOUT_S)) == [3]


def test_an_engine_that_asks_waits_for_the_first_frame_not_for_all_that_follow(threads: ThreadPoolExecutor) -> None:
    gathering = assembly()
    asking = threads.submit(gathering.take)
    assert is_waiting(asking)
    first = gathering.place(frame(1))
    assert first is not None
    following = threads.submit(gathering.place, frame(2))
    assert is_waiting(following)
    gathering.settle(first, good=True)
    assert numbers(asking.result(TIMEOUT_S)) == [1]
    assert following.result(TIMEOUT_S) is not None


def test_the_engine_gets_no_picture_that_is_still_being_decoded(threads: ThreadPoolExecutor) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(picture: Pictures) -> None:
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        picture.fill(7)

    gathering = assembly()
    adding = threads.submit(add, gathering, frame(1), slow)
    assert begun.wait(TIMEOUT_S)
    asking = threads.submit(gathering.take)
    assert is_waiting(asking)
    go_on.set()
    adding.result(TIMEOUT_S)
    batch = asking.result(TIMEOUT_S)
    assert batch is not None
    assert batch.pictures.max() == batch.pictures.min() == 7


def test_closing_hands_out_what_is_left_and_then_nothing() -> None:
    gathering = assembly(max_wait_s=60.0)
    add(gathering, frame(1), painting(1))
    gathering.close()
    assert numbers(gathering.take()) == [1]
    assert gathering.take() is None
    assert gathering.take() is None


def test_closing_wakes_an_engine_that_waits(threads: ThreadPoolExecutor) -> None:
    gathering = assembly()
    asking = threads.submit(gathering.take)
    assert is_waiting(asking)
    gathering.close()
    assert asking.result(TIMEOUT_S) is None


def test_closing_frees_a_decoder_that_waits_for_room(threads: ThreadPoolExecutor) -> None:
    gathering = assembly(max_batch=1)
    add(gathering, frame(1), painting(1))
    adding = threads.submit(add, gathering, frame(2), painting(2))
    assert is_waiting(adding)
    gathering.close()
    adding.result(TIMEOUT_S)
    assert numbers(gathering.take()) == [1]
    assert gathering.take() is None


@pytest.mark.parametrize("max_batch", [1, 3, 8])
@pytest.mark.parametrize("max_wait_s", [0.0, 0.002])
def test_under_load_nothing_is_lost_mixed_up_or_overwritten(
    threads: ThreadPoolExecutor, max_batch: int, max_wait_s: float
) -> None:
    """Three decoders, which find some frames useless; a picture keeps its colour until it is given back."""
    gathering = assembly(max_batch, max_wait_s)
    total = 500

    def decode_all() -> None:
        with ThreadPoolExecutor(3) as decoders:
            for number in range(total):
                assert gathering.room(TIMEOUT_S) > 0
                place = gathering.place(frame(number))
                assert place is not None
                decoders.submit(decode, place)
        gathering.close()

    def decode(place: Place) -> None:
        place.picture.fill(place.taken.frame.seq % 251)
        gathering.settle(place, good=place.taken.frame.seq % 7 != 0)

    decoding = threads.submit(decode_all)
    seen: list[int] = []
    handed: queue.SimpleQueue[int] = queue.SimpleQueue()
    while (batch := gathering.take()) is not None:
        frames, pictures, _ = batch
        handed.put(len(frames))
        before = pictures.copy()
        expected = np.array([one.frame.seq % 251 for one in frames])
        assert 1 <= len(frames) <= max_batch
        assert (pictures == expected[:, None, None, None]).all()
        np.testing.assert_array_equal(pictures, before)
        seen += [one.frame.seq for one in frames]
        gathering.give_back(batch)
    decoding.result(TIMEOUT_S)
    assert seen == [number for number in range(total) if number % 7 != 0]
    assert handed.qsize() >= len(seen) / max_batch


@settings(max_examples=40, deadline=None)  # it waits for real threads and by the real clock
@given(
    max_batch=st.integers(1, 6),
    max_wait_s=st.sampled_from([0.0, 0.001, 0.005, 0.02]),
    gaps_s=st.lists(st.sampled_from([0.0, 0.0005, 0.003, 0.008]), min_size=1, max_size=20),
)
def test_an_idle_engine_waits_for_max_wait_and_no_longer(
    max_batch: int, max_wait_s: float, gaps_s: list[float]
) -> None:
    """Whatever comes when: no batch is too large, none is handed out before its time, and none much after it.

    Much is a second: what the machine may do to a thread. A batch that waited for frames that never come takes longer.
    """
    gathering = assembly(max_batch, max_wait_s)
    placed_at: list[float] = []
    pause = threading.Event()

    def frames_come() -> None:
        for number, gap_s in enumerate(gaps_s):
            pause.wait(gap_s)
            assert gathering.room(TIMEOUT_S) > 0
            placed_at.append(monotonic())
            add(gathering, frame(number), painting(number))

    with ThreadPoolExecutor(1) as threads:
        coming = threads.submit(frames_come)
        seen: list[int] = []
        while len(seen) < len(gaps_s):
            asked_at = monotonic()
            batch = numbers(gathering.take())
            taken_at = monotonic()
            assert len(batch) <= max_batch
            waited_s = taken_at - placed_at[batch[0]]
            assert len(batch) == max_batch or waited_s >= max_wait_s
            assert taken_at - max(asked_at, placed_at[batch[0]]) < max_wait_s + 1.0
            seen += batch
        coming.result(TIMEOUT_S)
    assert seen == list(range(len(gaps_s)))
