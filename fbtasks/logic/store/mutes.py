"""Who has muted what, and until when."""

from sqlalchemy import Connection, RowMapping, insert, select, update

from fbtasks.logic.attention import Mute
from fbtasks.logic.store.schema import NAME_LENGTH, storable
from fbtasks.logic.store.schema import mutes as table

_columns = table.c


def mute(connection: Connection, new: Mute) -> Mute:
    """See `Store.mute`."""
    values = {
        "camera_id": new.camera_id,
        "rule": new.rule,
        "even_critical": new.even_critical,
        "since": new.since,
        "until": new.until,
        "muted_by": storable(new.by, NAME_LENGTH),
    }
    key = connection.execute(insert(table).values(values)).inserted_primary_key
    assert key is not None
    return _mute(connection.execute(select(table).where(_columns.id == key[0])).mappings().one())


def unmute(connection: Connection, camera_id: str | None, rule: str | None, now: float) -> list[Mute]:
    """See `Store.unmute`."""
    ended = [one for one in active(connection, now) if camera_id in (None, one.camera_id) and rule in (None, one.rule)]
    connection.execute(update(table).where(_columns.id.in_([one.id for one in ended])).values(until=now))
    return ended


def active(connection: Connection, now: float) -> list[Mute]:
    """See `Store.mutes`."""
    rows = connection.execute(select(table).where(_columns.until > now).order_by(_columns.until, _columns.id))
    return [_mute(row) for row in rows.mappings()]


def _mute(row: RowMapping) -> Mute:
    return Mute(
        id=row["id"],
        camera_id=row["camera_id"],
        rule=row["rule"],
        since=row["since"],
        until=row["until"],
        even_critical=row["even_critical"],
        by=row["muted_by"],
    )
