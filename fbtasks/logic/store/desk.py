"""What people ask of the alerts, and what they do to them: look, acknowledge, try a dead letter again."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, RowMapping, Select, and_, case, func, or_, select, update

from fbtasks.alert import SEVERITIES, Alert, Severity, acknowledgement_id
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import record
from fbtasks.logic.store.schema import alerts, deliveries, episodes, place

State = Literal["open", "acknowledged", "cleared"]
MOST_MATCHES = 10
"""Identifiers that are told of when a beginning fits several."""


class EpisodeView(msgspec.Struct, frozen=True):
    """One episode, as people see it; times are unix seconds.

    Attributes:
        state: `acknowledged` is open too, and nobody need look after it.
        message: of its last alert.
        started_at: when its condition began.
        raised_at: when it was raised.
        updated_at: when its last alert happened.
        acknowledged_at, acknowledged_by, note: of the acknowledgement at its present severity.
        held_by: `mute` or `storm` when it is or was held back, for the last time since `held_at`.
        waiting: something of it is held back now.
        told_at: when its raise went on to the sinks; None: not yet, or never.
    """

    id: str
    camera_id: str
    rule: str
    track_id: int | None
    severity: Severity
    state: State
    message: str
    started_at: float
    raised_at: float
    updated_at: float
    cleared_at: float | None
    acknowledged_at: float | None
    acknowledged_by: str | None
    note: str | None
    held_by: str | None
    held_at: float | None
    waiting: bool
    told_at: float | None


class DeliveryView(msgspec.Struct, frozen=True):
    """One alert on its way to one sink; times are unix seconds.

    Attributes:
        state: pending, held (for its sink's time), delivered, dead, or skipped (by its sink's time it was over).
        due_at: not tried before.
    """

    alert_id: str
    episode_id: str
    sink: str
    state: str
    attempts: int
    due_at: float
    first_attempt_at: float | None
    ended_at: float | None
    last_error: str | None


class AlertView(msgspec.Struct, frozen=True):
    """One alert of an episode, when it was stored, and its deliveries. `kept`: see `fbtasks.logic.store.holding`."""

    alert: Alert
    recorded_at: float
    kept: str | None
    deliveries: list[DeliveryView]


class Detail(msgspec.Struct, frozen=True):
    """All that is known of one episode; the alerts in their order."""

    episode: EpisodeView
    alerts: list[AlertView]


class Wanted(msgspec.Struct, frozen=True):
    """Which episodes to list; None: all.

    Attributes:
        since: those of which something happened then or later, unix seconds; those still open count in any case.
        severity: those that are as severe, or more.
    """

    camera_id: str | None = None
    rule: str | None = None
    since: float | None = None
    severity: Severity | None = None


def listed(connection: Connection, wanted: Wanted, limit: int) -> list[EpisodeView]:
    """See `Store.episodes`."""
    columns = episodes.c
    query = _episodes()
    if wanted.camera_id is not None:
        query = query.where(columns.camera_id == wanted.camera_id)
    if wanted.rule is not None:
        query = query.where(columns.rule == wanted.rule)
    if wanted.severity is not None:
        query = query.where(columns.severity.in_(SEVERITIES[SEVERITIES.index(wanted.severity) :]))
    if wanted.since is not None:
        query = query.where(or_(columns.state == "open", columns.updated_at >= wanted.since))
    is_over = case((columns.state == "open", 0), else_=1)
    rows = connection.execute(query.order_by(is_over, columns.updated_at.desc(), columns.id).limit(limit))
    return [_episode(row) for row in rows.mappings()]


def untold(connection: Connection, camera_id: str) -> set[str]:
    """See `Store.untold_episodes`."""
    query = select(episodes.c.id).where(episodes.c.camera_id == camera_id, episodes.c.told_at.is_(None))
    return set(connection.scalars(query))


def begun_with(connection: Connection, prefix: str) -> list[str]:
    """See `Store.episodes_begun_with`."""
    query = select(episodes.c.id).where(episodes.c.id.startswith(prefix, autoescape=True))
    return list(connection.scalars(query.order_by(episodes.c.id).limit(MOST_MATCHES)))


def detail(connection: Connection, episode_id: str) -> Detail:
    """See `Store.detail`."""
    row = connection.execute(_episodes().where(episodes.c.id == episode_id)).mappings().one()
    sent: dict[str, list[DeliveryView]] = {}
    ordered = select(deliveries).where(deliveries.c.episode_id == episode_id).order_by(deliveries.c.sink)
    for delivery in connection.execute(ordered).mappings():
        sent.setdefault(delivery["alert_id"], []).append(_delivery(delivery))
    told = connection.execute(
        select(alerts).where(alerts.c.episode_id == episode_id).order_by(place(alerts.c.number))
    ).mappings()
    return Detail(_episode(row), [_alert(one, sent.get(one["id"], [])) for one in told])


def followed(connection: Connection, since: float, limit: int) -> list[AlertView]:
    """See `Store.recorded_since`."""
    query = select(alerts).where(alerts.c.recorded_at >= since)
    newest = (column.desc() for column in (alerts.c.recorded_at, alerts.c.at, place(alerts.c.number)))
    rows = connection.execute(query.order_by(*newest).limit(limit)).mappings().all()
    return [_alert(row, []) for row in reversed(rows)]


def acknowledge(
    connection: Connection, episode_id: str, routes: Sequence[Route], now: float, *, by: str, note: str | None
) -> Alert | None:
    """See `Store.acknowledge`."""
    columns = episodes.c
    # Locked, as `record` locks it: no alert of the episode comes between this look and what follows.
    row = connection.execute(select(episodes).where(columns.id == episode_id).with_for_update()).mappings().one()
    if row["state"] != "open" or row["acknowledged_at"] is not None:
        return None
    its_last = (alerts.c.episode_id == episode_id) & (alerts.c.number == row["last_number"])
    last = Alert.model_validate(connection.execute(select(alerts.c.payload).where(its_last)).scalar_one())
    answer = last.model_copy(
        update={
            "id": acknowledgement_id(last.episode_id, last.number),
            "event": "acknowledged",
            "at": now,
            "message": f"{by} has seen to it: {last.message}",
            "evidence": {"by": by, "note": note},
            "picture": None,
        }
    )
    record.record(connection, [answer], routes, now, 0)
    return answer


def dead(connection: Connection, episode_id: str | None) -> list[DeliveryView]:
    """See `Store.dead_letters`."""
    query = _of(select(deliveries).where(deliveries.c.state == "dead"), episode_id)
    ordered = query.order_by(deliveries.c.ended_at, deliveries.c.episode_id, place(deliveries.c.number))
    return [_delivery(row) for row in connection.execute(ordered).mappings()]


def retry(connection: Connection, episode_id: str | None, now: float) -> int:
    """See `Store.retry`."""
    which = [deliveries.c.state == "dead"]
    if episode_id is not None:
        which.append(deliveries.c.episode_id == episode_id)
    # `attempts` stays: no two tries have the same number, see `Claim`.
    anew = {"state": "pending", "due_at": now, "first_attempt_at": None, "ended_at": None}
    return connection.execute(update(deliveries).where(*which).values(anew)).rowcount


def _of(query: Select[Any], episode_id: str | None) -> Select[Any]:
    return query if episode_id is None else query.where(deliveries.c.episode_id == episode_id)


def _episodes() -> Select[Any]:
    last, first, held = alerts.alias(), alerts.alias(), alerts.alias()
    waiting = select(held.c.id).where(held.c.episode_id == episodes.c.id, held.c.kept == "held").exists()
    return (
        select(episodes, last.c.payload, func.coalesce(first.c.at, episodes.c.started_at).label("raised_at"))
        .add_columns(waiting.label("waiting"))
        .join(last, and_(last.c.episode_id == episodes.c.id, last.c.number == episodes.c.last_number))
        .outerjoin(first, and_(first.c.episode_id == episodes.c.id, first.c.number == 0))
    )


def _episode(row: RowMapping) -> EpisodeView:
    is_seen_to = row["state"] == "open" and row["acknowledged_at"] is not None
    plain = {name: row[name] for name in EpisodeView.__struct_fields__ if name not in {"state", "message", "waiting"}}
    return EpisodeView(
        **plain,
        state="acknowledged" if is_seen_to else row["state"],
        message=str(row["payload"]["message"]),
        waiting=bool(row["waiting"]),
    )


def _alert(row: RowMapping, sent: list[DeliveryView]) -> AlertView:
    return AlertView(Alert.model_validate(row["payload"]), row["recorded_at"], row["kept"], sent)


def _delivery(row: RowMapping) -> DeliveryView:
    return DeliveryView(**{name: row[name] for name in DeliveryView.__struct_fields__})
