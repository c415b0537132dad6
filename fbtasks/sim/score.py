"""How what was told of a story compares with what should have been.

An alert is right when its rule and severity were due, and it came between then and the end of what it tells of.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fbtasks.alert import Severity
from fbtasks.sim.due import LATE_S, Due

EARLY_S = 10.0
"""Before it is due; more than windows and jitter explain is too early."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alert that came, raised or escalated, `at` seconds of the story."""

    rule: str
    severity: Severity
    at: float
    message: str = ""


@dataclass
class RuleScore:
    """How one rule did.

    Attributes:
        delays_s: from when each right alert was due to when it came.
        missed, wrong: those that did not come, and that should not have.
    """

    right: int = 0
    delays_s: list[float] = field(default_factory=list)
    missed: list[Due] = field(default_factory=list)
    wrong: list[Told] = field(default_factory=list)

    @property
    def precision(self) -> float | None:
        """Right alerts of all that came, those that may come or not left out; None without any."""
        came = self.right + len(self.wrong)
        return self.right / came if came else None

    @property
    def recall(self) -> float | None:
        """Right alerts of all that were due; None when none was."""
        due = self.right + len(self.missed)
        return self.right / due if due else None

    def delay_s(self, share: float) -> float | None:
        """So many of the right alerts, as a share, came within this."""
        return float(np.quantile(self.delays_s, share)) if self.delays_s else None

    def add(self, other: "RuleScore") -> None:
        self.right += other.right
        self.delays_s += other.delays_s
        self.missed += other.missed
        self.wrong += other.wrong


def compared(due: Sequence[Due], told: Sequence[Told]) -> dict[str, RuleScore]:
    """The score of each rule that was due or told."""
    scores = {name: RuleScore() for name in [*(one.rule for one in due), *(one.rule for one in told)]}
    open_ones = sorted(due, key=lambda one: (not one.sure, one.due))
    for alert in sorted(told, key=lambda one: one.at):
        match = next((one for one in open_ones if _fits(one, alert)), None)
        if match is None:
            scores[alert.rule].wrong.append(alert)
            continue
        open_ones.remove(match)
        if match.sure:
            scores[alert.rule].right += 1
            scores[alert.rule].delays_s.append(alert.at - match.due)
    for one in open_ones:
        if one.sure:
            scores[one.rule].missed.append(one)
    return scores


def _fits(due: Due, told: Told) -> bool:
    same = due.rule == told.rule and due.severity == told.severity
    return same and due.due - due.early_s - EARLY_S <= told.at <= due.end + LATE_S
