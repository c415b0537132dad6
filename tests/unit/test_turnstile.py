"""Cameras that come together pass one after the other."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.producer.turnstile import Turnstile


def test_a_crowd_passes_at_the_rate_and_nobody_waits_afterwards() -> None:
    turnstile = Turnstile(20.0)
    assert [turnstile.wait_s(100.0) for _ in range(64)] == pytest.approx([number / 20 for number in range(64)])
    assert turnstile.wait_s(110.0) == 0


@given(st.lists(st.floats(0, 10), max_size=100).map(sorted), st.floats(0.1, 100))
def test_never_more_than_the_rate(comings: list[float], per_s: float) -> None:
    turnstile = Turnstile(per_s)
    passed = [coming + turnstile.wait_s(coming) for coming in comings]
    assert all(later - earlier >= 1 / per_s - 1e-6 for earlier, later in pairwise(passed))
