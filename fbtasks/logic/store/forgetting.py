"""What is so long over that nobody asks for it any more."""

from sqlalchemy import Connection, delete, exists, select

from fbtasks.logic.store.schema import alerts, deliveries, episodes, mutes


def forget_episodes(connection: Connection, before: float, limit: int) -> int:
    """See `Store.forget_episodes`."""
    columns = episodes.c
    undelivered = exists().where(deliveries.c.episode_id == columns.id, deliveries.c.state.in_(["pending", "held"]))
    over = (columns.state == "cleared") & (columns.updated_at < before)
    # Locked first, as by everybody who writes an episode or what belongs to it.
    chosen = select(columns.id).where(over, ~undelivered).order_by(columns.id).limit(limit).with_for_update()
    ids = list(connection.scalars(chosen))
    if ids:
        connection.execute(delete(deliveries).where(deliveries.c.episode_id.in_(ids)))
        connection.execute(delete(alerts).where(alerts.c.episode_id.in_(ids)))
        connection.execute(delete(episodes).where(columns.id.in_(ids)))
    return len(ids)


def forget_mutes(connection: Connection, before: float) -> int:
    """See `Store.forget_mutes`."""
    return connection.execute(delete(mutes).where(mutes.c.until < before)).rowcount
