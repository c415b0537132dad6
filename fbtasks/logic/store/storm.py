"""Letting go what was held back, and the summaries of a storm.

These are an episode of the site: raised when alerts are held back, updated while more are, cleared when none waits.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, select

from fbtasks.alert import SITE
from fbtasks.logic.attention import PER_S, STORM, Held, storm_over, summary
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import deliveries, holding, record
from fbtasks.logic.store.schema import alerts, episodes

SUMMARY_AFTER_S = 10.0
"""So long the storm's first alerts wait for more before they are told of: what has one cause comes within seconds."""

_columns = episodes.c


def is_raging(connection: Connection) -> bool:
    """Whether a storm was told of, and not yet that it is over."""
    last = _last(connection)
    return last is not None and last["state"] == "open"


def release(connection: Connection, routes: Sequence[Route], now: float, per_minute: int) -> int:
    """See `Store.release`."""
    onward = holding.release(connection, now, per_minute)
    deliveries.schedule(connection, onward, routes, now)
    _tell(connection, routes, now)
    return len(onward)


def _tell(connection: Connection, routes: Sequence[Route], now: float) -> None:
    """Sum up what was held back since the last summary, at most once in `PER_S`, or tell that the storm is over."""
    last = _last(connection)
    if last is not None and now - last["updated_at"] < PER_S:
        return
    since = last["updated_at"] if last is not None else 0.0
    held = _held_since(connection, since)
    number, began_at, before = 0, held[0]["held_at"] if held else now, None
    if last is not None and last["state"] == "open":
        number, began_at, before = last["last_number"] + 1, last["started_at"], last["severity"]
    if held and now - held[0]["held_at"] >= SUMMARY_AFTER_S:
        told = [Held(row["camera_id"], row["rule"], row["severity"]) for row in held]
        record.record(connection, [summary(told, began_at, now, number, before)], routes, now, 0)
    elif number and not held and not _any_waiting(connection):
        assert last is not None
        record.record(connection, [storm_over(last["severity"], began_at, now, number)], routes, now, 0)


def _last(connection: Connection) -> RowMapping | None:
    query = select(episodes).where(_columns.camera_id == SITE, _columns.rule == STORM)
    return connection.execute(query.order_by(_columns.updated_at.desc()).limit(1)).mappings().one_or_none()


def _held_since(connection: Connection, since: float) -> Sequence[RowMapping]:
    query = select(episodes).where(_columns.held_by == "storm", _columns.held_at > since)
    return connection.execute(query.order_by(_columns.held_at, _columns.id)).mappings().all()


def _any_waiting(connection: Connection) -> bool:
    waiting = select(alerts.c.episode_id).where(alerts.c.kept == "held")
    query = select(_columns.id).where(_columns.held_by == "storm", _columns.id.in_(waiting)).limit(1)
    return connection.scalar(query) is not None
