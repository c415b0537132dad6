"""The horse is lying down, for longer than it should."""

from typing import Annotated, ClassVar, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from fbtasks.alert import Severity
from fbtasks.logic.rules.base import Evidence, Level, Rule, duration
from fbtasks.logic.smoother import Reading


def _or_never(value: object) -> object:
    if value is True:
        raise ValueError("must be a number of seconds, or false for never")
    return None if value is False else value


AfterSeconds = Annotated[Annotated[float, Field(ge=0, le=86_400)] | None, BeforeValidator(_or_never)]
"""Seconds, or None for never; written `false` in a file, because TOML has no null."""


class Lying(Rule):
    """How long a horse may lie.

    About one hour and then up is normal, big sleepers need two (Coho's published guidance for stable cameras). From
    about three hours on the weight of the body harms muscles and lungs, which is also how long surgeons keep a horse
    down (University of Illinois, veterinary college). The defaults leave an hour before that.
    """

    name: ClassVar[str] = "lying"

    info_after_s: AfterSeconds = Field(3600.0, description="seconds of lying that are worth a note; false: never")
    warning_after_s: AfterSeconds = Field(7200.0, description="seconds of lying that are a warning; false: never")
    critical_after_s: AfterSeconds = Field(10_800.0, description="seconds of lying that are critical; false: never")

    @model_validator(mode="after")
    def _levels_rise(self) -> Self:
        times = [level.after_s for level in self.levels]
        if not times:
            raise ValueError("every level is off; write enabled = false to switch the rule off")
        if times != sorted(set(times)):
            raise ValueError("info_after_s, warning_after_s and critical_after_s must rise in this order")
        return self

    @property
    def levels(self) -> tuple[Level, ...]:
        after = {severity: getattr(self, f"{severity}_after_s") for severity in get_args(Severity)}
        return tuple(Level(after_s=s, severity=severity) for severity, s in after.items() if s is not None)

    def judge(self, reading: Reading, *, raised: bool) -> bool | None:
        return None if reading.posture == "unknown" else reading.posture == "lying"

    def evidence(self, reading: Reading) -> Evidence:
        return {"posture": reading.posture, "p_lying": reading.p_lying, "coverage": reading.coverage}

    def raised_message(self, camera_id: str, held_s: float, reading: Reading) -> str:
        return f"Horse in {camera_id} has been lying for {duration(held_s)}"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"Horse in {camera_id} is standing again after lying for {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"Horse in {camera_id} was lying and has not been seen for {duration(self.lost_clear_after_s)}"
