"""What every rule is: its settings, its judgement of what is seen at one time, and its words.

A rule is about each track of one kind (`TrackRule`) or about the camera as a whole (`CameraRule`). The first has an
episode for each animal, which outlives the track; the second has one at a time, and is asked also when the camera shows
nothing.
"""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fbtasks.alert import SEVERITIES, Severity
from fbtasks.hours import Hours
from fbtasks.logic.motion import Corners
from fbtasks.logic.scene import Judged, Scene
from fbtasks.logic.smoother import MAX_GAP_S
from fbtasks.logic.tracker import Kind

Evidence = dict[str, float | str | None]


def _or_never(value: object) -> object:
    if value is True:
        raise ValueError("must be a number of seconds, or false for never")
    return None if value is False else value


AfterSeconds = Annotated[Annotated[float, Field(ge=0, le=86_400)] | None, BeforeValidator(_or_never)]
"""Seconds, or None for never; written `false` in a file, because TOML has no null."""


class Level(BaseModel):
    """A severity, and how long the condition must have held to deserve it."""

    model_config = ConfigDict(frozen=True)

    after_s: float
    severity: Severity


class Rule(BaseModel):
    """Base of all rules; the fields are the keys of its table `[rules.<name>]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: ClassVar[str]
    max_gap_s: ClassVar[float] = MAX_GAP_S
    """Longest time between two judgements through which the condition is taken to have gone on."""

    enabled: bool = Field(True, description="whether the rule is applied at all")
    active: list[Hours] = Field(
        default_factory=list,
        description="hours of the day in which it raises alerts; timers run and alerts end at any hour; none: always",
    )
    clear_after_s: float = Field(60.0, ge=0, le=86_400, description="seconds without the condition that end an alert")
    cooldown_s: float = Field(
        600.0, ge=0, le=86_400, description="seconds after a clear in which only a higher severity is raised again"
    )

    remind_every_s: Annotated[Annotated[float, Field(ge=60, le=86_400)] | None, BeforeValidator(_or_never)] = Field(
        None, description="seconds of it after which an open alert is told again, until acknowledged; false: never"
    )
    bridge_s: float = Field(
        0.0, ge=0, le=600, description="longest time without knowing that counts, when it holds before and after"
    )

    @property
    @abstractmethod
    def condition(self) -> str:
        """What must hold, in words that follow "you are told when"."""

    def explanation(self) -> str:
        """What this rule does with these settings, in one sentence for a groom."""
        at_once = [f"({level.severity})" for level in self.levels if not level.after_s]
        later = [f"{duration(level.after_s)} ({level.severity})" for level in self.levels if level.after_s]
        times = [*at_once, *([f"for {', '.join(later)}"] if later else [])]
        hours = f", only at {' and '.join(self.active)}" if self.active else ""
        again = f", and again every {duration(self.remind_every_s)} until seen to" if self.remind_every_s else ""
        return f"you are told when {self.condition} {', '.join(times)}{hours}{again}"

    @property
    @abstractmethod
    def levels(self) -> tuple[Level, ...]:
        """Severities, the mildest and soonest first; at least one."""

    @abstractmethod
    def judge(self, seen: Any, *, raised: bool) -> bool | None:
        """Whether the condition holds; None when nobody can tell. `raised`: an alert of this rule is open."""

    def judge_pending(self, seen: Any) -> bool | None:
        """The same once it has been seen to hold, while no alert is open yet."""
        return self.judge(seen, raised=False)

    @abstractmethod
    def evidence(self, seen: Any) -> Evidence:
        """The figures behind the judgement, with their unit in the name."""

    def thresholds(self) -> Evidence:
        """The numbers that it judges by, as they are set; part of the evidence of a raise."""
        numbers = {name: getattr(self, name) for name in type(self).model_fields if name not in TrackRule.model_fields}
        return {
            f"set_{name}": number
            for name, number in numbers.items()
            if isinstance(number, int | float) and not isinstance(number, bool)
        }

    @abstractmethod
    def raised_message(self, camera_id: str, held_s: float, seen: Any) -> str:
        """One sentence for a groom when the condition has held for `held_s` seconds."""

    @abstractmethod
    def cleared_message(self, camera_id: str, held_s: float) -> str:
        """One sentence for a groom when the condition is over after `held_s` seconds."""


class Graded(Rule):
    """A rule whose alerts grow graver the longer its condition holds."""

    note_after_s: AfterSeconds = Field(None, description="seconds of it that are noted; false: never")
    info_after_s: AfterSeconds = Field(None, description="seconds of it that are worth knowing; false: never")
    warning_after_s: AfterSeconds = Field(None, description="seconds of it that are a warning; false: never")
    critical_after_s: AfterSeconds = Field(None, description="seconds of it that are critical; false: never")

    @model_validator(mode="after")
    def _levels_rise(self) -> Self:
        times = [level.after_s for level in self.levels]
        if not times:
            raise ValueError("every level is off; write enabled = false to switch the rule off")
        if times != sorted(set(times)):
            *first, last = (f"{level.severity}_after_s" for level in self.levels)
            raise ValueError(f"{', '.join(first)} and {last} must rise in this order")
        return self

    @property
    def levels(self) -> tuple[Level, ...]:
        after = {severity: getattr(self, f"{severity}_after_s") for severity in SEVERITIES}
        return tuple(Level(after_s=s, severity=severity) for severity, s in after.items() if s is not None)


class Single(Rule):
    """A rule whose alerts are all of one severity."""

    for_s: float = Field(ge=0, le=86_400, description="seconds that the condition must have held")
    severity: Severity = Field("warning", description="note, info, warning or critical")

    @property
    def levels(self) -> tuple[Level, ...]:
        return (Level(after_s=self.for_s, severity=self.severity),)


class TrackRule(Rule):
    """A rule about each animal, or each person; it is asked only while the camera shows its box."""

    lapse_s: ClassVar[float] = 0.0
    """For so many seconds the condition may be seen not to hold and yet go on; part of what `bridge_s` bridges."""

    lost_clear_after_s: float = Field(
        600.0, gt=0, le=86_400, description="seconds of watching without seeing the animal that end an alert"
    )

    def bridges(self, before: Corners, seen: Judged) -> bool:
        """Whether what holds now is what held when the box was `before`, and has gone on for a short time between."""
        return True

    def held_before_s(self, seen: Judged) -> float:
        """For how many seconds the condition has held that is first judged to hold now."""
        return 0.0

    @property
    def kind(self) -> Kind:
        """Which tracks the rule is about."""
        return "animal"

    @abstractmethod
    def judge(self, seen: Judged, *, raised: bool) -> bool | None: ...

    @abstractmethod
    def evidence(self, seen: Judged) -> Evidence: ...

    @abstractmethod
    def raised_message(self, camera_id: str, held_s: float, seen: Judged) -> str: ...

    @abstractmethod
    def lost_message(self, camera_id: str) -> str:
        """One sentence for a groom when the animal was not seen for `lost_clear_after_s`."""


class CameraRule(Rule):
    """A rule about the camera as a whole; it is asked at every picture and at every silence."""

    @abstractmethod
    def judge(self, seen: Scene, *, raised: bool) -> bool | None: ...

    @abstractmethod
    def evidence(self, seen: Scene) -> Evidence: ...

    @abstractmethod
    def raised_message(self, camera_id: str, held_s: float, seen: Scene) -> str: ...

    def began_at(self, seen: Scene) -> float:
        """When the condition that is first judged to hold now began; capture time."""
        return seen.at


def duration(seconds: float) -> str:
    """A length of time in a groom's words: `62 minutes`, `1 second`; whole units, minutes from two on."""
    if seconds < 120:
        return _counted(int(seconds), "second")
    return _counted(int(seconds // 60), "minute")


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
