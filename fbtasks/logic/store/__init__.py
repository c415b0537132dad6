"""Alerts, their episodes and their deliveries in SQL, and what horses did: SQLite, PostgreSQL, MySQL or MariaDB.

An alert is recorded together with one delivery per sink in a single transaction, so it cannot be stored and never be
sent. A delivery is claimed for a limited time; whoever dies with a claim loses it when that time is over. Within one
episode and sink only the oldest open delivery can be claimed: a clear never arrives before its raise.

All times are unix seconds in double precision, as in `fbtasks.alert`, because the three databases agree on those
exactly and on no type for dates.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Engine, inspect

from fbtasks.alert import Alert
from fbtasks.camera_history import CameraChange
from fbtasks.logic.attention import Mute
from fbtasks.logic.minutes import Minute
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import (
    camera_status,
    cameras,
    deliveries,
    desk,
    forgetting,
    holding,
    metrics,
    mutes,
    record,
    storm,
)
from fbtasks.logic.store.cameras import KnownCamera
from fbtasks.logic.store.deliveries import Backlog, Claim
from fbtasks.logic.store.desk import AlertView, DeliveryView, Detail, EpisodeView, Wanted
from fbtasks.logic.store.engine import make_engine
from fbtasks.logic.store.transaction import read, write

__all__ = [
    "AlertView",
    "Backlog",
    "Claim",
    "DeliveryView",
    "Detail",
    "EpisodeView",
    "KnownCamera",
    "Mute",
    "Store",
    "Wanted",
    "open_store",
]


class Store:
    """The store behind one engine; safe to share between threads, never between processes.

    Every method raises `StoreUnavailable` when the database cannot be used at present; nothing was changed then,
    unless the connection broke during the commit itself, and every method may be called again in either case.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def migrate(self) -> None:
        """Bring the tables to this build's form; any number of processes may do so at once.

        Raises:
            ConfigError: the database was made by a newer build.
        """
        # Alembic is only for this; beat, Flower and `fbtasks check` start a good deal faster without it.
        from fbtasks.logic.store.upgrade import upgrade  # noqa: PLC0415

        upgrade(self._engine)

    def is_new(self) -> bool:
        """Whether nobody has made its tables yet."""
        return read(self._engine, lambda connection: not inspect(connection).has_table("deliveries"))

    def record(self, alerts: Sequence[Alert], routes: Sequence[Route], now: float, per_minute: int = 0) -> int:
        """Store the alerts that are new, each with a delivery for every route it takes; return how many were new.

        The alerts of one episode must come in their order, over calls too; those known already change nothing. What is
        muted has its deliveries later, from `release`, or never; see `fbtasks.logic.attention`.

        Args:
            per_minute: new alerts that go on one by one in a minute; the others wait. 0: all go on.
        """
        if not alerts:
            return 0
        return write(self._engine, lambda connection: record.record(connection, alerts, routes, now, per_minute))

    def open_episodes(self, camera_id: str) -> list[Alert]:
        """The last alert of each episode of the camera that is not cleared, longest open first."""
        return read(self._engine, lambda connection: record.open_episodes(connection, camera_id))

    def recent_alerts(self, limit: int) -> list[Alert]:
        """The newest alerts by capture time, newest first."""
        return read(self._engine, lambda connection: record.recent_alerts(connection, limit))

    def alerts_between(self, camera_id: str, since: float, until: float) -> list[Alert]:
        """The camera's alerts of that capture time (unix seconds, `until` excluded), oldest first.

        Without acknowledgements, which follow another clock.
        """
        return read(self._engine, lambda connection: metrics.alerts_between(connection, camera_id, since, until))

    def record_minutes(self, over: Sequence[Minute]) -> None:
        """Store the minutes that are new; a camera, track and minute that is known already changes nothing."""
        if over:
            write(self._engine, lambda connection: metrics.record_minutes(connection, over))

    def minutes_between(self, camera_id: str, since: float, until: float, track_id: int | None = None) -> list[Minute]:
        """The camera's minutes that began in that time (unix seconds, `until` excluded), oldest first.

        Args:
            track_id: only the accounts of this one; `WHOLE` for the camera's own.
        """
        return read(
            self._engine, lambda connection: metrics.minutes_between(connection, camera_id, since, until, track_id)
        )

    def watched_cameras(self, since: float, until: float) -> list[str]:
        """The cameras of which there are minutes in that time (unix seconds, `until` excluded)."""
        return read(self._engine, lambda connection: metrics.watched_cameras(connection, since, until))

    def forget_minutes(self, before: float, limit: int) -> int:
        """Remove some of the minutes that began before that time (unix seconds), the oldest; return how many rows.

        As many as `limit`, and more only where as many began together. 0 when none is left.
        """
        return write(self._engine, lambda connection: metrics.forget_minutes(connection, before, limit))

    def record_camera_changes(self, changes: Sequence[CameraChange]) -> None:
        """Store the changes of cameras' statuses that are new; one that is known already changes nothing."""
        if changes:
            write(self._engine, lambda connection: camera_status.record_changes(connection, changes))

    def camera_changes_between(self, camera_id: str, since: float, until: float) -> list[CameraChange]:
        """What happened to the camera in that time (unix seconds, `until` excluded), oldest first."""
        return read(self._engine, lambda connection: camera_status.changes_between(connection, camera_id, since, until))

    def forget_camera_changes(self, before: float) -> int:
        """Remove what happened to cameras before that time (unix seconds); return how many rows."""
        return write(self._engine, lambda connection: camera_status.forget_changes(connection, before))

    def record_cameras(self, present: Iterable[tuple[str, str, bool]], now: float) -> int:
        """Note the cameras of this moment: id, horse, whether enabled; return how many are new, changed or gone."""
        return write(self._engine, lambda connection: cameras.record_cameras(connection, present, now))

    def known_cameras(self) -> list[KnownCamera]:
        """The cameras that there are and were."""
        return read(self._engine, cameras.known_cameras)

    def forget_episodes(self, before: float, limit: int) -> int:
        """Remove some of the episodes that were over before that time (unix seconds), with all that belongs to them.

        `limit` of them at most; none that still waits to be delivered. Returns how many, 0 when none is left.
        """
        return write(self._engine, lambda connection: forgetting.forget_episodes(connection, before, limit))

    def forget_mutes(self, before: float) -> int:
        """Remove the mutes that ended before that time (unix seconds); return how many."""
        return write(self._engine, lambda connection: forgetting.forget_mutes(connection, before))

    def record_night(self, camera_id: str, night: str, report: dict[str, Any], now: float) -> None:
        """Store the report of a camera's night, named by the day on which it begins; one that is there stays."""
        write(self._engine, lambda connection: metrics.record_night(connection, camera_id, night, report, now))

    def reported_nights(self, night: str) -> dict[str, dict[str, Any]]:
        """The reports of that night, by camera."""
        return read(self._engine, lambda connection: metrics.reported_nights(connection, night))

    def due(self, now: float, limit: int, sink: str | None = None) -> list[tuple[str, str]]:
        """Episode id and sink of what `claim` would hand out at `now`, longest due first; of one sink or of all."""
        return read(self._engine, lambda connection: deliveries.due(connection, now, limit, sink))

    def due_sinks(self, now: float) -> list[str]:
        """The sinks to which something is due at `now` (unix seconds)."""
        return read(self._engine, lambda connection: deliveries.due_sinks(connection, now))

    def settle_held(self, now: float) -> None:
        """Decide on what was held back for its sink until `now` (unix seconds).

        It is let go where its episode is still open and not acknowledged, else it is not sent at all.
        """
        if read(self._engine, lambda connection: deliveries.held_over(connection, now)):
            write(self._engine, lambda connection: deliveries.settle_held(connection, now))

    def claim(self, episode_id: str, sink: str, now: float, lease_s: float) -> Claim | None:
        """Take the oldest open delivery of the episode to the sink, for `lease_s` seconds.

        None when there is none, when it is not due yet, or when somebody else has it.
        """
        return write(self._engine, lambda connection: deliveries.claim(connection, episode_id, sink, now, lease_s))

    def delivered(self, claim: Claim, now: float) -> None:
        """The sink took the alert. Also counts when the claim ran out meanwhile: it is the truth."""
        write(self._engine, lambda connection: deliveries.delivered(connection, claim, now))

    def failed(self, claim: Claim, reason: str, now: float, next_attempt_at: float | None) -> None:
        """The sink did not take the alert: try again at `next_attempt_at`, or never (None, a dead letter).

        Changes nothing when the claim ran out and another try has begun since.
        """
        write(self._engine, lambda connection: deliveries.failed(connection, claim, reason, now, next_attempt_at))

    def release(self, routes: Sequence[Route], now: float, per_minute: int) -> int:
        """Let go what a mute or a storm held back until `now` (unix seconds), and sum up the storm.

        Returns:
            How many alerts have their deliveries now.
        """
        if read(self._engine, lambda connection: holding.is_waiting(connection) or storm.is_raging(connection)):
            return write(self._engine, lambda connection: storm.release(connection, routes, now, per_minute))
        return 0

    def mute(self, new: Mute) -> Mute:
        """Store the mute, whose number is given here; returns it as stored."""
        return write(self._engine, lambda connection: mutes.mute(connection, new))

    def unmute(self, camera_id: str | None, rule: str | None, now: float) -> list[Mute]:
        """End at `now` (unix seconds) the mutes of that camera and rule, None: of any; returns those that it ended."""
        return write(self._engine, lambda connection: mutes.unmute(connection, camera_id, rule, now))

    def mutes(self, now: float) -> list[Mute]:
        """The mutes that hold at `now` (unix seconds), the first to end first."""
        return read(self._engine, lambda connection: mutes.active(connection, now))

    def episodes(self, wanted: Wanted, limit: int) -> list[EpisodeView]:
        """The episodes that are wanted: the open ones first, then by their last change, the newest first."""
        return read(self._engine, lambda connection: desk.listed(connection, wanted, limit))

    def untold_episodes(self, camera_id: str) -> set[str]:
        """The camera's episodes that the sinks were not told of: muted, or waiting for room."""
        return read(self._engine, lambda connection: desk.untold(connection, camera_id))

    def episodes_begun_with(self, prefix: str) -> list[str]:
        """Some of the identifiers of episodes that begin so, in order."""
        return read(self._engine, lambda connection: desk.begun_with(connection, prefix))

    def detail(self, episode_id: str) -> Detail:
        """All that is known of an episode that is there."""
        return read(self._engine, lambda connection: desk.detail(connection, episode_id))

    def recorded_since(self, since: float, limit: int) -> list[AlertView]:
        """The newest alerts that were stored then (unix seconds) or later, oldest first, without their deliveries."""
        return read(self._engine, lambda connection: desk.followed(connection, since, limit))

    def acknowledge(
        self, episode_id: str, routes: Sequence[Route], now: float, *, by: str, note: str | None
    ) -> Alert | None:
        """Note that somebody has seen to an episode that is there, and tell the sinks; what it held back goes first.

        Returns:
            The alert that tells of it; None, and nothing has changed, when the episode is over or was acknowledged at
            its present severity before.
        """
        return write(
            self._engine,
            lambda connection: desk.acknowledge(connection, episode_id, routes, now, by=by, note=note),
        )

    def dead_letters(self, episode_id: str | None = None) -> list[DeliveryView]:
        """The deliveries that were given up, of one episode or of all, the longest ago first."""
        return read(self._engine, lambda connection: desk.dead(connection, episode_id))

    def retry(self, episode_id: str | None, now: float) -> int:
        """Have deliveries that were given up tried anew from `now` on, of one episode or of all; returns how many."""
        return write(self._engine, lambda connection: desk.retry(connection, episode_id, now))

    def backlog(self, now: float, dead_within_s: float = 86_400.0) -> Backlog:
        """What health looks at; `dead` counts the deliveries given up in the last `dead_within_s` seconds."""
        return read(self._engine, lambda connection: deliveries.backlog(connection, now, dead_within_s))


def open_store(url: str) -> Store:
    """The store at a SQLAlchemy URL: `sqlite:///<file>`, `postgresql://…`, `mysql://…` or `mariadb://…`.

    Connects when first used. A process that forks must open its stores afterwards, in the children.

    Raises:
        ConfigError: the URL is malformed, of another database, or its driver is not installed.
    """
    return Store(make_engine(url))
