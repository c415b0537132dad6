"""The camera shows nothing: nobody is watching the box."""

from typing import ClassVar

from pydantic import Field

from fbtasks.logic.localtime import clock_text
from fbtasks.logic.rules.base import AfterSeconds, CameraRule, Evidence, Graded, duration
from fbtasks.logic.scene import Blindness, Scene


class CameraBlind(Graded, CameraRule):
    """How long a box may go unwatched.

    The figures are ours. Users of other systems complain most of a camera that was dead for hours and of nobody being
    told. Thirty seconds outlast a reconnection, which takes about ten. Without pictures no other rule can speak, so
    after two minutes this is as grave as what they would have to tell.
    """

    name: ClassVar[str] = "camera_blind"
    max_gap_s: ClassVar[float] = 60.0
    """Beat tells of a silence every two seconds; when it told nothing for longer, the site itself was down."""

    warning_after_s: AfterSeconds = Field(
        30.0, description="seconds without a picture that are a warning; false: never"
    )
    critical_after_s: AfterSeconds = Field(
        120.0, description="seconds without a picture that are critical; false: never"
    )
    first_picture_after_s: float = Field(
        300.0, ge=0, le=86_400, description="seconds in which a camera that never gave a picture is not told of"
    )
    clear_after_s: float = Field(10.0, ge=0, le=86_400, description="seconds of pictures that end an alert")
    cooldown_s: float = Field(
        0.0, ge=0, le=86_400, description="seconds after a clear in which only a higher severity is raised again"
    )

    @property
    def condition(self) -> str:
        return "the camera shows nothing of its box"

    def judge(self, seen: Scene, *, raised: bool) -> bool | None:
        if seen.blind is None:
            return False
        if seen.blind.never and not raised and seen.at - seen.blind.since < self.first_picture_after_s:
            return None
        return True

    def began_at(self, seen: Scene) -> float:
        return _known(seen).since

    def evidence(self, seen: Scene) -> Evidence:
        if seen.blind is None:
            return {}
        last_picture_at = None if seen.blind.never else seen.blind.since
        return {"reason": seen.blind.reason or "unknown", "last_picture_at": last_picture_at}

    def raised_message(self, camera_id: str, held_s: float, seen: Scene) -> str:
        return f"{camera_id}: {_what(_known(seen), seen)}; nobody is watching this box"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"{camera_id}: the camera shows the box again, after {duration(held_s)} without"


def _known(seen: Scene) -> Blindness:
    if seen.blind is None:
        raise ValueError("the camera is not blind")
    return seen.blind


def _what(blind: Blindness, seen: Scene) -> str:
    since = clock_text(blind.since, seen.at, seen.zone)
    if blind.pictures:
        return f"nothing to be seen in the camera's pictures ({blind.reason}) since {since}"
    if blind.never:
        return f"no picture from the camera yet, expected since {since}"
    return f"no pictures from the camera since {since}"
