"""What happened to the cameras: a row for each change, written once."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from fbtasks.camera_history import CameraChange
from fbtasks.logic.store.metrics import insert_new
from fbtasks.logic.store.schema import REASON_LENGTH, camera_status, storable

_COLUMNS = ("camera_id", "at", "state", "since", "reason", "producer")


def record_changes(connection: Connection, changes: Sequence[CameraChange]) -> None:
    """See `Store.record_camera_changes`."""
    rows = [{name: getattr(change, name) for name in _COLUMNS} for change in changes]
    # In the order of their keys, as everybody does it: two calls never wait for each other in a circle.
    rows.sort(key=lambda row: (row["camera_id"], row["at"], row["state"]))
    for row in rows:
        row["reason"] = storable(row["reason"], REASON_LENGTH)
    connection.execute(insert_new(connection, camera_status), rows)


def changes_between(connection: Connection, camera_id: str, since: float, until: float) -> list[CameraChange]:
    """See `Store.camera_changes_between`."""
    columns = camera_status.c
    within = (columns.camera_id == camera_id) & (columns.at >= since) & (columns.at < until)
    rows = connection.execute(select(camera_status).where(within).order_by(columns.at)).mappings()
    return [CameraChange(**{name: row[name] for name in _COLUMNS}) for row in rows]


def forget_changes(connection: Connection, before: float) -> int:
    """See `Store.forget_camera_changes`."""
    return connection.execute(delete(camera_status).where(camera_status.c.at < before)).rowcount
