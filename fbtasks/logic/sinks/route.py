"""Which alerts go to a sink, and whether at once."""

from dataclasses import dataclass

from fbtasks.alert import SEVERITIES, Alert, Severity
from fbtasks.logic.localtime import Zone, within


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one sink. A sink that was told of an episode is told to its end, whatever the filter says by then.

    Attributes:
        sink: its name.
        min_severity: milder alerts do not go there.
        rules, cameras: only alerts of these; empty: of all.
        active: hours of the day, as `20:00-06:00`, in which an alert must come to begin an episode there; empty: any.
        hold_s: only what is still open and not acknowledged so many seconds after it was stored; 0: everything.
        zone: in which the hours are meant.
    """

    sink: str
    min_severity: Severity = "note"
    rules: frozenset[str] = frozenset()
    cameras: frozenset[str] = frozenset()
    active: tuple[str, ...] = ()
    hold_s: float = 0.0
    zone: Zone = None

    def begins_with(self, alert: Alert) -> bool:
        """Whether the sink is to hear of an episode with this alert, having heard nothing of it before."""
        return (
            alert.event not in {"acknowledged", "cleared"}
            and SEVERITIES.index(alert.severity) >= SEVERITIES.index(self.min_severity)
            and self.concerns(alert.camera_id, alert.rule)
            and (not self.active or within(self.active, alert.at, self.zone))
        )

    def concerns(self, camera_id: str, rule: str) -> bool:
        """Whether alerts of this rule on this camera may go there at all."""
        return (not self.cameras or camera_id in self.cameras) and (not self.rules or rule in self.rules)

    def explanation(self) -> str:
        """What goes there, in words that follow the sink's name."""
        what = "everything" if self.min_severity == "note" else f"{self.min_severity} and worse"
        rules = f", of {' and '.join(sorted(self.rules))}" if self.rules else ""
        cameras = f", from {' and '.join(sorted(self.cameras))}" if self.cameras else ""
        hours = f", only at {' and '.join(self.active)}" if self.active else ""
        hold = f", when nobody has acknowledged it for {self.hold_s / 60:g} minutes" if self.hold_s else ""
        return what + rules + cameras + hours + hold
