"""Episodes, alerts, deliveries.

MySQL commits each CREATE by itself, so a run that was killed leaves a part behind; every step can be done again.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Make the tables."""
    _create_episodes()
    _create_alerts()
    _create_deliveries()


def _create_episodes() -> None:
    op.create_table(
        "episodes",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("camera_id", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("track_id", sa.BigInteger),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, comment="open or cleared"),
        sa.Column("last_number", sa.Integer, nullable=False, comment="number of its newest alert"),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("cleared_at", sa.Double),
        if_not_exists=True,
        **_OPTIONS,
    )
    _create_index("ix_episodes_camera_state", "episodes", ["camera_id", "state"])


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("episode_id", sa.String(36), sa.ForeignKey("episodes.id", name="fk_alerts_episode"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("camera_id", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False, comment="the alert as every sink is sent it"),
        sa.Column("recorded_at", sa.Double, nullable=False),
        sa.UniqueConstraint("episode_id", "number", name="uq_alerts_episode_number"),
        if_not_exists=True,
        **_OPTIONS,
    )
    _create_index("ix_alerts_at", "alerts", ["at"])


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("alert_id", sa.String(64), sa.ForeignKey("alerts.id", name="fk_deliveries_alert"), primary_key=True),
        sa.Column("sink", sa.String(32), primary_key=True),
        sa.Column("episode_id", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False, comment="pending, delivered or dead"),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Double, nullable=False, comment="not tried before; a claim moves it past its lease"),
        sa.Column("first_attempt_at", sa.Double),
        sa.Column("ended_at", sa.Double, comment="when it was delivered or given up"),
        sa.Column("last_error", sa.String(500)),
        sa.UniqueConstraint("episode_id", "sink", "number", name="uq_deliveries_episode_sink_number"),
        if_not_exists=True,
        **_OPTIONS,
    )
    _create_index("ix_deliveries_state_due", "deliveries", ["state", "due_at"])


def _create_index(name: str, table: str, columns: list[str]) -> None:
    """MySQL alone has no CREATE INDEX IF NOT EXISTS."""
    if not any(index["name"] == name for index in sa.inspect(op.get_bind()).get_indexes(table)):
        op.create_index(name, table, columns)
