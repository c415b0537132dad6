"""Back-pressure in simulated time: it converges, is fair, keeps the least rate, and does not swing."""

from itertools import pairwise
from statistics import mean, pstdev

from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.producer.back_pressure import LEAST_SHARE, BackPressure, room_for
from tests.overload import Producer, Worker, rate, simulate

SETTLED_S, END_S = 60, 140
STRETCH_S = 2


def sent(producers: list[Producer], begin: float, end: float) -> float:
    return sum(rate(times, begin, end) for producer in producers for times in producer.sent)


@settings(max_examples=12)
@given(
    cameras=st.lists(st.integers(3, 6), min_size=2, max_size=3),
    shares=st.tuples(*[st.floats(LEAST_SHARE, 1.0)] * 3),
    load=st.floats(0.4, 0.9),
    batch=st.sampled_from([4, 8]),
    plain=st.booleans(),
)
def test_under_overload_it_converges_fairly_and_does_not_swing(
    cameras: list[int], shares: tuple[float, ...], load: float, batch: int, plain: bool
) -> None:
    producers = [Producer([5.0] * count, share=share) for count, share in zip(cameras, shares, strict=False)]
    capacity = load * 5.0 * sum(cameras)
    simulate(producers, Worker(lambda _: capacity, batch, plain=plain), END_S)
    stretches = [sent(producers, begin, begin + STRETCH_S) for begin in range(SETTLED_S, END_S, STRETCH_S)]
    assert 0.75 * capacity <= mean(stretches) <= 1.1 * capacity
    assert pstdev(stretches) <= 0.2 * mean(stretches)
    own = [mean(rate(times, SETTLED_S, END_S) for times in producer.sent) for producer in producers]
    assert min(own) >= 0.7 * max(own)


@settings(max_examples=8)
@given(st.floats(0.5, 3.0), st.lists(st.sampled_from([2.0, 5.0, 10.0]), min_size=2, max_size=8))
def test_no_camera_falls_below_its_least_rate_even_if_nobody_takes_frames(min_fps: float, rates: list[float]) -> None:
    producer = Producer(rates, min_fps=min_fps)
    simulate([producer], Worker(lambda at: 0.0 if at > 10 else 200.0), 80)
    for wanted, times in zip(rates, producer.sent, strict=True):
        least = min(min_fps, wanted)
        assert rate(times, 60, 80) >= 0.9 * least
        assert max(b - a for a, b in pairwise(times)) <= 2.0 / least + 0.1


def test_the_full_rate_comes_back() -> None:
    producers = [Producer([5.0] * 4) for _ in range(2)]
    simulate(producers, Worker(lambda at: 10.0 if at < 40 else 200.0), 100)
    assert sent(producers, 30, 40) < 16
    assert sent(producers, 95, 100) == 40


def test_while_everything_fits_nothing_is_held_back() -> None:
    producers = [Producer([5.0] * 8) for _ in range(4)]
    simulate(producers, Worker(lambda _: 300.0), 30)
    assert all(share == 1.0 for producer in producers for _, share in producer.shares)


def test_each_sends_the_same_part_of_what_it_wants() -> None:
    producers = [Producer([2.0, 4.0, 10.0]), Producer([8.0] * 4)]
    simulate(producers, Worker(lambda _: 24.0), END_S)
    parts = [
        rate(times, SETTLED_S, END_S) / wanted
        for producer in producers
        for wanted, times in zip(producer.rates, producer.sent, strict=True)
        if wanted > 2.0
    ]
    assert min(parts) >= 0.75 * max(parts)


def test_a_long_pause_counts_for_little() -> None:
    law = BackPressure(room_for(8))
    law.pushed(0, 0.0)
    law.pushed(250, 3600.0)
    assert law.share > 0.8
    law.pushed(250, 3599.0)
    assert law.share > 0.8, "a clock that goes back moves nothing"
