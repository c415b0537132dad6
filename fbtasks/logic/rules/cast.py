"""The horse lies against a wall and cannot get up."""

from typing import ClassVar

from pydantic import Field

from fbtasks.alert import Severity
from fbtasks.logic.rules.base import Evidence, Single, TrackRule, duration
from fbtasks.logic.scene import Judged


class Cast(Single, TrackRule):
    """Down, at the wall, struggling again and again, and not up: a horse that is cast needs people at once.

    Experimental and off by default. StableGuard and FirstBreath tell of cast horses and publish no figures; these are
    ours and have been tried on drawn horses only. The wall is taken to be where the picture ends, which holds for a
    camera that shows the whole box and no more.
    """

    name: ClassVar[str] = "cast"

    enabled: bool = Field(False, description="whether the rule is applied at all; experimental")
    wall_margin: float = Field(
        0.05, ge=0, le=0.5, description="a box that ends so near the picture's border, as a share of it, is at the wall"
    )
    bouts: int = Field(3, ge=1, le=32, description="struggles within ten minutes that make a horse cast")
    for_s: float = Field(20.0, ge=0, le=86_400, description="seconds that all this must have held")
    severity: Severity = Field("critical", description="note, info, warning or critical")

    @property
    def condition(self) -> str:
        return f"a horse lies at the wall and has struggled {self.bouts} times within ten minutes"

    def judge(self, seen: Judged, *, raised: bool) -> bool | None:
        if seen.reading.posture == "unknown":
            return None
        if seen.reading.posture == "standing":
            return False
        # Once told, only getting up or a long quiet ends it: an exhausted horse is as cast as before.
        return seen.gait.bouts > 0 if raised else seen.gait.bouts >= self.bouts and self._at_the_wall(seen)

    def _at_the_wall(self, seen: Judged) -> bool:
        left, top, right, bottom = seen.track.sighting.xyxy
        width, height = seen.picture
        nearest = min(left / width, top / height, 1 - right / width, 1 - bottom / height)
        return nearest <= self.wall_margin

    def evidence(self, seen: Judged) -> Evidence:
        return {"posture": seen.reading.posture, "bouts": float(seen.gait.bouts)}

    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str:
        return f"Horse in {camera_id} may be cast: it lies at the wall and has struggled {seen.gait.bouts} times"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"Horse in {camera_id} is up again or lies quietly, after {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"Horse in {camera_id} may be cast and has not been seen for {duration(self.lost_clear_after_s)}"
