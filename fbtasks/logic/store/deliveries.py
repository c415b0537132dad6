"""Deliveries: which alert has to go to which sink, who is at it, and how it ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from fbtasks.alert import Alert
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store.schema import ERROR_LENGTH, alerts, episodes, place, storable, stored_number
from fbtasks.logic.store.schema import deliveries as table

_columns = table.c
SETTLED_AT_ONCE = 100
"""Episodes whose held deliveries are decided on in one transaction."""


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


def schedule(connection: Connection, fresh: Iterable[Alert], routes: Sequence[Route], now: float) -> None:
    """Add the deliveries of alerts that were just stored, in their order, within the same transaction.

    An episode's first delivery to a sink says how the rest of it goes there: held until the same time, or at once.
    """
    held_until = _standing(connection, {str(alert.episode_id) for alert in fresh})
    rows = []
    for alert in fresh:
        for route in routes:
            key = (str(alert.episode_id), route.sink)
            if key not in held_until:
                if not route.begins_with(alert):
                    continue
                held_until[key] = now + route.hold_s if route.hold_s else None
            rows.append(_row(alert, route.sink, now, held_until[key]))
    if rows:
        connection.execute(insert(table), rows)


def _standing(connection: Connection, episode_ids: set[str]) -> dict[tuple[str, str], float | None]:
    """Until when what each episode has for each sink is held; None where it was let go."""
    query = select(_columns.episode_id, _columns.sink, _columns.state, _columns.due_at).where(
        _columns.episode_id.in_(episode_ids), _columns.state != "skipped"
    )
    found: dict[tuple[str, str], float | None] = {}
    for row in connection.execute(query):
        key = (row.episode_id, row.sink)
        found[key] = row.due_at if row.state == "held" and found.get(key, 0.0) is not None else None
    return found


def _row(alert: Alert, sink: str, now: float, held_until: float | None) -> dict[str, object]:
    return {
        "alert_id": alert.id,
        "sink": sink,
        "episode_id": str(alert.episode_id),
        "number": stored_number(alert),
        "state": "pending" if held_until is None else "held",
        "attempts": 0,
        "due_at": now if held_until is None else held_until,
    }


def held_over(connection: Connection, now: float) -> list[str]:
    """Some of the episodes of which something was held back until `now`."""
    query = select(_columns.episode_id).where(_columns.state == "held", _columns.due_at <= now).distinct()
    return list(connection.scalars(query.order_by(_columns.episode_id).limit(SETTLED_AT_ONCE)))


def settle_held(connection: Connection, now: float) -> None:
    """See `Store.settle_held`."""
    over = held_over(connection, now)
    # Locked, and in the order in which `record` does it: an alert that is stored meanwhile sees what was decided.
    query = select(episodes).where(episodes.c.id.in_(over)).order_by(episodes.c.id).with_for_update()
    wanted = [row.id for row in connection.execute(query) if row.state == "open" and row.acknowledged_at is None]
    of_these = (_columns.state == "held", _columns.due_at <= now)
    connection.execute(update(table).where(*of_these, _columns.episode_id.in_(wanted)).values(state="pending"))
    connection.execute(
        update(table).where(*of_these, _columns.episode_id.in_(over)).values(state="skipped", ended_at=now)
    )


def due_sinks(connection: Connection, now: float) -> list[str]:
    """See `Store.due_sinks`."""
    query = select(_columns.sink).where(_columns.state == "pending", _columns.due_at <= now).distinct()
    return list(connection.scalars(query.order_by(_columns.sink)))


def due(connection: Connection, now: float, limit: int, sink: str | None) -> list[tuple[str, str]]:
    """See `Store.due`."""
    earlier = table.alias()
    blocked = (
        select(earlier.c.alert_id)
        .where(
            earlier.c.episode_id == _columns.episode_id,
            earlier.c.sink == _columns.sink,
            place(earlier.c.number) < place(_columns.number),
            earlier.c.state == "pending",
        )
        .exists()
    )
    query = (
        select(_columns.episode_id, _columns.sink)
        .where(_columns.state == "pending", _columns.due_at <= now, ~blocked)
        .where(*[_columns.sink == sink] if sink is not None else [])
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
        .order_by(place(_columns.number))
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
        .values(last_error=storable(reason, ERROR_LENGTH), **change)
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
