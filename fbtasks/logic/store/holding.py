"""What of the alerts goes on to the sinks, now or later; see `fbtasks.logic.attention` for the reasons.

An alert that is *held* waits here and has no deliveries yet; one that is *withheld* never gets any.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, func, select, update

from fbtasks.alert import SITE, Alert, Severity
from fbtasks.logic.attention import PER_S, Hold, Mute, Standing, Verdict, verdict
from fbtasks.logic.store import mutes
from fbtasks.logic.store.schema import alerts, episodes, place

MOST_AT_ONCE = 200
"""Episodes that are let go in one transaction, those held back for longest first."""

Kept = Literal["held", "withheld"]


@dataclass(slots=True)
class Settled:
    """What becomes of alerts that are being stored.

    Attributes:
        onward: those to be delivered, in their order; with them, what their episodes had held back.
        kept: the others, by id.
    """

    onward: list[Alert] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)


@dataclass(slots=True)
class _Course:
    """An episode, as the alerts that are being stored change it.

    Attributes:
        waiting: what it holds back, in order.
        stored: those of them that are in the store.
    """

    standing: Standing
    held_by: Verdict | None
    held_at: float | None
    told_at: float | None
    waiting: list[Alert]
    stored: list[str]


def settle(connection: Connection, fresh: Sequence[Alert], now: float, per_minute: int) -> Settled:
    """Decide on new alerts, and on what their episodes had held back.

    The caller holds the episodes' rows, and has not changed them yet.

    Args:
        fresh: in their order.
        per_minute: new alerts that are told one by one in a minute; 0: all.
    """
    courses = _courses(connection, fresh)
    muting = mutes.active(connection, now)
    told = _told_lately(connection, now) if per_minute else 0
    settled = Settled()
    for alert in fresh:
        course = courses[str(alert.episode_id)]
        was_told = course.standing.told
        choice = verdict(
            alert.event,
            alert.severity,
            course.standing,
            muted=is_muted(muting, alert.camera_id, alert.rule, alert.severity, now),
            room=not per_minute or told < per_minute,
            counted=alert.camera_id != SITE,
        )
        _take(course, alert, choice, settled, now)
        told += course.standing.told and not was_told
    _write(connection, courses, settled)
    return settled


def is_muted(muting: Iterable[Mute], camera_id: str, rule: str, severity: Severity, now: float) -> bool:
    """Whether one of the mutes covers such an alert at `now` (unix seconds)."""
    return any(mute.covers(camera_id, rule, severity, now) for mute in muting)


def is_waiting(connection: Connection) -> bool:
    """Whether anything is held back."""
    return connection.scalar(select(alerts.c.id).where(alerts.c.kept == "held").limit(1)) is not None


def release(connection: Connection, now: float, per_minute: int) -> list[Alert]:
    """Let go what is no longer muted, as far as there is room; returns the alerts to be delivered, in their order."""
    columns = episodes.c
    waiting = select(alerts.c.episode_id).where(alerts.c.kept == "held").distinct()
    # In the order of their ids, as `record` locks them. What is decided here cannot be changed by an alert meanwhile.
    rows = connection.execute(
        select(columns.id, columns.camera_id, columns.rule, columns.severity, columns.held_by, columns.held_at)
        .add_columns(columns.told_at)
        .where(columns.id.in_(waiting))
        .order_by(columns.id)
        .with_for_update()
    ).all()
    muting = mutes.active(connection, now)
    told = _told_lately(connection, now) if per_minute else 0
    free: list[str] = []
    for row in sorted(rows, key=lambda one: one.held_at):
        if len(free) == MOST_AT_ONCE:
            break
        if is_muted(muting, row.camera_id, row.rule, row.severity, now):
            _hold(connection, row.id, row.held_by, "mute", now)
        elif _waits_for_room(row) and per_minute and told >= per_minute:
            _hold(connection, row.id, row.held_by, "storm", now)
        else:
            free.append(row.id)
            told += row.told_at is None and row.camera_id != SITE
    held = _held_back(connection, free)
    # Who waited for a row's lock may find that it holds nothing back any more.
    onward = [alert for key in free for alert in held.get(key, [])]
    _keep(connection, [alert.id for alert in onward], None)
    told_now = update(episodes).where(columns.id.in_(list(held)))
    connection.execute(told_now.values(told_at=func.coalesce(columns.told_at, now)))
    return onward


def _waits_for_room(row: Row[Any]) -> bool:
    """As `verdict` says of a raise."""
    return row.told_at is None and row.severity != "critical" and row.camera_id != SITE


def _take(course: _Course, alert: Alert, choice: Verdict, settled: Settled, now: float) -> None:
    """Let the course take the alert."""
    if choice in {"mute", "storm"}:
        course.held_at = course.held_at if course.waiting else now
        course.held_by = choice
        course.waiting.append(alert)
        settled.kept[alert.id] = "held"
        return
    if alert.event != "updated":
        _end_waiting(course, settled, told=choice == "tell" and alert.event != "cleared")
    if choice == "withhold":
        settled.kept[alert.id] = "withheld"
        return
    settled.onward.append(alert)
    course.told_at = now if course.told_at is None else course.told_at
    course.standing.told = True
    if alert.event in {"escalated", "acknowledged"}:
        course.standing.acknowledged = alert.event == "acknowledged"


def _end_waiting(course: _Course, settled: Settled, *, told: bool) -> None:
    for alert in course.waiting:
        if told:
            settled.onward.append(alert)
            settled.kept.pop(alert.id, None)
        else:
            settled.kept[alert.id] = "withheld"
    course.waiting = []


def _courses(connection: Connection, fresh: Iterable[Alert]) -> dict[str, _Course]:
    keys = sorted({str(alert.episode_id) for alert in fresh})
    columns = episodes.c
    rows = connection.execute(
        select(columns.id, columns.told_at, columns.held_by, columns.held_at, columns.acknowledged_at).where(
            columns.id.in_(keys)
        )
    ).all()
    held = _held_back(connection, [row.id for row in rows if row.held_at is not None])
    return {
        row.id: _Course(
            Standing(told=row.told_at is not None, acknowledged=row.acknowledged_at is not None),
            row.held_by,
            row.held_at,
            row.told_at,
            held.get(row.id, []),
            [alert.id for alert in held.get(row.id, [])],
        )
        for row in rows
    }


def _held_back(connection: Connection, keys: Sequence[str]) -> dict[str, list[Alert]]:
    """What these episodes hold back, in order."""
    if not keys:
        return {}
    found: dict[str, list[Alert]] = {}
    query = select(alerts.c.episode_id, alerts.c.payload).where(alerts.c.episode_id.in_(keys), alerts.c.kept == "held")
    for row in connection.execute(query.order_by(place(alerts.c.number))):
        found.setdefault(row.episode_id, []).append(Alert.model_validate(row.payload))
    return found


def _write(connection: Connection, courses: Mapping[str, _Course], settled: Settled) -> None:
    """Let episodes, and what they had held back before, say what became of them."""
    rows = [
        {"key": key, "told": course.told_at, "by": course.held_by, "since": course.held_at}
        for key, course in sorted(courses.items())
    ]
    change = update(episodes).where(episodes.c.id == bindparam("key"))
    changed = change.values(told_at=bindparam("told"), held_by=bindparam("by"), held_at=bindparam("since"))
    connection.execute(changed, rows)
    stored = {identifier for course in courses.values() for identifier in course.stored}
    _keep(connection, [alert.id for alert in settled.onward if alert.id in stored], None)
    _keep(connection, [key for key in stored if settled.kept.get(key) == "withheld"], "withheld")


def _keep(connection: Connection, alert_ids: Sequence[str], kept: Kept | None) -> None:
    if alert_ids:
        connection.execute(update(alerts).where(alerts.c.id.in_(alert_ids)).values(kept=kept))


def _hold(connection: Connection, key: str, before: str, by: Hold, now: float) -> None:
    """Hold the episode back for another reason than before."""
    if by != before:
        connection.execute(update(episodes).where(episodes.c.id == key).values(held_by=by, held_at=now))


def _told_lately(connection: Connection, now: float) -> int:
    """How many episodes were first told of in the last minute.

    Nothing is locked for it: workers that store at the same moment may each let as many go. What lies in the future was
    told before somebody set the clock back.
    """
    columns = episodes.c
    lately = (columns.told_at > now - PER_S) & (columns.told_at <= now + PER_S) & (columns.camera_id != SITE)
    return connection.scalar(select(func.count()).select_from(episodes).where(lately)) or 0
