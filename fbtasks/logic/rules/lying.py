"""The horse is lying down, for longer than it should."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from fbtasks.logic.rules.base import AfterSeconds, Evidence, Graded, TrackRule, duration
from fbtasks.logic.scene import Judged

PRESETS: dict[str, dict[str, float | bool]] = {
    "tell_me_when": {"note_after_s": 10.0},
    "must_not": {"info_after_s": False, "warning_after_s": 30.0, "critical_after_s": 300.0, "cooldown_s": 0.0},
}


class Lying(Graded, TrackRule):
    """How long a horse may lie.

    About one hour and then up is normal, big sleepers need two (Coho's published guidance for stable cameras). From
    about three hours on the weight of the body harms muscles and lungs, which is also how long surgeons keep a horse
    down (University of Illinois, veterinary college). The defaults leave an hour before that.

    The presets are the two orders of a vet that other systems offer (Novostable, Coho): "tell me when it lies down",
    and "it must not lie", as after some operations. Their figures are ours.
    """

    name: ClassVar[str] = "lying"

    preset: Literal["ordinary", "tell_me_when", "must_not"] = Field(
        "ordinary", description="tell_me_when: also as soon as it lies down; must_not: it must not lie at all"
    )
    info_after_s: AfterSeconds = Field(3600.0, description="seconds of lying that are worth knowing; false: never")
    warning_after_s: AfterSeconds = Field(7200.0, description="seconds of lying that are a warning; false: never")
    critical_after_s: AfterSeconds = Field(10_800.0, description="seconds of lying that are critical; false: never")

    @model_validator(mode="before")
    @classmethod
    def _preset_under_the_rest(cls, values: Any) -> Any:
        """What a vet orders in two words; each key that is written beside the preset still counts."""
        preset = values.get("preset") if isinstance(values, dict) else None
        return PRESETS[preset] | values if isinstance(preset, str) and preset in PRESETS else values

    @property
    def condition(self) -> str:
        return "a horse lies"

    def judge(self, seen: Judged, *, raised: bool) -> bool | None:
        return None if seen.reading.posture == "unknown" else seen.reading.posture == "lying"

    def evidence(self, seen: Judged) -> Evidence:
        reading = seen.reading
        return {"posture": reading.posture, "p_lying": reading.p_lying, "coverage": reading.coverage}

    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str:
        return f"Horse in {camera_id} has been lying for {duration(held_s)}"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"Horse in {camera_id} is standing again after lying for {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"Horse in {camera_id} was lying and has not been seen for {duration(self.lost_clear_after_s)}"
