"""A backend that is away for two hours or unwell, and how it is told afterwards. The clock alone is simulated.

`python -m benchmarks.delivery` does the same with more alerts, and writes the tables of docs/delivery.md.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fbtasks.logic.delivery import REST_MAX_S
from fbtasks.logic.pace import BURST_S
from fbtasks.settings import DeliverySettings
from tests.outages import RETRY_AFTER_S, SWEEP_S, Mood, Site, courses, in_order, most_within

EPISODES = 30
AWAY_S = 7200.0
UNWELL_S = 300.0
MAX_PER_S = 2.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with closing(Site(tmp_path, DeliverySettings(max_per_s=MAX_PER_S))) as opened:
        yield opened


def test_after_two_hours_everything_is_told_once_in_order_and_at_a_bounded_rate(site: Site) -> None:
    alerts = list(courses(EPISODES))
    site.run(alerts, AWAY_S)
    assert 0 < len(site.tried_at) < AWAY_S / 15, "a backend that is away is not hammered"
    site.backend.start()
    took_s = site.run_until_told(within_s=2 * REST_MAX_S + len(alerts) / MAX_PER_S)

    arrivals = site.backend.arrivals
    assert Counter(one.key for one in arrivals) == Counter(alert.id for alert in alerts), "each once"
    assert in_order(arrivals)
    assert most_within([one.at for one in arrivals], 10.0) <= (10.0 + BURST_S + SWEEP_S) * MAX_PER_S
    assert took_s >= len(alerts) / MAX_PER_S - BURST_S - SWEEP_S
    assert site.dead == 0


@pytest.mark.parametrize("mood", ["500", "429", "hangs", "resets", "takes it, then resets", "answers twice"])
def test_a_backend_that_is_unwell_gets_everything_in_the_end(site: Site, mood: Mood) -> None:
    alerts = list(courses(4))
    site.backend.start()
    site.backend.mood = mood
    site.run(alerts, UNWELL_S)
    site.backend.mood = "well"
    site.backend.let_go.set()
    site.run_until_told(within_s=3600)

    arrivals = site.backend.arrivals
    assert {one.key for one in arrivals} == {alert.id for alert in alerts}
    assert in_order(arrivals)
    assert site.dead == 0
    if mood != "takes it, then resets":
        assert len(arrivals) == len(alerts), "each once"


def test_a_backend_that_asks_for_patience_gets_it(site: Site) -> None:
    site.backend.start()
    site.backend.mood = "429"
    site.run(list(courses(4)), UNWELL_S)
    assert 1 < site.backend.requests <= UNWELL_S / RETRY_AFTER_S + 1


def test_what_is_refused_for_good_is_not_tried_again(site: Site) -> None:
    alerts = list(courses(4))
    site.backend.start()
    site.backend.mood = "400"
    site.run(alerts, UNWELL_S)
    assert (site.backend.requests, site.dead, site.pending()) == (len(alerts), len(alerts), 0)
