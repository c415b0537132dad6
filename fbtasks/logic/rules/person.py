"""Somebody is in the box when nobody should be."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from fbtasks.hours import Hours
from fbtasks.logic.localtime import within
from fbtasks.logic.rules.base import CameraRule, Evidence, Single, duration
from fbtasks.logic.scene import Judged, Scene


class Person(Single, CameraRule):
    """When persons are expected.

    A person in the stable at night is what an owner wants to know of (arXiv 2510.17409 counts it among the events of a
    monitored stall); the hours and figures are ours. Ten seconds let pass whoever walks by or looks in. Models of the
    size used here take a rug on a hook for a person at times, but hardly ever surely: hence two confidences.
    """

    name: ClassVar[str] = "person"

    allowed: list[Hours] = Field(["06:00-20:00"], description="hours of the day in which persons are expected")
    confidence: float = Field(0.5, ge=0, le=1, description="how sure the model must be to begin with")
    keep_confidence: float = Field(0.3, ge=0, le=1, description="how sure it must stay")
    for_s: float = Field(10.0, ge=0, le=86_400, description="seconds that somebody must have been there")
    clear_after_s: float = Field(60.0, ge=0, le=86_400, description="seconds without a person that end an alert")

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.keep_confidence > self.confidence:
            raise ValueError("keep_confidence must not be above confidence")
        return self

    @property
    def condition(self) -> str:
        return f"somebody is in the box outside {' and '.join(self.allowed)}"

    def judge(self, seen: Scene, *, raised: bool) -> bool | None:
        if seen.blind is not None:
            return None
        if within(self.allowed, seen.at, seen.zone):
            return False
        least = self.keep_confidence if raised else self.confidence
        return any(one.track.sighting.confidence >= least for one in _persons(seen))

    def evidence(self, seen: Scene) -> Evidence:
        persons = _persons(seen)
        surest = max((one.track.sighting.confidence for one in persons), default=None)
        return {"persons": float(len(persons)), "confidence": surest}

    def raised_message(self, camera_id: str, held_s: float, seen: Scene) -> str:
        return f"{camera_id}: somebody has been in the box for {duration(held_s)}, outside the hours for that"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"{camera_id}: nobody is in the box any more who should not be, after {duration(held_s)}"


def _persons(seen: Scene) -> list[Judged]:
    return [one for one in seen.judged if one.track.kind == "person"]
