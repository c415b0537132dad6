"""The horse is not in its box."""

from typing import ClassVar

from pydantic import Field

from fbtasks.alert import Severity
from fbtasks.hours import Hours
from fbtasks.logic.rules.base import CameraRule, Evidence, Single, duration
from fbtasks.logic.scene import Scene


class Absent(Single, CameraRule):
    """How long a box may be empty.

    An empty box at night is a horse that got out or was taken (Coho tells it too; arXiv 2510.17409). By day horses are
    in the field, hence the hours. The half hour is ours: a horse that lies in the dark is found in few pictures, and
    a box is not called empty while the model has so much as a weak idea of an animal in it (`confidence`), nor when no
    animal was ever seen in it. A weak box that stayed for 6 s, with nobody in it, once began the half hour anew; and
    every weak box in an empty one leaves the question open for a moment, which is why short ones are bridged.
    """

    name: ClassVar[str] = "absent"

    active: list[Hours] = Field(
        ["20:00-06:00"],
        description="hours of the day in which it raises alerts; timers run and alerts end at any hour; none: always",
    )
    confidence: float = Field(
        0.15, ge=0, le=1, description="weaker boxes of an animal are none; a surer one leaves the question open"
    )
    for_s: float = Field(1800.0, ge=0, le=86_400, description="seconds that the box must have been empty")
    bridge_s: float = Field(
        10.0, ge=0, le=600, description="longest time of not knowing that counts, when it is empty before and after"
    )
    severity: Severity = Field("info", description="note, info, warning or critical")
    clear_after_s: float = Field(
        15.0, ge=0, le=86_400, description="seconds with an animal that end an alert, or start the time anew"
    )

    @property
    def condition(self) -> str:
        return "the horse is not in its box"

    def judge(self, seen: Scene, *, raised: bool) -> bool | None:
        if seen.blind is not None or seen.animal_seen_at is None:
            return None
        if any(one.track.kind == "animal" for one in seen.judged):
            return False
        unsure = any(box.kind == "animal" and box.confidence >= self.confidence for box in seen.boxes)
        return None if unsure else True

    def began_at(self, seen: Scene) -> float:
        return seen.at if seen.animal_seen_at is None else seen.animal_seen_at

    def evidence(self, seen: Scene) -> Evidence:
        return {"animal_seen_at": seen.animal_seen_at}

    def raised_message(self, camera_id: str, held_s: float, seen: Scene) -> str:
        return f"{camera_id}: the box has been empty for {duration(held_s)}"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"{camera_id}: the horse is in its box again, after {duration(held_s)}"
