"""Which cameras have gone silent, and what the health reports say of it: what beat's sweep asks."""

from collections.abc import Sequence

from fbtasks.health import HealthBoard, Report
from fbtasks.logic.state import last_captured_at
from fbtasks.mailbox import Mailboxes, Standing
from fbtasks.settings import CameraSettings, Settings
from fbtasks.wire import MAX_REASON, Silence

SILENT_FRAMES = 3
"""A camera that is analysed slowly is not silent before so many frames are missing."""


def silences(settings: Settings, mailboxes: Mailboxes, board: HealthBoard, now: float) -> list[Silence]:
    """What is to be told of the enabled cameras that are silent at `now` (unix seconds).

    A camera is silent when its last decision is too old and nothing waits in its mailbox: where results wait, it is the
    logic that is late. A result that comes after this look makes its silence void, see `Silence.last_captured_at`.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis is away.
    """
    limits = {camera.id: _limit_s(camera, settings) for camera in settings.cameras if camera.enabled}
    standings = mailboxes.standings(list(limits))
    silent = {camera_id: one for camera_id, one in standings.items() if _is_silent(one, limits[camera_id])}
    reports = board.read() if silent else []
    stale_after_s = settings.health.stale_after_s
    return [
        _silence(camera_id, one, why_silent(camera_id, reports, now, stale_after_s), now)
        for camera_id, one in silent.items()
    ]


def why_silent(camera_id: str, reports: Sequence[Report], now: float, stale_after_s: float) -> str:
    """What stands between the camera and the logic, in a few words.

    Args:
        now: unix seconds.
        stale_after_s: a process that has reported nothing for longer is gone.
    """
    live = [report for report in reports if now - report.at <= stale_after_s]
    told = [report.cameras[camera_id] for report in live if camera_id in report.cameras]
    if not told:
        return "no producer reads it"
    camera = max(told, key=lambda one: one.last_frame_at or 0.0)
    if camera.state != "running":
        return f"{camera.state}: {camera.reason}" if camera.reason else camera.state
    if not any(report.role == "gpu" for report in live):
        return "no GPU worker runs"
    return "its pictures do not come through"


def _limit_s(camera: CameraSettings, settings: Settings) -> float:
    return max(settings.logic.silent_after_s, SILENT_FRAMES / (camera.fps or settings.producer.fps))


def _is_silent(standing: Standing, limit_s: float) -> bool:
    return standing.waiting == 0 and (standing.decided_s is None or standing.decided_s > limit_s)


def _silence(camera_id: str, standing: Standing, reason: str, now: float) -> Silence:
    last_at = last_captured_at(standing.state) if standing.state is not None else None
    # By the camera's clock where that can be told: the machine that stamped its pictures need not agree with this one.
    at = now if last_at is None or standing.decided_s is None else last_at + standing.decided_s
    return Silence(camera_id=camera_id, at=at, last_captured_at=last_at, reason=reason[:MAX_REASON])
