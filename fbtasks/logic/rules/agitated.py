"""The horse is restless in its place: it paces, paws, throws itself about."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from fbtasks.logic.activity import MEMORY_S
from fbtasks.logic.rules.base import Evidence, Single, TrackRule, duration
from fbtasks.logic.scene import Judged


class Agitated(Single, TrackRule):
    """How much a horse may move about, on average (`STRESSED` elsewhere).

    That it takes 30 seconds is what FirstBreath's documentation says; its threshold is not published, and these are
    ours: a horse that walks its box all the time has 0.5 and more. In two clips one that grazed had up to 0.17, one in
    company 0.25, one half hidden by it 0.44. See `fbtasks.logic.activity` for what is measured.

    The mean takes up to its memory to rise from rest: what was lively of that counts, when it comes to the threshold.
    """

    name: ClassVar[str] = "agitated"

    agitation_bl_s: float = Field(
        0.45, gt=0, le=20, description="mean unrest, body lengths per second, from which it is agitated"
    )
    calm_bl_s: float = Field(0.3, gt=0, le=20, description="mean unrest below which it has calmed down")
    for_s: float = Field(30.0, ge=0, le=86_400, description="seconds that it must have been agitated")
    clear_after_s: float = Field(30.0, ge=0, le=86_400, description="seconds of calm that end an alert")

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.calm_bl_s > self.agitation_bl_s:
            raise ValueError("calm_bl_s must not be above agitation_bl_s")
        return self

    @property
    def condition(self) -> str:
        return f"a horse moves about restlessly, {self.agitation_bl_s:g} body lengths per second on average"

    def held_before_s(self, seen: Judged) -> float:
        return min(seen.gait.lively_since_s, MEMORY_S)

    def judge(self, seen: Judged, *, raised: bool) -> bool | None:
        agitation = seen.gait.agitation_bl_s
        return None if agitation is None else agitation >= (self.calm_bl_s if raised else self.agitation_bl_s)

    def evidence(self, seen: Judged) -> Evidence:
        return {"agitation_bl_s": seen.gait.agitation_bl_s}

    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str:
        return f"Horse in {camera_id} has been agitated for {duration(held_s)}"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"Horse in {camera_id} has calmed down after being agitated for {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"Horse in {camera_id} was agitated and has not been seen for {duration(self.lost_clear_after_s)}"
