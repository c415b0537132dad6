"""The tables. `fbtasks.logic.migrations` makes them; a test keeps the two equal."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Case,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    case,
)
from sqlalchemy.sql import ColumnElement

from fbtasks.alert import Alert

# MySQL compares text without regard to case unless told otherwise: cameras `A` and `a` would be one.
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

ERROR_LENGTH = NOTE_LENGTH = 500
NAME_LENGTH = 64
REASON_LENGTH = 200

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
    Column("acknowledged_at", Double, comment="at its present severity; unix seconds, as of this machine"),
    Column("acknowledged_by", String(NAME_LENGTH)),
    Column("note", String(NOTE_LENGTH), comment="of the acknowledgement"),
    Column("held_by", String(16), comment="mute or storm: why it is or was held back; null: it never was"),
    Column("held_at", Double, comment="since when"),
    Column("told_at", Double, comment="when its raise was let go to the sinks; null: not yet, or never"),
    Index("ix_episodes_camera_state", "camera_id", "state"),
    Index("ix_episodes_told", "told_at"),
    **_OPTIONS,
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("episode_id", String(36), ForeignKey("episodes.id", name="fk_alerts_episode"), nullable=False),
    Column("number", Integer, nullable=False),  # see `stored_number`
    Column("event", String(16), nullable=False),
    Column("camera_id", String(64), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("at", Double, nullable=False),
    Column("payload", JSON, nullable=False, comment="the alert as every sink is sent it"),
    Column("recorded_at", Double, nullable=False),
    Column("kept", String(16), comment="held: not delivered yet; withheld: never delivered; null: neither"),
    UniqueConstraint("episode_id", "number", name="uq_alerts_episode_number"),
    Index("ix_alerts_at", "at"),
    Index("ix_alerts_recorded", "recorded_at"),
    Index("ix_alerts_kept", "kept"),
    **_OPTIONS,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("alert_id", String(64), ForeignKey("alerts.id", name="fk_deliveries_alert"), primary_key=True),
    Column("sink", String(32), primary_key=True),
    Column("episode_id", String(36), nullable=False),
    Column("number", Integer, nullable=False),
    Column(
        "state",
        String(16),
        nullable=False,
        comment="pending, held for its sink, delivered, dead, or skipped: not wanted any more",
    ),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Double, nullable=False, comment="not tried before; a claim moves it past its lease"),
    Column("first_attempt_at", Double),
    Column("ended_at", Double, comment="when it was delivered or given up"),
    Column("last_error", String(ERROR_LENGTH)),
    UniqueConstraint("episode_id", "sink", "number", name="uq_deliveries_episode_sink_number"),
    Index("ix_deliveries_state_due", "state", "due_at"),
    **_OPTIONS,
)

mutes = Table(
    "mutes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("camera_id", String(64), comment="null: all cameras"),
    Column("rule", String(64), comment="null: all rules"),
    Column("even_critical", Boolean, nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False, comment="moved to the present by an unmute"),
    Column("muted_by", String(NAME_LENGTH), nullable=False),
    Index("ix_mutes_until", "until"),
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

cameras = Table(
    "cameras",
    metadata,
    Column("camera_id", String(64), primary_key=True),
    Column("horse", String(NAME_LENGTH), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("added_at", Double, nullable=False, comment="when it was first seen in the settings"),
    Column("changed_at", Double, nullable=False),
    Column("removed_at", Double, comment="null: it is in the settings"),
    **_OPTIONS,
)

camera_status = Table(
    "camera_status",
    metadata,
    Column("camera_id", String(64), primary_key=True),
    Column("at", Double, primary_key=True, comment="when it was told"),
    Column("state", String(16), primary_key=True),
    Column("since", Double, nullable=False, comment="when it came into this state"),
    Column("reason", String(REASON_LENGTH), nullable=False),
    Column("producer", String(255), nullable=False, comment="host that told"),
    Index("ix_camera_status_at", "at"),
    **_OPTIONS,
)


def storable(text: str, length: int) -> str:
    """The text, cut to `length`, without what no database takes in a text: zero bytes, and halves of characters."""
    return text.replace("\0", "").encode(errors="replace").decode()[:length]


def stored_number(alert: Alert) -> int:
    """What stands for `alert.number` in the tables: an acknowledgement shares its number with what it answers."""
    return -1 - alert.number if alert.event == "acknowledged" else alert.number


def place(number: ColumnElement[int]) -> Case[float]:
    """Where a stored number stands within its episode: an acknowledgement comes right after what it answers."""
    return case((number < 0, -number - 0.5), else_=number)
