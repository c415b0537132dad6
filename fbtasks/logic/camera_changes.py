"""Moves what happened to cameras from Redis into the store."""

from fbtasks.camera_history import CameraHistory
from fbtasks.logic.store import Store

AT_ONCE = 500


def store_changes(history: CameraHistory, store: Store) -> int:
    """Store the oldest changes and only then take them from Redis; whoever does the same at the same time does no harm.

    Returns:
        How many there were.

    Raises:
        StoreUnavailable: the database is away; the changes stay where they are.
    """
    entries = history.peek(AT_ONCE)
    if entries:
        store.record_camera_changes([change for _, change in entries if change is not None])
        history.remove([identifier for identifier, _ in entries])
    return len(entries)
