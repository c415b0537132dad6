"""The tables. `fbtasks.logic.migrations` makes them; a test keeps the two equal."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

# MySQL compares text without regard to case unless told otherwise: cameras `A` and `a` would be one.
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

ERROR_LENGTH = 500

metadata = MetaData()

episodes = Table(
    "episodes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("camera_id", String(64), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("track_id", BigInteger),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False, comment="open or cleared"),
    Column("last_number", Integer, nullable=False, comment="number of its newest alert"),
    Column("started_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("cleared_at", Double),
    Index("ix_episodes_camera_state", "camera_id", "state"),
    **_OPTIONS,
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("episode_id", String(36), ForeignKey("episodes.id", name="fk_alerts_episode"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("event", String(16), nullable=False),
    Column("camera_id", String(64), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("at", Double, nullable=False),
    Column("payload", JSON, nullable=False, comment="the alert as every sink is sent it"),
    Column("recorded_at", Double, nullable=False),
    UniqueConstraint("episode_id", "number", name="uq_alerts_episode_number"),
    Index("ix_alerts_at", "at"),
    **_OPTIONS,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("alert_id", String(64), ForeignKey("alerts.id", name="fk_deliveries_alert"), primary_key=True),
    Column("sink", String(32), primary_key=True),
    Column("episode_id", String(36), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False, comment="pending, delivered or dead"),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Double, nullable=False, comment="not tried before; a claim moves it past its lease"),
    Column("first_attempt_at", Double),
    Column("ended_at", Double, comment="when it was delivered or given up"),
    Column("last_error", String(ERROR_LENGTH)),
    UniqueConstraint("episode_id", "sink", "number", name="uq_deliveries_episode_sink_number"),
    Index("ix_deliveries_state_due", "state", "due_at"),
    **_OPTIONS,
)

minutes = Table(
    "minutes",
    metadata,
    Column("camera_id", String(64), primary_key=True),
    Column("track_id", BigInteger, primary_key=True, autoincrement=False, comment="0: the camera as a whole"),
    Column("minute", BigInteger, primary_key=True, autoincrement=False, comment="unix seconds of its beginning"),
    Column("whose", String(16), nullable=False, comment="camera, animal or person"),
    Column("standing_s", Double, nullable=False),
    Column("lying_s", Double, nullable=False),
    Column("unknown_s", Double, nullable=False, comment="seen, posture not known"),
    Column("unseen_s", Double, nullable=False, comment="watched, not seen"),
    Column("blind_s", Double, nullable=False),
    Column("distance_bl", Double, nullable=False, comment="body lengths"),
    Column("mean_speed_bl_s", Double),
    Column("speed_s", Double, nullable=False, comment="seconds in which the speed was known"),
    Column("max_speed_bl_s", Double, nullable=False),
    Column("agitation_bl_s", Double, comment="mean"),
    Column("agitation_s", Double, nullable=False, comment="seconds in which it was known"),
    Column("lay_down", Integer, nullable=False),
    Column("rose", Integer, nullable=False),
    Index("ix_minutes_minute", "minute"),
    **_OPTIONS,
)

nights = Table(
    "nights",
    metadata,
    Column("camera_id", String(64), primary_key=True),
    Column("night", String(10), primary_key=True, comment="the day on which it begins, as 2026-11-21"),
    Column("report", JSON, nullable=False),
    Column("written_at", Double, nullable=False),
    **_OPTIONS,
)
