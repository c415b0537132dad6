"""The cameras that there are and were, so that what is told of one can be understood when it is gone."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from fbtasks.logic.store.metrics import insert_new
from fbtasks.logic.store.schema import NAME_LENGTH, cameras, storable


class KnownCamera(msgspec.Struct, frozen=True):
    """A camera as the store knows it.

    Attributes:
        id, horse, enabled: as in the settings.
        added_at: when it was first seen there, unix seconds.
        changed_at: when one of these last changed.
        removed_at: since when it is not there any more; None while it is.
    """

    id: str
    horse: str
    enabled: bool
    added_at: float
    changed_at: float
    removed_at: float | None


def record_cameras(connection: Connection, present: Iterable[tuple[str, str, bool]], now: float) -> int:
    """See `Store.record_cameras`."""
    wanted = {camera_id: _facts(horse, enabled) for camera_id, horse, enabled in present}
    known = {camera.id: camera for camera in known_cameras(connection)}
    changed = 0
    for camera_id in sorted(wanted.keys() | known.keys()):
        facts, before = wanted.get(camera_id), known.get(camera_id)
        if before is None:
            row = {"camera_id": camera_id, "added_at": now, "changed_at": now, **(facts or {})}
            connection.execute(insert_new(connection, cameras), [row])
        elif facts is None and before.removed_at is None:
            _change(connection, camera_id, {"removed_at": now})
        elif facts is not None and (facts, None) != (_facts(before.horse, before.enabled), before.removed_at):
            _change(connection, camera_id, {**facts, "changed_at": now, "removed_at": None})
        else:
            continue
        changed += 1
    return changed


def known_cameras(connection: Connection) -> list[KnownCamera]:
    """See `Store.known_cameras`."""
    rows = connection.execute(select(cameras).order_by(cameras.c.camera_id)).mappings()
    return [KnownCamera(row["camera_id"], *(row[name] for name in KnownCamera.__struct_fields__[1:])) for row in rows]


def _facts(horse: str, enabled: bool) -> dict[str, Any]:
    return {"horse": storable(horse, NAME_LENGTH), "enabled": enabled}


def _change(connection: Connection, camera_id: str, values: dict[str, Any]) -> None:
    connection.execute(update(cameras).where(cameras.c.camera_id == camera_id).values(values))
