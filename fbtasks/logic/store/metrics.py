"""What horses did, by minutes, and the reports of their nights: written once, never changed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Insert, RowMapping, Table, delete, func, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from fbtasks.alert import Alert
from fbtasks.logic.minutes import Account, Minute
from fbtasks.logic.store.schema import alerts, minutes, nights

AS_THEY_ARE = [name for name in Account.__struct_fields__ if name in minutes.c]
"""What of an account stands in the table as it is."""


def record_minutes(connection: Connection, over: Sequence[Minute]) -> None:
    """See `Store.record_minutes`."""
    # In the order of their keys, as everybody does it: two calls never wait for each other in a circle.
    rows = [_row(minute, *entry) for minute in over for entry in minute.accounts.items()]
    rows.sort(key=lambda row: (row["camera_id"], row["track_id"], row["minute"]))
    if rows:
        connection.execute(insert_new(connection, minutes), rows)


def minutes_between(
    connection: Connection, camera_id: str, since: float, until: float, track_id: int | None
) -> list[Minute]:
    """See `Store.minutes_between`."""
    columns = minutes.c
    query = select(minutes).where(columns.camera_id == camera_id, columns.minute >= since, columns.minute < until)
    if track_id is not None:
        query = query.where(columns.track_id == track_id)
    found: dict[int, Minute] = {}
    for row in connection.execute(query).mappings():
        minute = found.setdefault(row["minute"], Minute(camera_id, row["minute"], {}))
        minute.accounts[row["track_id"]] = _account(row)
    return [found[began_at] for began_at in sorted(found)]


def watched_cameras(connection: Connection, since: float, until: float) -> list[str]:
    """See `Store.watched_cameras`."""
    within = (minutes.c.minute >= since) & (minutes.c.minute < until)
    return list(connection.scalars(select(minutes.c.camera_id).where(within).distinct().order_by(minutes.c.camera_id)))


def alerts_between(connection: Connection, camera_id: str, since: float, until: float) -> list[Alert]:
    """See `Store.alerts_between`."""
    columns = alerts.c
    within = (columns.at >= since) & (columns.at < until) & (columns.event != "acknowledged")
    query = select(columns.payload).where(columns.camera_id == camera_id, within).order_by(columns.at, columns.number)
    return [Alert.model_validate(payload) for payload in connection.scalars(query)]


def forget_minutes(connection: Connection, before: float, limit: int) -> int:
    """See `Store.forget_minutes`."""
    column = minutes.c.minute
    # By the beginning of the first one too many: no database has the same words for a DELETE with a limit.
    beyond = connection.scalar(select(column).where(column < before).order_by(column).offset(limit).limit(1))
    # What began together goes together, so that every call gets on.
    oldest = connection.scalar(select(func.min(column))) or 0
    end = before if beyond is None else max(beyond, oldest + 1)
    return connection.execute(delete(minutes).where(column < end)).rowcount


def record_night(connection: Connection, camera_id: str, night: str, report: dict[str, Any], now: float) -> None:
    """See `Store.record_night`."""
    row = {"camera_id": camera_id, "night": night, "report": report, "written_at": now}
    connection.execute(insert_new(connection, nights), [row])


def reported_nights(connection: Connection, night: str) -> dict[str, dict[str, Any]]:
    """See `Store.reported_nights`."""
    rows = connection.execute(select(nights.c.camera_id, nights.c.report).where(nights.c.night == night))
    return {row.camera_id: row.report for row in rows}


def insert_new(connection: Connection, table: Table) -> Insert:
    """Insert rows; one whose key is there already changes nothing."""
    if connection.dialect.name == "mysql":
        statement = mysql.insert(table)
        # Not IGNORE, which would let through a row that does not fit, cut to size.
        return statement.on_duplicate_key_update(camera_id=statement.inserted.camera_id)
    either = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
    return either.on_conflict_do_nothing()


def _row(minute: Minute, track_id: int, account: Account) -> dict[str, Any]:
    return {
        "camera_id": minute.camera_id,
        "track_id": track_id,
        "minute": minute.began_at,
        "mean_speed_bl_s": account.mean_speed_bl_s,
        "agitation_bl_s": account.agitation_bl_s,
        **{name: getattr(account, name) for name in AS_THEY_ARE},
    }


def _account(row: RowMapping) -> Account:
    agitation_bl = (row["agitation_bl_s"] or 0.0) * row["agitation_s"]
    return Account(agitation_bl=agitation_bl, **{name: row[name] for name in AS_THEY_ARE})
