"""When a failed delivery is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.logic.delivery import backoff_s, next_attempt_at
from fbtasks.logic.store import Claim
from fbtasks.settings import DeliverySettings
from tests.alerts import first_alert

SETTINGS = DeliverySettings(backoff_min_s=2, backoff_max_s=60, give_up_after_s=600)
ALERT = first_alert()

chances = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10_000)


@given(attempts, chances)
def test_backoff_stays_within_its_bounds(attempt: int, chance: float) -> None:
    pause = backoff_s(attempt, chance, SETTINGS)
    assert 2 <= pause <= 60
    assert pause <= 2 * 2.0 ** min(attempt - 1, 64)


@given(attempts, chances, chances)
def test_backoff_grows_with_chance_and_attempt(attempt: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert backoff_s(attempt, low, SETTINGS) <= backoff_s(attempt, high, SETTINGS)
    assert backoff_s(attempt, one, SETTINGS) <= backoff_s(attempt + 1, one, SETTINGS)


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60)])
def test_the_ceiling_doubles_up_to_the_longest_pause(attempt: int, ceiling: float) -> None:
    assert backoff_s(attempt, 0.0, SETTINGS) == 2
    assert backoff_s(attempt, 1.0, SETTINGS) == ceiling


def test_a_longest_pause_below_the_shortest_counts_as_equal() -> None:
    odd = DeliverySettings(backoff_min_s=10, backoff_max_s=1, give_up_after_s=600)
    assert backoff_s(5, 0.9, odd) == 10


def claim(attempt: int, since: float) -> Claim:
    return Claim(ALERT, "webhook", attempt, since)


def test_tries_end_with_the_deadline_counted_from_the_first() -> None:
    assert next_attempt_at(claim(1, 1000), 1000, 0.5, SETTINGS) == 1002
    assert next_attempt_at(claim(9, 1000), 1540, 1.0, SETTINGS) == 1600
    assert next_attempt_at(claim(9, 1000), 1541, 1.0, SETTINGS) is None


@given(chances)
def test_every_delivery_ends(chance: float) -> None:
    now, attempt = 0.0, 1
    while (at := next_attempt_at(claim(attempt, 0.0), now, chance, SETTINGS)) is not None:
        assert at > now
        now, attempt = at, attempt + 1
    assert now <= 600
