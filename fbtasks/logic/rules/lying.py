"""The horse is lying down, for longer than it should."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from fbtasks.logic.motion import Corners
from fbtasks.logic.rules.base import AfterSeconds, Evidence, Graded, TrackRule, duration
from fbtasks.logic.scene import Judged

PRESETS: dict[str, dict[str, float | bool]] = {
    "tell_me_when": {"note_after_s": 10.0},
    "must_not": {"info_after_s": False, "warning_after_s": 30.0, "critical_after_s": 300.0, "cooldown_s": 0.0},
}

PROBABLY = 0.5
"""A posture is kept until the other one is sure, which takes seconds; of a horse that rises, they are not lying."""


class Lying(Graded, TrackRule):
    """How long a horse may lie.

    About one hour and then up is normal, big sleepers need two (Coho's published guidance for stable cameras). From
    about three hours on the weight of the body harms muscles and lungs, which is also how long surgeons keep a horse
    down (University of Illinois, veterinary college). The defaults leave an hour before that.

    The presets are the two orders of a vet that other systems offer (Novostable, Coho): "tell me when it lies down",
    and "it must not lie", as after some operations. Their figures are ours.

    A horse that lies before and after a short gap, in the same place, lay: to rise and lie down again takes it longer
    than half a minute as a rule, and where it does not, half a minute is all that is wrong. Nor did it stand when it
    seemed to for less than 12 seconds (two wrong pictures in a row, where one comes every two seconds). Both are ours.
    """

    name: ClassVar[str] = "lying"
    lapse_s: ClassVar[float] = 12.0

    preset: Literal["ordinary", "tell_me_when", "must_not"] = Field(
        "ordinary", description="tell_me_when: also as soon as it lies down; must_not: it must not lie at all"
    )
    info_after_s: AfterSeconds = Field(3600.0, description="seconds of lying that are worth knowing; false: never")
    warning_after_s: AfterSeconds = Field(7200.0, description="seconds of lying that are a warning; false: never")
    critical_after_s: AfterSeconds = Field(10_800.0, description="seconds of lying that are critical; false: never")
    bridge_s: float = Field(
        30.0, ge=0, le=600, description="longest time without knowing that counts, when it lies before and after"
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_under_the_rest(cls, values: Any) -> Any:
        """What a vet orders in two words; each key that is written beside the preset still counts."""
        preset = values.get("preset") if isinstance(values, dict) else None
        return PRESETS[preset] | values if isinstance(preset, str) and preset in PRESETS else values

    @property
    def condition(self) -> str:
        return "a horse lies"

    def bridges(self, before: Corners, seen: Judged) -> bool:
        """Whether it still lies where it lay: the middle of its box is within the box of then."""
        x, y = seen.track.sighting.centre
        left, top, right, bottom = before
        return left <= x <= right and top <= y <= bottom

    def judge(self, seen: Judged, *, raised: bool) -> bool | None:
        posture, p_lying = seen.reading.posture, seen.reading.p_lying
        risen = posture == "lying" and p_lying is not None and p_lying < PROBABLY
        return None if posture == "unknown" or risen else posture == "lying"

    def evidence(self, seen: Judged) -> Evidence:
        reading = seen.reading
        return {"posture": reading.posture, "p_lying": reading.p_lying, "coverage": reading.coverage}

    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str:
        return f"Horse in {camera_id} has been lying for {duration(held_s)}"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"Horse in {camera_id} is standing again after lying for {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"Horse in {camera_id} was lying and has not been seen for {duration(self.lost_clear_after_s)}"
