"""Deliveries: which alert has to go to which sink, who is at it, and how it ended."""

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, func, select, update

from fbtasks.alert import Alert
from fbtasks.logic.store.schema import ERROR_LENGTH, alerts
from fbtasks.logic.store.schema import deliveries as table

_columns = table.c


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to deliver one alert to one sink until the lease is over."""

    alert: Alert
    sink: str
    attempt: int
    """1 for the first try; no two claims of a delivery have the same."""
    since: float
    """When the first try began, unix seconds."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far the deliveries are behind."""

    pending: int
    dead: int
    oldest_pending_s: float
    """Seconds since the oldest pending alert was recorded; 0 when nothing is pending."""


def due(connection: Connection, now: float, limit: int) -> list[tuple[str, str]]:
    """See `Store.due`."""
    earlier = table.alias()
    blocked = (
        select(earlier.c.alert_id)
        .where(
            earlier.c.episode_id == _columns.episode_id,
            earlier.c.sink == _columns.sink,
            earlier.c.number < _columns.number,
            earlier.c.state == "pending",
        )
        .exists()
    )
    query = (
        select(_columns.episode_id, _columns.sink)
        .where(_columns.state == "pending", _columns.due_at <= now, ~blocked)
        .order_by(_columns.due_at, _columns.episode_id, _columns.sink)
        .limit(limit)
    )
    return [(row.episode_id, row.sink) for row in connection.execute(query)]


def claim(connection: Connection, episode_id: str, sink: str, now: float, lease_s: float) -> Claim | None:
    """See `Store.claim`."""
    head = _head(connection, episode_id, sink)
    if head is None or head["due_at"] > now:
        return None
    since = now if head["first_attempt_at"] is None else head["first_attempt_at"]
    attempt = head["attempts"] + 1
    # Whoever was faster has raised `attempts`, and this changes no row.
    taken = connection.execute(
        update(table)
        .where(
            _columns.alert_id == head["alert_id"],
            _columns.sink == sink,
            _columns.state == "pending",
            _columns.attempts == head["attempts"],
        )
        .values(attempts=attempt, due_at=now + lease_s, first_attempt_at=since)
    )
    return Claim(Alert.model_validate(head["payload"]), sink, attempt, since) if taken.rowcount == 1 else None


def _head(connection: Connection, episode_id: str, sink: str) -> RowMapping | None:
    """The oldest open delivery of the episode to the sink."""
    query = (
        select(_columns.alert_id, _columns.attempts, _columns.due_at, _columns.first_attempt_at, alerts.c.payload)
        .join(alerts, alerts.c.id == _columns.alert_id)
        .where(_columns.episode_id == episode_id, _columns.sink == sink, _columns.state == "pending")
        .order_by(_columns.number)
        .limit(1)
    )
    return connection.execute(query).mappings().one_or_none()


def delivered(connection: Connection, claim: Claim, now: float) -> None:
    """See `Store.delivered`."""
    connection.execute(
        update(table)
        .where(_columns.alert_id == claim.alert.id, _columns.sink == claim.sink, _columns.state != "delivered")
        .values(state="delivered", ended_at=now, last_error=None)
    )


def failed(connection: Connection, claim: Claim, reason: str, now: float, next_attempt_at: float | None) -> None:
    """See `Store.failed`."""
    change = {"due_at": next_attempt_at} if next_attempt_at is not None else {"state": "dead", "ended_at": now}
    connection.execute(
        update(table)
        .where(
            _columns.alert_id == claim.alert.id,
            _columns.sink == claim.sink,
            _columns.state == "pending",
            _columns.attempts == claim.attempt,
        )
        .values(last_error=reason[:ERROR_LENGTH], **change)
    )


def backlog(connection: Connection, now: float, dead_within_s: float) -> Backlog:
    """See `Store.backlog`."""
    pending, oldest = connection.execute(
        select(func.count(), func.min(alerts.c.recorded_at))
        .select_from(table)
        .join(alerts, alerts.c.id == _columns.alert_id)
        .where(_columns.state == "pending")
    ).one()
    dead = connection.scalar(
        select(func.count()).select_from(table).where(_columns.state == "dead", _columns.ended_at > now - dead_within_s)
    )
    return Backlog(pending, dead or 0, 0.0 if oldest is None else max(0.0, now - oldest))
