"""Alerts and episodes: what is written once and read by people and by recovering processes."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Insert, insert, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from fbtasks.alert import Alert
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import deliveries, holding
from fbtasks.logic.store.schema import alerts as alerts_table
from fbtasks.logic.store.schema import episodes, stored_number


def record(
    connection: Connection, alerts: Sequence[Alert], routes: Sequence[Route], now: float, per_minute: int
) -> int:
    """See `Store.record`. Two calls with an alert in common run one after the other, held apart by its episode."""
    firsts = {str(alert.episode_id): alert for alert in reversed(alerts)}
    # In the order of their ids, as everybody does it: two calls never wait for each other in a circle.
    connection.execute(_insert_or_lock(connection), [_new_episode(firsts[key]) for key in sorted(firsts)])
    fresh = _unknown(connection, alerts)
    if fresh:
        settled = holding.settle(connection, fresh, now, per_minute)
        rows = [_alert_row(alert, now) | {"kept": settled.kept.get(alert.id)} for alert in fresh]
        connection.execute(insert(alerts_table), rows)
        _advance_episodes(connection, fresh)
        deliveries.schedule(connection, settled.onward, routes, now)
    return len(fresh)


def open_episodes(connection: Connection, camera_id: str) -> list[Alert]:
    """See `Store.open_episodes`."""
    last = (alerts_table.c.episode_id == episodes.c.id) & (alerts_table.c.number == episodes.c.last_number)
    query = (
        select(alerts_table.c.payload)
        .join(episodes, last)
        .where(episodes.c.camera_id == camera_id, episodes.c.state == "open")
        .order_by(episodes.c.started_at, episodes.c.id)
    )
    return [Alert.model_validate(payload) for payload in connection.scalars(query)]


def recent_alerts(connection: Connection, limit: int) -> list[Alert]:
    """See `Store.recent_alerts`."""
    columns = alerts_table.c
    query = select(columns.payload).order_by(columns.at.desc(), columns.episode_id, columns.number.desc()).limit(limit)
    return [Alert.model_validate(payload) for payload in connection.scalars(query)]


def _insert_or_lock(connection: Connection) -> Insert:
    """Insert an episode, or rewrite one of its columns as it is, which locks the row to the end of the transaction."""
    if connection.dialect.name == "mysql":
        statement = mysql.insert(episodes)
        return statement.on_duplicate_key_update(camera_id=statement.inserted.camera_id)
    either = sqlite.insert(episodes) if connection.dialect.name == "sqlite" else postgresql.insert(episodes)
    return either.on_conflict_do_update(index_elements=["id"], set_={"camera_id": either.excluded.camera_id})


def _new_episode(alert: Alert) -> dict[str, Any]:
    return {
        "id": str(alert.episode_id),
        "camera_id": alert.camera_id,
        "rule": alert.rule,
        "track_id": alert.track_id,
        "severity": alert.severity,
        "state": "open",
        "last_number": -1,
        "started_at": alert.started_at,
        "updated_at": alert.at,
    }


def _unknown(connection: Connection, alerts: Iterable[Alert]) -> list[Alert]:
    """Those of `alerts` that are not stored yet, each once, in their order."""
    by_id = {alert.id: alert for alert in alerts}
    known = set(connection.scalars(select(alerts_table.c.id).where(alerts_table.c.id.in_(by_id))))
    return [alert for key, alert in by_id.items() if key not in known]


def _alert_row(alert: Alert, now: float) -> dict[str, Any]:
    return {
        "id": alert.id,
        "episode_id": str(alert.episode_id),
        "number": stored_number(alert),
        "event": alert.event,
        "camera_id": alert.camera_id,
        "rule": alert.rule,
        "severity": alert.severity,
        "at": alert.at,
        # Through text: that writes a number which is no JSON (NaN) as null, where a database would refuse the alert.
        "payload": json.loads(alert.model_dump_json()),
        "recorded_at": now,
    }


def _advance_episodes(connection: Connection, fresh: Iterable[Alert]) -> None:
    """Let each episode say what its newest alerts say."""
    for alert in fresh:
        if alert.event in {"acknowledged", "escalated"}:
            _acknowledge(connection, alert)
    for alert in {alert.episode_id: alert for alert in fresh if alert.event != "acknowledged"}.values():
        cleared = alert.event == "cleared"
        connection.execute(
            update(episodes)
            .where(episodes.c.id == str(alert.episode_id), episodes.c.last_number < alert.number)
            .values(
                severity=alert.severity,
                state="cleared" if cleared else "open",
                last_number=alert.number,
                updated_at=alert.at,
                cleared_at=alert.at if cleared else None,
            )
        )


def _acknowledge(connection: Connection, alert: Alert) -> None:
    """Note who has seen to the episode; a rise in severity has been seen by nobody yet."""
    seen = alert.event == "acknowledged"
    by, note = alert.evidence.get("by"), alert.evidence.get("note")
    connection.execute(
        update(episodes)
        .where(episodes.c.id == str(alert.episode_id))
        .values(
            acknowledged_at=alert.at if seen else None,
            acknowledged_by=by if seen else None,
            note=note if seen else None,
        )
    )
