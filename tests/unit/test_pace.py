"""How fast a sink may be sent to."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fbtasks.keys import Keys
from fbtasks.logic.pace import BURST_S, Pace, Paces
from tests.servers import Valkey


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=200))
@example(5.999999999999886, [0.0])
def test_no_more_go_than_the_rate_allows(max_per_s: float, pauses: list[float]) -> None:
    pace, now, sent = Pace(), 1_000.0, 0
    for pause in pauses:
        now += pause
        while pace.allows(now) and sent < 10_000:
            pace.spend(now, max_per_s)
            sent += 1
    assert sent <= (now - 1_000.0 + BURST_S) * max_per_s + 1 + 1e-6  # for what floats round


@given(st.floats(0.1, 1000))
def test_the_rate_is_used(max_per_s: float) -> None:
    pace, sent, seconds = Pace(), 0, 200
    for tick in range(seconds):
        while pace.allows(tick):
            pace.spend(tick, max_per_s)
            sent += 1
    assert sent >= (seconds - 1) * max_per_s - 1


def test_a_sink_that_rests_is_left_in_peace() -> None:
    pace = Pace()
    pace.rest(1_060.0)
    pace.rest(1_090.0)
    assert pace.failures == 2
    assert not pace.allows(1_089.9)
    assert pace.allows(1_090.0)
    pace.answered()
    assert pace.failures == 0


def test_a_clock_that_was_set_back_silences_no_sink() -> None:
    pace, now = Pace(), 10_000.0
    while pace.allows(now):
        pace.spend(now, 0.1)
    assert pace.allows(now - 3_600)
    pace.spend(now - 3_600, 1)
    assert pace.spent_until == now - 3_599


@pytest.mark.usefixtures("no_immortal_keys")
def test_a_pace_is_remembered(valkey: Valkey) -> None:
    with valkey.client() as client:
        paces = Paces(client, Keys("site:"))
        assert paces.read("backend") == Pace()
        paces.write("backend", Pace(spent_until=5.5, failures=2, rest_until=60.0))
        assert paces.read("backend") == Pace(5.5, 2, 60.0)
        assert paces.read("groom") == Pace()
