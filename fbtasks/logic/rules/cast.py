"""The horse is down and cannot get up: cast, as a rule against a wall."""

from typing import ClassVar

from pydantic import Field

from fbtasks.alert import Severity
from fbtasks.logic.rules.base import Evidence, Single, TrackRule, duration
from fbtasks.logic.scene import Judged


class Cast(Single, TrackRule):
    """Down, struggling again and again, and not up: a horse that is cast needs people at once.

    Experimental and off by default. A cast horse thrashes until it is freed, or rests and tries again; muscles and
    nerves can be harmed within an hour (DeNotta, University of Florida, 2019). How often it tries is published nowhere:
    the figures are ours, from drawn horses. A healthy one rolls once or twice when it has lain down, and before it
    rises. The wall is not asked for: a picture does not tell where it is, and one that struggles for minutes without
    getting up needs people wherever it lies.
    """

    name: ClassVar[str] = "cast"

    enabled: bool = Field(False, description="whether the rule is applied at all; experimental")
    struggles: int = Field(
        7, ge=2, le=30, description="struggles within ten minutes, 20 s or more apart, that make a horse cast"
    )
    for_s: float = Field(0.0, ge=0, le=86_400, description="seconds that all this must have held")
    severity: Severity = Field("critical", description="note, info, warning or critical")

    @property
    def condition(self) -> str:
        return f"a horse is down and has struggled {self.struggles} times within ten minutes without getting up"

    def judge(self, seen: Judged, *, raised: bool) -> bool | None:
        if seen.reading.posture == "unknown":
            return None
        # Once told, only getting up ends it: an exhausted horse is as cast as before.
        return seen.reading.posture == "lying" and (raised or seen.gait.struggles >= self.struggles)

    def evidence(self, seen: Judged) -> Evidence:
        return {"posture": seen.reading.posture, "struggles_in_10_min": float(seen.gait.struggles)}

    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str:
        return f"Horse in {camera_id} may be cast: it is down and has struggled {seen.gait.struggles} times"

    def cleared_message(self, camera_id: str, held_s: float) -> str:
        return f"Horse in {camera_id} that may have been cast is up again, after {duration(held_s)}"

    def lost_message(self, camera_id: str) -> str:
        return f"Horse in {camera_id} may be cast and has not been seen for {duration(self.lost_clear_after_s)}"
