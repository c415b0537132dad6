"""The cameras that there are and were."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "cameras",
        sa.Column("camera_id", sa.String(64), primary_key=True),
        sa.Column("horse", sa.String(64), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("added_at", sa.Double, nullable=False, comment="when it was first seen in the settings"),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("removed_at", sa.Double, comment="null: it is in the settings"),
        if_not_exists=True,
        **_OPTIONS,
    )
