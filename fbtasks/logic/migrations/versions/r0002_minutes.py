"""Minutes and nights.

MySQL commits each CREATE by itself, so a run that was killed leaves a part behind; every step can be done again.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Make the tables."""
    _create_minutes()
    _create_nights()


def _create_minutes() -> None:
    op.create_table(
        "minutes",
        sa.Column("camera_id", sa.String(64), primary_key=True),
        sa.Column("track_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="0: the camera as a whole"),
        sa.Column(
            "minute", sa.BigInteger, primary_key=True, autoincrement=False, comment="unix seconds of its beginning"
        ),
        sa.Column("whose", sa.String(16), nullable=False, comment="camera, animal or person"),
        sa.Column("standing_s", sa.Double, nullable=False),
        sa.Column("lying_s", sa.Double, nullable=False),
        sa.Column("unknown_s", sa.Double, nullable=False, comment="seen, posture not known"),
        sa.Column("unseen_s", sa.Double, nullable=False, comment="watched, not seen"),
        sa.Column("blind_s", sa.Double, nullable=False),
        sa.Column("distance_bl", sa.Double, nullable=False, comment="body lengths"),
        sa.Column("mean_speed_bl_s", sa.Double),
        sa.Column("speed_s", sa.Double, nullable=False, comment="seconds in which the speed was known"),
        sa.Column("max_speed_bl_s", sa.Double, nullable=False),
        sa.Column("agitation_bl_s", sa.Double, comment="mean"),
        sa.Column("agitation_s", sa.Double, nullable=False, comment="seconds in which it was known"),
        sa.Column("lay_down", sa.Integer, nullable=False),
        sa.Column("rose", sa.Integer, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
    # MySQL alone has no CREATE INDEX IF NOT EXISTS.
    if not any(index["name"] == "ix_minutes_minute" for index in sa.inspect(op.get_bind()).get_indexes("minutes")):
        op.create_index("ix_minutes_minute", "minutes", ["minute"])


def _create_nights() -> None:
    op.create_table(
        "nights",
        sa.Column("camera_id", sa.String(64), primary_key=True),
        sa.Column("night", sa.String(10), primary_key=True, comment="the day on which it begins, as 2026-11-21"),
        sa.Column("report", sa.JSON, nullable=False),
        sa.Column("written_at", sa.Double, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
