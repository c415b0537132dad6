"""Deliveries that are held for their sink, or not wanted any more: the column's comment names these states too."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Change the comment. SQLite keeps none."""
    if op.get_bind().dialect.supports_comments:
        op.alter_column(
            "deliveries",
            "state",
            existing_type=sa.String(16),
            existing_nullable=False,
            comment="pending, held for its sink, delivered, dead, or skipped: not wanted any more",
        )
