"""Delivering what the store says is due, and when to try again."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fbtasks.errors import DeliveryFailed
from fbtasks.logic.sinks import Sink
from fbtasks.logic.store import Claim, Store
from fbtasks.settings import DeliverySettings

LEASE_MARGIN_S = 30.0
"""A claim outlives the sink's own timeout, twice, by this: for name look-ups, a busy machine and the database."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run over an episode's deliveries to a sink has done."""

    delivered: int = 0
    dead: int = 0
    retry_at: float | None = None
    """When the delivery that failed is due again, unix seconds; None when none is left waiting by this run."""


def backoff_s(attempt: int, chance: float, settings: DeliverySettings) -> float:
    """Seconds to wait after try number `attempt` (1 is the first) failed.

    Uniform between `backoff_min_s` and a ceiling that doubles from there with each try up to `backoff_max_s`;
    `chance` in [0, 1) says where. Spread over the whole range ("full jitter": Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015), so that what failed together is not tried again together.
    """
    floor = settings.backoff_min_s
    doublings = min(attempt - 1, 64)
    ceiling = max(floor, min(settings.backoff_max_s, floor * 2.0**doublings))
    return floor + chance * (ceiling - floor)


def next_attempt_at(claim: Claim, now: float, chance: float, settings: DeliverySettings) -> float | None:
    """When to try again after the claim's try failed at `now`; None to give up.

    That is when the next try would begin later than `give_up_after_s` after the first one. Counted from the first try
    and not from the alert: a site that was off for a week still tries.
    """
    at = now + backoff_s(claim.attempt, chance, settings)
    return at if at - claim.since <= settings.give_up_after_s else None


def deliver_next(
    store: Store,
    sinks: Mapping[str, Sink],
    episode_id: str,
    sink_name: str,
    *,
    settings: DeliverySettings,
    clock: Callable[[], float],
    chance: Callable[[], float] = random.random,
) -> Outcome:
    """Deliver what is due of one episode to one sink, oldest first, until something has to wait.

    A dead letter does not stop what comes after it. Does nothing when another process is at it. Killed anywhere, it
    leaves a claim that runs out by itself; the alert is then sent again under the same id.

    Raises:
        StoreUnavailable: from the store. An alert that was sent by then is sent again later.
    """
    outcome = Outcome()
    lease_s = _lease_s(sinks.get(sink_name))
    while claim := store.claim(episode_id, sink_name, clock(), lease_s):
        try:
            _send(sinks, claim)
        except DeliveryFailed as failure:
            now = clock()
            at = next_attempt_at(claim, now, chance(), settings) if failure.retryable else None
            store.failed(claim, str(failure), now, at)
            if at is not None:
                return Outcome(outcome.delivered, outcome.dead, at)
            outcome = Outcome(outcome.delivered, outcome.dead + 1)
        else:
            store.delivered(claim, clock())
            outcome = Outcome(outcome.delivered + 1, outcome.dead)
    return outcome


def _lease_s(sink: Sink | None) -> float:
    return LEASE_MARGIN_S + (2 * sink.timeout_s if sink else 0.0)


def _send(sinks: Mapping[str, Sink], claim: Claim) -> None:
    """Retryable when the sink is not there: whoever took it out of the settings may put it back."""
    if claim.sink not in sinks:
        raise DeliveryFailed(f"there is no sink {claim.sink!r} in the settings", retryable=True)
    sinks[claim.sink].send(claim.alert)
