"""Delivering what the store says is due, and when to try again."""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fbtasks.errors import DeliveryFailed
from fbtasks.logic.pace import Pace
from fbtasks.logic.sinks import Sink
from fbtasks.logic.store import Claim, Store
from fbtasks.settings import DeliverySettings

log = logging.getLogger(__name__)

LEASE_MARGIN_S = 30.0
"""A claim outlives the sink's own timeout, twice, by this: for name look-ups, a busy machine and the database."""
REST_MAX_S = 60.0
"""A sink that is away is tried at least about so often: it is noticed soon when it is back."""
DUE_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run over an episode's deliveries to a sink has done."""

    delivered: int = 0
    dead: int = 0
    retry_at: float | None = None
    """When the delivery that failed is due again, unix seconds; None when none is left waiting by this run."""
    error: str = ""
    """Why the last that failed did."""


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


def next_attempt_at(
    claim: Claim, now: float, chance: float, settings: DeliverySettings, retry_after_s: float = 0.0
) -> float | None:
    """When to try again after the claim's try failed at `now`; None to give up.

    Not before `retry_after_s`, which the sink asked for.

    That is when the next try would begin later than `give_up_after_s` after the first one. Counted from the first try
    and not from the alert: a site that was off for a week still tries.
    """
    at = now + max(retry_after_s, backoff_s(claim.attempt, chance, settings))
    return at if at - claim.since <= settings.give_up_after_s else None


def deliver_due(
    store: Store,
    sinks: Mapping[str, Sink],
    sink_name: str,
    pace: Pace,
    *,
    settings: DeliverySettings,
    clock: Callable[[], float],
    is_over: Callable[[], bool],
    note: Callable[[Outcome], None],
) -> None:
    """Deliver what is due to one sink, longest due first, until nothing is, `pace` says wait, or `is_over`.

    `note` is told of every episode that was worked on.

    Raises:
        StoreUnavailable: as `deliver_next` says.
    """
    while pace.allows(clock()) and (due := store.due(clock(), DUE_AT_ONCE, sink_name)):
        for episode_id, _ in due:
            if is_over() or not pace.allows(clock()):
                return
            note(deliver_next(store, sinks, episode_id, sink_name, pace, settings=settings, clock=clock))


def deliver_next(
    store: Store,
    sinks: Mapping[str, Sink],
    episode_id: str,
    sink_name: str,
    pace: Pace,
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
    while pace.allows(clock()) and (claim := store.claim(episode_id, sink_name, clock(), lease_s)):
        pace.spend(clock(), settings.max_per_s)
        try:
            _send(sinks, claim)
        except DeliveryFailed as failure:
            now = clock()
            at = _next_try(claim, failure, pace, settings, now=now, chance=chance())
            store.failed(claim, str(failure), now, at)
            if at is not None:
                return Outcome(outcome.delivered, outcome.dead, at, str(failure))
            outcome = Outcome(outcome.delivered, outcome.dead + 1, error=str(failure))
        else:
            pace.answered()
            store.delivered(claim, clock())
            outcome = Outcome(outcome.delivered + 1, outcome.dead, error=outcome.error)
    return outcome


def _next_try(
    claim: Claim, failure: DeliveryFailed, pace: Pace, settings: DeliverySettings, *, now: float, chance: float
) -> float | None:
    """When the alert is due again after this failure, None for never; the sink rests where trying again may help."""
    if not failure.retryable:
        pace.answered()
        return None
    pause_s = min(REST_MAX_S, backoff_s(pace.failures + 1, chance, settings))
    pace.rest(now + max(failure.retry_after_s, pause_s))
    return next_attempt_at(claim, now, chance, settings, failure.retry_after_s)


def _lease_s(sink: Sink | None) -> float:
    return LEASE_MARGIN_S + (2 * sink.timeout_s if sink else 0.0)


def _send(sinks: Mapping[str, Sink], claim: Claim) -> None:
    """Retryable when the sink is not there: whoever took it out of the settings may put it back.

    So is a fault of the sink's own, which else would end this run, and every later one, at the same alert.
    """
    if claim.sink not in sinks:
        raise DeliveryFailed(f"there is no sink {claim.sink!r} in the settings", retryable=True)
    try:
        sinks[claim.sink].send(claim.alert)
    except DeliveryFailed:
        raise
    except Exception as error:
        log.exception("a fault in the sink %s", claim.sink)
        # Not its text, which people get to read in many places: nobody knows what is in it.
        reason = f"a fault in the sink itself, {type(error).__name__}; the worker's log has more"
        raise DeliveryFailed(reason, retryable=True) from error
