"""What every rule is: its settings, its judgement of a track at one time, and its words."""

from abc import abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from fbtasks.alert import Severity
from fbtasks.logic.smoother import Reading
from fbtasks.logic.tracker import Kind

Evidence = dict[str, float | str | None]


class Level(BaseModel):
    """A severity, and how long the condition must have held to deserve it."""

    model_config = ConfigDict(frozen=True)

    after_s: float
    severity: Severity


class Rule(BaseModel):
    """Base of all rules; the fields are the keys of its table `[rules.<name>]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: ClassVar[str]
    kind: ClassVar[Kind] = "animal"
    """Which tracks the rule is about."""

    enabled: bool = Field(True, description="whether the rule is applied at all")
    clear_after_s: float = Field(60.0, ge=0, le=86_400, description="seconds without the condition that end an alert")
    cooldown_s: float = Field(
        600.0, ge=0, le=86_400, description="seconds after a clear in which only a higher severity is raised again"
    )
    lost_clear_after_s: float = Field(
        600.0, gt=0, le=86_400, description="seconds of watching without seeing the animal that end an alert"
    )

    @property
    @abstractmethod
    def levels(self) -> tuple[Level, ...]:
        """Severities, the mildest and soonest first; at least one."""

    @abstractmethod
    def judge(self, reading: Reading, *, raised: bool) -> bool | None:
        """Whether the condition holds; None when nobody can tell. `raised`: an alert of this rule is open."""

    @abstractmethod
    def evidence(self, reading: Reading) -> Evidence:
        """The figures behind the judgement, with their unit in the name."""

    @abstractmethod
    def raised_message(self, camera_id: str, held_s: float, reading: Reading) -> str:
        """One sentence for a groom when the condition has held for `held_s` seconds."""

    @abstractmethod
    def cleared_message(self, camera_id: str, held_s: float) -> str:
        """One sentence for a groom when the condition is over after `held_s` seconds."""

    @abstractmethod
    def lost_message(self, camera_id: str) -> str:
        """One sentence for a groom when the animal was not seen for `lost_clear_after_s`."""


def duration(seconds: float) -> str:
    """A length of time in a groom's words: `62 minutes`, `1 second`; whole units, minutes from two on."""
    if seconds < 120:
        return _counted(int(seconds), "second")
    return _counted(int(seconds // 60), "minute")


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
