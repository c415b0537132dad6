"""Which cameras have gone silent, and what the health reports say of it: what beat's sweep asks.

Where the system is at fault, and not the cameras, none is called silent: that is one alert about the system (see
`fbtasks.logic.system`), not one for each box. The cameras' timers stand still meanwhile.
"""

from collections.abc import Sequence

from fbtasks.health import CameraReport, HealthBoard, Report
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
    if not silent:
        return []
    live = [report for report in board.read() if now - report.at <= settings.health.stale_after_s]
    return [
        _silence(camera_id, silent[camera_id], why_silent(camera_id, live), now)
        for camera_id in at_fault(list(silent), live, all_of_them=len(silent) == len(limits))
    ]


def at_fault(silent: Sequence[str], live: Sequence[Report], *, all_of_them: bool) -> list[str]:
    """Those of the silent cameras that are silent by themselves, and not by a fault of the system.

    Args:
        live: the reports of the processes that run.
        all_of_them: no camera gives results.
    """
    roles = {report.role for report in live}
    if "gpu" not in roles:
        return []
    if not all_of_them:
        return list(silent)
    if "producer" not in roles:
        return []
    # Of the only camera nobody can say whether its pictures are lost by its own fault.
    return [camera_id for camera_id in silent if len(silent) == 1 or not _is_read(camera_id, live)]


def why_silent(camera_id: str, live: Sequence[Report]) -> str:
    """What stands between the camera and the logic, in a few words; `live` as in `at_fault`."""
    told = _told(camera_id, live)
    if not told:
        return "no producer reads it"
    camera = max(told, key=lambda one: one.last_frame_at or 0.0)
    if camera.state != "running":
        return f"{camera.state}: {camera.reason}" if camera.reason else camera.state
    return "its pictures do not come through"


def _is_read(camera_id: str, live: Sequence[Report]) -> bool:
    """Whether a producer gets pictures of the camera."""
    return any(camera.state == "running" for camera in _told(camera_id, live))


def _told(camera_id: str, live: Sequence[Report]) -> list[CameraReport]:
    return [report.cameras[camera_id] for report in live if camera_id in report.cameras]


def _limit_s(camera: CameraSettings, settings: Settings) -> float:
    return max(settings.logic.silent_after_s, SILENT_FRAMES / (camera.fps or settings.producer.fps))


def _is_silent(standing: Standing, limit_s: float) -> bool:
    return standing.waiting == 0 and (standing.decided_s is None or standing.decided_s > limit_s)


def _silence(camera_id: str, standing: Standing, reason: str, now: float) -> Silence:
    last_at = last_captured_at(standing.state) if standing.state is not None else None
    # By the camera's clock where that can be told: the machine that stamped its pictures need not agree with this one.
    at = now if last_at is None or standing.decided_s is None else last_at + standing.decided_s
    return Silence(camera_id=camera_id, at=at, last_captured_at=last_at, reason=reason[:MAX_REASON])
