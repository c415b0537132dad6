"""Smaller batches while memory is short, and the way back."""

from hypothesis import given
from hypothesis import strategies as st

from fbtasks.gpu.batch_limit import PROBE_MAX_S, PROBE_MIN_S, BatchLimit


def test_with_enough_memory_nothing_is_limited() -> None:
    limit = BatchLimit(8)
    assert limit.allowed(0.0) == limit.allowed(1e9) == 8
    assert not limit.worked(8, 0.0)


def test_it_halves_and_comes_back_in_steps() -> None:
    limit = BatchLimit(8)
    limit.failed(8, 100.0)
    assert limit.allowed(100.0) == 4
    limit.failed(4, 100.0)
    assert limit.limit == limit.allowed(100.0 + PROBE_MIN_S - 0.1) == 2
    assert limit.allowed(100.0 + PROBE_MIN_S) == 4
    assert limit.worked(4, 130.0)
    assert limit.allowed(130.0) == 4
    assert limit.worked(8, 160.0)
    assert limit.allowed(160.0) == 8


def test_a_small_batch_proves_nothing_about_a_larger_one() -> None:
    limit = BatchLimit(8)
    limit.failed(8, 0.0)
    assert not limit.worked(3, PROBE_MIN_S)
    assert (limit.limit, limit.allowed(PROBE_MIN_S)) == (4, 8)
    assert limit.worked(6, PROBE_MIN_S)
    assert limit.limit == 6


def test_a_probe_that_fails_doubles_the_pause_up_to_a_bound() -> None:
    limit, now, pauses = BatchLimit(8), 0.0, []
    limit.failed(8, now)
    for _ in range(8):
        began = now
        while limit.allowed(now) == 4:
            now += 1.0
        pauses.append(now - began)
        limit.failed(8, now)
        assert limit.limit == 4
    assert pauses[:3] == [PROBE_MIN_S, 2 * PROBE_MIN_S, 4 * PROBE_MIN_S]
    assert pauses[-1] == PROBE_MAX_S


@given(st.integers(1, 32), st.lists(st.tuples(st.integers(1, 32), st.floats(0, 700)), max_size=50))
def test_it_finds_what_fits_whatever_happens(most: int, story: list[tuple[int, float]]) -> None:
    """`story` is how much fits, and for how long; a run is never larger than `most`, never smaller than one."""
    limit, now = BatchLimit(most), 0.0
    for fits, pause in story:
        size = limit.allowed(now)
        assert 1 <= limit.limit <= size <= most
        while size > fits:
            before = limit.limit
            limit.failed(size, now)
            assert limit.limit < before or size > before
            size = limit.allowed(now)
        limit.worked(size, now)
        assert limit.limit <= fits
        now += pause
