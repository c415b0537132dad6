"""Acknowledging, muting, holding back.

MySQL commits each statement by itself, so a run that was killed leaves a part behind; every step can be done again.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Add the columns, make the table."""
    _add_columns(
        "episodes",
        [
            sa.Column(
                "acknowledged_at", sa.Double, comment="at its present severity; unix seconds, as of this machine"
            ),
            sa.Column("acknowledged_by", sa.String(64)),
            sa.Column("note", sa.String(500), comment="of the acknowledgement"),
            sa.Column(
                "held_by", sa.String(16), comment="mute or storm: why it is or was held back; null: it never was"
            ),
            sa.Column("held_at", sa.Double, comment="since when"),
            sa.Column("told_at", sa.Double, comment="when its raise was let go to the sinks; null: not yet, or never"),
        ],
    )
    kept = sa.Column("kept", sa.String(16), comment="held: not delivered yet; withheld: never delivered; null: neither")
    _add_columns("alerts", [kept])
    # What was stored before could not be held back.
    op.execute("UPDATE episodes SET told_at = started_at WHERE told_at IS NULL AND held_at IS NULL")
    _create_mutes()
    _create_index("ix_episodes_told", "episodes", ["told_at"])
    _create_index("ix_alerts_recorded", "alerts", ["recorded_at"])
    _create_index("ix_alerts_kept", "alerts", ["kept"])


def _add_columns(table: str, columns: Sequence[sa.Column[Any]]) -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in there:
            op.add_column(table, column)


def _create_mutes() -> None:
    op.create_table(
        "mutes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("camera_id", sa.String(64), comment="null: all cameras"),
        sa.Column("rule", sa.String(64), comment="null: all rules"),
        sa.Column("even_critical", sa.Boolean, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=False, comment="moved to the present by an unmute"),
        sa.Column("muted_by", sa.String(64), nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
    _create_index("ix_mutes_until", "mutes", ["until"])


def _create_index(name: str, table: str, columns: list[str]) -> None:
    """MySQL alone has no CREATE INDEX IF NOT EXISTS."""
    if not any(index["name"] == name for index in sa.inspect(op.get_bind()).get_indexes(table)):
        op.create_index(name, table, columns)
