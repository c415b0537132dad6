"""Nobody has looked after the box for hours: an example of a rule in a package of its own."""

from typing import ClassVar

from pydantic import Field

from fbtasks.hours import Hours
from fbtasks.logic.rules.base import CameraRule, Evidence, Single, duration
from fbtasks.logic.scene import Scene


class Unattended(Single, CameraRule):
    """How long a box may be without a person in the picture, by day. The figures are an example."""

    name: ClassVar[str] = "unattended"

    active: list[Hours] = Field(["07:00-19:00"], description="hours of the day in which it raises alerts")
    confidence: float = Field(0.4, ge=0, le=1, description="how sure the model must be of a person")
    for_s: float = Field(14_400.0, ge=0, le=86_400, description="seconds without a person")
    clear_after_s: float = Field(5.0, ge=0, le=86_400, description="seconds with a person that end an alert")

    @property
    def condition(self) -> str:
        return "nobody has been at the box"

    def judge(self, seen: Scene, *, raised: bool) -> bool | None:
        if seen.blind is not None:
            return None
        return self._persons(seen) == 0

    def evidence(self, seen: Scene) -> Evidence:
        return {"persons": float(self._persons(seen))}

    def raised_message(self, camera_id: str, held_s: float, seen: Scene) -> str:
        return f"{camera_id}: nobody has been at the box for {duration(held_s)}"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"{camera_id}: somebody is at the box again, after {duration(held_s)}"

    def _persons(self, seen: Scene) -> int:
        tracks = [one.track for one in seen.judged if one.track.kind == "person"]
        return sum(track.sighting.confidence >= self.confidence for track in tracks)
