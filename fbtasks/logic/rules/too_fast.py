"""The horse moves faster than a stall has room for."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from fbtasks.logic.rules.base import Evidence, Single, TrackRule, duration
from fbtasks.logic.scene import Judged

STILL_TOO_FAST = 0.85
"""Times the limit: what has reached it is not believed to be slower at once. A fast walk is at 0.75 of the default."""


class TooFast(Single, TrackRule):
    """How fast a horse may move, in body lengths: pixels per second depend on the camera, body lengths do not.

    The thresholds are ours. A horse is about 2.4 m long and walks at 1.4 to 1.8 m/s, so a free walk is 0.6 to 0.75 body
    lengths per second and a trot begins above 1.2. Movement towards the camera is not measured, and a horse seen from
    its front is read up to 1.5 times too fast. A horse that gallops round a paddock comes towards the camera or turns
    every few seconds, and is then read too slow, or lost, for a moment (0.5 to 1 s, simulated): hence `bridge_s`.
    """

    name: ClassVar[str] = "too_fast"
    lapse_s: ClassVar[float] = 1.5

    body_lengths_per_s: float = Field(1.0, gt=0, le=20, description="speed from which the horse is too fast")
    calm_body_lengths_per_s: float = Field(0.6, gt=0, le=20, description="speed below which it has calmed down")
    for_s: float = Field(2.0, ge=0, le=3600, description="seconds that it must have been too fast")
    bridge_s: float = Field(
        1.5, ge=0, le=600, description="longest time of seeming slower, or of not knowing, that counts as too fast"
    )
    clear_after_s: float = Field(10.0, ge=0, le=86_400, description="seconds of calm that end an alert")
    cooldown_s: float = Field(
        300.0, ge=0, le=86_400, description="seconds after a clear in which it is not raised again"
    )

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.calm_body_lengths_per_s > self.body_lengths_per_s:
            raise ValueError("calm_body_lengths_per_s must not be above body_lengths_per_s")
        return self

    @property
    def condition(self) -> str:
        return f"a horse moves at {self.body_lengths_per_s:g} body lengths per second or faster"

    def judge(self, seen: Judged, *, raised: bool) -> bool | None:
        speed = seen.reading.speed_bl_s
        if speed is None:
            return None
        return speed >= (self.calm_body_lengths_per_s if raised else self.body_lengths_per_s)

    def judge_pending(self, seen: Judged) -> bool | None:
        speed = seen.reading.speed_bl_s
        return None if speed is None else speed >= STILL_TOO_FAST * self.body_lengths_per_s

    def evidence(self, seen: Judged) -> Evidence:
        return {"speed_bl_s": seen.reading.speed_bl_s, "speed_px_s": seen.reading.speed_px_s}

    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str:
        speed = seen.reading.speed_bl_s or 0.0
        return f"Horse in {camera_id} is moving at {speed:.1f} body lengths per second, for {duration(held_s)} now"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"Horse in {camera_id} has calmed down after moving too fast for {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"Horse in {camera_id} moved too fast and has not been seen for {duration(self.lost_clear_after_s)}"
