"""Delivering from a store to a sink that can be told to fail."""

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fbtasks.alert import Alert, Event, alert_id, episode_id
from fbtasks.errors import DeliveryFailed
from fbtasks.logic.delivery import LEASE_MARGIN_S, Outcome, deliver_next
from fbtasks.logic.pace import Pace
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import Store, open_store
from fbtasks.settings import DeliverySettings

T0 = 1_700_000_000.0
SETTINGS = DeliverySettings(backoff_min_s=2, backoff_max_s=60, give_up_after_s=600)
EPISODE = episode_id("box-1", "lying", 1, T0)


class Clock:
    """A clock that is set by hand."""

    now = T0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """Takes alerts, unless it was told to fail the next time."""

    name = "recorder"
    timeout_s = 10.0

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.failures: deque[BaseException | None] = deque()

    def send(self, alert: Alert) -> None:
        failure = self.failures.popleft() if self.failures else None
        if failure is not None:
            raise failure
        self.taken.append(alert.event)


def make_alert(number: int, event: Event) -> Alert:
    return Alert(
        id=alert_id(EPISODE, number),
        episode_id=EPISODE,
        number=number,
        event=event,
        camera_id="box-1",
        rule="lying",
        severity="warning",
        track_id=1,
        started_at=T0,
        at=T0 + number,
        message="lies",
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path / 'alerts.sqlite'}")) as opened:
        opened.migrate()
        opened.record(
            [make_alert(0, "raised"), make_alert(1, "escalated"), make_alert(2, "cleared")], [Route("recorder")], T0
        )
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sink() -> Recorder:
    return Recorder()


def run(store: Store, clock: Clock, *sinks: Recorder) -> Outcome:
    named = {sink.name: sink for sink in sinks}
    return deliver_next(
        store, named, str(EPISODE), "recorder", Pace(), settings=SETTINGS, clock=clock, chance=lambda: 0.5
    )


def away() -> DeliveryFailed:
    return DeliveryFailed("away", retryable=True)


def test_a_whole_episode_in_order(store: Store, clock: Clock, sink: Recorder) -> None:
    assert run(store, clock, sink) == Outcome(delivered=3)
    assert sink.taken == ["raised", "escalated", "cleared"]
    assert run(store, clock, sink) == Outcome()
    assert store.backlog(T0).pending == 0


def test_a_failure_holds_the_rest_back_until_its_time(store: Store, clock: Clock, sink: Recorder) -> None:
    sink.failures.extend([None, away()])
    assert run(store, clock, sink) == Outcome(delivered=1, retry_at=T0 + 2, error="away")
    assert run(store, clock, sink) == Outcome()
    clock.now += 2
    assert run(store, clock, sink) == Outcome(delivered=2)
    assert sink.taken == ["raised", "escalated", "cleared"]


def test_a_dead_letter_lets_the_rest_pass(store: Store, clock: Clock, sink: Recorder) -> None:
    sink.failures.append(DeliveryFailed("the backend answered 400", retryable=False))
    assert run(store, clock, sink) == Outcome(delivered=2, dead=1, error="the backend answered 400")
    assert sink.taken == ["escalated", "cleared"]
    assert store.backlog(T0).dead == 1


def test_a_sink_that_stays_away_is_given_up(store: Store, clock: Clock, sink: Recorder) -> None:
    sink.failures.append(away())
    while (outcome := run(store, clock, sink)).retry_at is not None:
        clock.now = outcome.retry_at
        sink.failures.append(away())
    assert SETTINGS.give_up_after_s - SETTINGS.backoff_max_s <= clock.now - T0 <= SETTINGS.give_up_after_s
    assert outcome == Outcome(dead=1, error="away")
    assert run(store, clock, sink) == Outcome(delivered=2)
    assert sink.taken == ["escalated", "cleared"]


def test_a_fault_in_a_sink_is_a_failure_like_any_other_and_its_text_is_told_to_nobody(
    store: Store, clock: Clock, sink: Recorder
) -> None:
    sink.failures.append(KeyError("token hunter2"))
    outcome = run(store, clock, sink)
    assert (outcome.retry_at, "KeyError" in outcome.error, "hunter2" in outcome.error) == (T0 + 2, True, False)
    clock.now += 2
    assert run(store, clock, sink) == Outcome(delivered=3)


def test_a_sink_that_was_taken_out_of_the_settings_may_come_back(store: Store, clock: Clock, sink: Recorder) -> None:
    assert run(store, clock).retry_at == T0 + 2
    clock.now += 2
    assert run(store, clock, sink) == Outcome(delivered=3)


def test_what_died_with_a_claim_is_sent_when_the_lease_is_over(store: Store, clock: Clock, sink: Recorder) -> None:
    sink.failures.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(store, clock, sink)
    clock.now += LEASE_MARGIN_S + 2 * sink.timeout_s - 1
    assert run(store, clock, sink) == Outcome()
    clock.now += 1
    assert run(store, clock, sink) == Outcome(delivered=3)
