"""An animal or a person is where it should not be."""

from math import hypot
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fbtasks.logic.rules.base import Evidence, Single, TrackRule, duration
from fbtasks.logic.scene import Judged
from fbtasks.logic.tracker import Kind

Share = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Share, Share]


class Zone(Single, TrackRule):
    """A part of the picture that must not be entered, or not be left; drawn for one camera, in its own table.

    Where somebody stands is the middle of the lower edge of the box. Off until a polygon is drawn.
    """

    name: ClassVar[str] = "zone"

    enabled: bool = Field(False, description="whether the rule is applied at all")
    polygon: list[Point] = Field(
        default_factory=list, description="corners [x, y] from 0, 0 at the left top to 1, 1 at the right bottom"
    )
    forbidden: Literal["inside", "outside"] = Field("inside", description="outside: the zone must not be left")
    who: Kind = Field("animal", description="animal or person")
    margin: float = Field(
        0.02, ge=0, le=0.5, description="so far back over the line, as a share of the picture, ends an alert"
    )
    for_s: float = Field(5.0, ge=0, le=86_400, description="seconds that it must have been there")
    clear_after_s: float = Field(10.0, ge=0, le=86_400, description="seconds elsewhere that end an alert")

    @model_validator(mode="after")
    def _has_area(self) -> Self:
        if self.enabled and len(self.polygon) < 3:
            raise ValueError("polygon needs at least three corners, such as [[0.1, 0.5], [0.9, 0.5], [0.5, 1.0]]")
        return self

    @property
    def condition(self) -> str:
        return f"{self._who} is {self._way}"

    @property
    def kind(self) -> Kind:
        return self.who

    def judge(self, seen: Judged, *, raised: bool) -> bool | None:
        outside = distance(self.polygon, seen.foot)
        beyond = outside if self.forbidden == "outside" else -outside
        return beyond > (-self.margin if raised else 0.0)

    def evidence(self, seen: Judged) -> Evidence:
        x, y = seen.foot
        return {"x": x, "y": y, "outside_by": distance(self.polygon, seen.foot)}

    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str:
        return f"{camera_id}: {self._who} has been {self._way} for {duration(held_s)}"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"{camera_id}: {self._who} is where it should be again, after {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"{camera_id}: {self._who} was where it should not be and is no longer seen"

    @property
    def _who(self) -> str:
        return "the horse" if self.who == "animal" else "a person"

    @property
    def _way(self) -> str:
        return "in the zone" if self.forbidden == "inside" else "out of the zone"


def distance(polygon: list[Point], point: Point) -> float:
    """From `point` to the border of `polygon`, less than 0 inside of it; as a share of the picture."""
    x, y = point
    inside, nearest = False, float("inf")
    for (x1, y1), (x2, y2) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
        length2 = (x2 - x1) ** 2 + (y2 - y1) ** 2
        along = ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length2 if length2 > 0 else 0.0
        along = max(0.0, min(1.0, along))
        nearest = min(nearest, hypot(x - x1 - along * (x2 - x1), y - y1 - along * (y2 - y1)))
    return -nearest if inside else nearest
