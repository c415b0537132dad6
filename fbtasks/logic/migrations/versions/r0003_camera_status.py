"""What happened to the cameras."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Make the table; MySQL commits each step by itself, so each can be done again."""
    op.create_table(
        "camera_status",
        sa.Column("camera_id", sa.String(64), primary_key=True),
        sa.Column("at", sa.Double, primary_key=True, comment="when it was told"),
        sa.Column("state", sa.String(16), primary_key=True),
        sa.Column("since", sa.Double, nullable=False, comment="when it came into this state"),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("producer", sa.String(255), nullable=False, comment="host that told"),
        if_not_exists=True,
        **_OPTIONS,
    )
    known = sa.inspect(op.get_bind()).get_indexes("camera_status")
    if not any(index["name"] == "ix_camera_status_at" for index in known):
        op.create_index("ix_camera_status_at", "camera_status", ["at"])
