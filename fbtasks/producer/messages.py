"""What the producer and its reader processes tell each other.

The producer sends `Setup`, then whenever it changes the list of the cameras that are to be read, and None for the end,
which the end of the connection means too. A reader sends a `ReaderReport` several times a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fbtasks.health import CameraReport
from fbtasks.producer.status import Status
from fbtasks.settings import (
    CameraSettings,
    EvidenceSettings,
    FramesSettings,
    GpuSettings,
    LogSettings,
    ProducerSettings,
    RedisSettings,
)

Order = Sequence[CameraSettings] | None


@dataclass(frozen=True, slots=True)
class Setup:
    """What of the settings a reader needs.

    Attributes:
        evidence: which frames are kept for the alerts too.
    """

    producer: ProducerSettings
    gpu: GpuSettings
    frames: FramesSettings
    redis: RedisSettings
    frames_url: str
    evidence: EvidenceSettings
    log: LogSettings


@dataclass(frozen=True, slots=True)
class ReaderReport:
    """What a reader has done.

    Attributes:
        counters: totals since its start, as in `fbtasks.health.Report`.
        backlog: frames in the list after its last push.
        last_push_at: when Redis last took frames of it, unix seconds.
        cameras: those that it reads, by id.
        overdue_s: by how many seconds a call for a camera is over its limit; only those that are.
        changes: the statuses that cameras have come into since the report before, in their order.
    """

    counters: Mapping[str, int] = field(default_factory=dict)
    backlog: int = 0
    last_push_at: float | None = None
    cameras: Mapping[str, CameraReport] = field(default_factory=dict)
    overdue_s: Mapping[str, float] = field(default_factory=dict)
    changes: Sequence[tuple[str, Status]] = ()


def is_same_stream(one: CameraSettings, other: CameraSettings) -> bool:
    """Whether a camera with these settings is read alike."""
    return (one.url, one.fps, one.min_fps, one.decode, one.motion_gate) == (
        other.url,
        other.fps,
        other.min_fps,
        other.decode,
        other.motion_gate,
    )
