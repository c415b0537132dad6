"""The horse lies down and rises again and again: more often than it usually does."""

from typing import ClassVar

from pydantic import Field

from fbtasks.logic.rules.base import Evidence, Single, TrackRule, duration
from fbtasks.logic.scene import Judged


class Restless(Single, TrackRule):
    """How often a horse may change between lying and standing within an hour.

    Experimental and off by default: a horse with colic lies down, rises and rolls repeatedly (ethogram PMC7931104;
    Front. Pain Res. 2024; the pain scale EAAPS gives attempts to lie down 3 of 5, rolling 4), but nobody has published
    a count; these are ours. A healthy one lies for some two hours of a night (Raabymagle and Ladewig, 2006). Horses
    differ (lying takes 2.7 to 27 % of their day, PMC8002676), so a horse is compared with its own last days once
    enough of them was watched.
    """

    name: ClassVar[str] = "restless"

    enabled: bool = Field(False, description="whether the rule is applied at all; experimental")
    changes_per_h: int = Field(6, ge=2, le=30, description="times down or up within an hour that are too many")
    times_usual: float = Field(3.0, ge=1, le=100, description="and at least so many times what is usual for this horse")
    usual_after_h: float = Field(12.0, ge=0, le=72, description="hours of watching before that is known")
    for_s: float = Field(0.0, ge=0, le=86_400, description="seconds that the condition must have held")
    clear_after_s: float = Field(600.0, ge=0, le=86_400, description="seconds without the condition that end an alert")

    @property
    def condition(self) -> str:
        return f"a horse has lain down or risen {self.changes_per_h} times within an hour"

    def judge(self, seen: Judged, *, raised: bool) -> bool | None:
        usual = seen.history.usual_per_h(3600 * self.usual_after_h)
        least = max(float(self.changes_per_h), self.times_usual * (usual or 0.0))
        return seen.history.changes_of(seen.track.id) >= (least / 2 if raised else least)

    def evidence(self, seen: Judged) -> Evidence:
        usual = seen.history.usual_per_h(3600 * self.usual_after_h)
        return {"changes_in_last_h": float(seen.history.changes_of(seen.track.id)), "usual_per_h": usual}

    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str:
        times = seen.history.changes_of(seen.track.id)
        return f"Horse in {camera_id} has lain down or risen {times} times within an hour"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"Horse in {camera_id} no longer lies down and rises all the time, after {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"Horse in {camera_id}, up and down before, has not been seen for {duration(self.lost_clear_after_s)}"
