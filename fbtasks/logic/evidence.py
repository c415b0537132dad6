"""Pictures for alerts, taken from the cameras' newest frames while these are there, and kept in a folder.

Where a picture could be had, a clip may be promised too; see `fbtasks.logic.clips`.

An alert never waits for its picture. The frame is gone after some seconds, Redis may be away, the disk may be full:
then the alert says why it has none. A file is named by its alert. It is written once: when the task is repeated after a
crash, the file that is there already counts, and the alert says the same of it.
"""

import logging
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from fbtasks.alert import SITE, Alert
from fbtasks.errors import BadMessage
from fbtasks.logic.clips import SUFFIX as CLIP_SUFFIX
from fbtasks.logic.clips import wants_clip
from fbtasks.logic.copies import await_copy
from fbtasks.logic.localtime import Zone
from fbtasks.logic.moment import BOX
from fbtasks.logic.motion import Corners
from fbtasks.logic.picture import draw, pictured_at
from fbtasks.redaction import redact
from fbtasks.settings import EvidenceSettings
from fbtasks.transport import REDIS_AWAY, FrameQueue
from fbtasks.wire import CAMERA_ID, Frame, decode_frame

log = logging.getLogger(__name__)

SUFFIX = ".alert.jpg"
MOST_APART_S = 10.0
"""A picture that is further from the moment of its alert shows something else."""
DRAWING_S = 1.0
"""For all alerts that are stored at once; a picture takes some hundredths."""
AWAY_PAUSE_S = 10.0
"""The frames' Redis is not asked again for so long after it failed: each failure may cost its time-out."""
_RULE = re.compile(r"[a-z0-9_]{1,64}")


class Evidence:
    """The folder of pictures. It never fails: what cannot be had is told in the alert.

    Args:
        frames: where the newest pictures are; its Redis should have a short time-out.
        zone: of the times in the captions.
        settings: which alerts have clips, and whether there is a bucket.
    """

    def __init__(self, folder: Path, frames: FrameQueue, zone: Zone, settings: EvidenceSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._frames = frames
        self._zone = zone
        self._away_until = 0.0

    def attach(self, alerts: Sequence[Alert]) -> list[Alert]:
        """The alerts, each with the name of its picture or the reason why there is none."""
        pictures, reason = self._pictures(sorted({alert.camera_id for alert in alerts}))
        deadline = monotonic() + DRAWING_S
        return [
            self._with_picture(alert, pictures.get(alert.camera_id), reason, late=monotonic() >= deadline)
            for alert in alerts
        ]

    def _pictures(self, camera_ids: Sequence[str]) -> tuple[dict[str, bytes], str]:
        """The newest pictures, and why a camera may have none."""
        if monotonic() < self._away_until:
            return {}, "the Redis with the frames was away"
        try:
            return self._frames.pictures(camera_ids), "the camera's last picture was gone"
        except REDIS_AWAY as error:
            log.warning("no pictures for alerts: the Redis with the frames is away (%s)", redact(str(error)))
            self._away_until = monotonic() + AWAY_PAUSE_S
            return {}, "the Redis with the frames was away"

    def _with_picture(self, alert: Alert, message: bytes | None, reason: str, *, late: bool) -> Alert:
        if alert.camera_id == SITE:
            return alert
        name = file_name(alert)
        try:
            if name is None:
                return without_picture(alert, "no file can be named after it")
            at = self._kept(name)
            if at is None:
                if message is None or late:
                    return without_picture(alert, "too many alerts at once" if message else reason)
                at = self._keep(name, alert, decode_frame(message))
        except BadMessage as error:
            return without_picture(alert, str(error))
        except OSError as error:
            return without_picture(alert, f"it could not be written: {error.strerror}")
        if self._settings.s3.bucket:
            await_copy(self._folder, name)
        facts = {"picture_after_s": round(at - alert.at, 3)}
        # A camera whose picture could be had sent some until just now: its film is there as well.
        clip = name.removesuffix(SUFFIX) + CLIP_SUFFIX if wants_clip(alert, self._settings) else None
        return alert.model_copy(update={"picture": name, "clip": clip, "evidence": alert.evidence | facts})

    def _kept(self, name: str) -> float | None:
        """Capture time of the picture that is there already."""
        try:
            return pictured_at((self._folder / name).read_bytes())
        except (FileNotFoundError, BadMessage):
            return None

    def _keep(self, name: str, alert: Alert, frame: Frame) -> float:
        """Draw the picture and write it, whole or not at all; returns its capture time."""
        after_s = frame.captured_at - alert.at
        if abs(after_s) > MOST_APART_S:
            raise BadMessage(f"the camera's newest picture was from {_apart(after_s)}")
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{os.getpid()}.{path.name}")  # with its suffix: left by a kill, it goes in time
        jpeg = draw(frame, _box(alert), alert.severity, self._caption(alert, after_s))
        try:
            unfinished.write_bytes(jpeg)
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        return frame.captured_at

    def _caption(self, alert: Alert, after_s: float) -> list[str]:
        at = datetime.fromtimestamp(alert.at, self._zone)
        moment = "" if abs(after_s) < 0.05 else f", the picture is from {_apart(after_s)}"
        return [alert.message, f"{alert.camera_id}, {alert.rule}, {alert.severity}: {at:%Y-%m-%d %H:%M:%S}{moment}"]


def file_name(alert: Alert) -> str | None:
    """The alert's picture, relative to the folder; None when its texts are none that a file may be named by."""
    if not CAMERA_ID.fullmatch(alert.camera_id) or not _RULE.fullmatch(alert.rule):
        return None
    try:
        day = datetime.fromtimestamp(alert.at, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{day:%Y-%m-%d}/{alert.camera_id}.{alert.rule}.{alert.episode_id}.{alert.number}{SUFFIX}"


def without_picture(alert: Alert, reason: str) -> Alert:
    """The alert, saying why it has no picture."""
    return alert.model_copy(update={"evidence": alert.evidence | {"no_picture": reason}})


def _box(alert: Alert) -> Corners | None:
    left, top, right, bottom = (alert.evidence.get(name) for name in BOX)
    if not (
        isinstance(left, float) and isinstance(top, float) and isinstance(right, float) and isinstance(bottom, float)
    ):
        return None
    return left, top, right, bottom


def _apart(after_s: float) -> str:
    return f"{abs(after_s):.1f} s {'later' if after_s > 0 else 'earlier'}"
