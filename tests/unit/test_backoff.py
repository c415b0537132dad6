"""Pauses between connections."""

from hypothesis import given
from hypothesis import strategies as st

from fbtasks.producer.backoff import pause_before

BOUNDS = st.tuples(st.floats(0.05, 60), st.floats(0.1, 3600)).map(sorted)


@given(st.integers(1, 10_000), BOUNDS, st.floats(0, 1))
def test_a_pause_stays_within_its_bounds(failures: int, bounds: list[float], jitter: float) -> None:
    minimum, maximum = bounds
    assert minimum <= pause_before(failures, minimum, maximum, jitter) <= maximum


@given(BOUNDS, st.floats(0, 1))
def test_a_stream_that_was_healthy_is_opened_again_at_once(bounds: list[float], jitter: float) -> None:
    assert pause_before(0, bounds[0], bounds[1], jitter) == 0


def test_pauses_double_up_to_the_longest() -> None:
    assert [pause_before(failures, 0.5, 30, 1.0) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert [pause_before(failures, 0.5, 30, 0.0) for failures in range(1, 8)] == [0.5, 1, 2, 4, 8, 15, 15]
