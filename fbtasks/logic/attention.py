"""Whose attention an alert gets: told at once, held back, or never told. Muting, and the limit on storms.

Every alert is stored; this decides about its deliveries alone, in the transaction that stores it. An episode is *told*
once its raise was let go to the sinks. What is held back waits with its whole episode, so that nothing is told before
its raise:

- *muted*: until the mute ends. An alert that is critical breaks through, unless the mute says otherwise.
- *storm*: beyond so many new alerts a minute, until there is room again. Neither a critical alert nor a rise in
  severity waits for room; what waits is told in one summary.

A rise that goes through takes along what its episode had held back, and so does an acknowledgement: whoever gave it has
seen the alert. An episode that is over before it was told is never told; one that was told is always told to be over.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import msgspec

from fbtasks.alert import SEVERITIES, SITE, Alert, Event, Severity, alert_id, episode_id

STORM = "storm"
"""Stands for the rule in the summaries of a storm."""
PER_S = 60.0
"""The time in which new alerts are counted."""
MOST_NAMED = 3
"""Cameras that a summary names for each rule."""

Verdict = Literal["tell", "mute", "storm", "withhold"]
Hold = Literal["mute", "storm"]


class Mute(msgspec.Struct, frozen=True):
    """A time in which alerts are not told.

    Attributes:
        id: number in the store.
        camera_id, rule: which alerts; None for those of all cameras, of all rules.
        since, until: unix seconds.
        even_critical: critical alerts are muted too.
        by: who muted.
    """

    id: int
    camera_id: str | None
    rule: str | None
    since: float
    until: float
    even_critical: bool
    by: str

    def covers(self, camera_id: str, rule: str, severity: Severity, now: float) -> bool:
        """Whether it holds back an alert of that severity at `now` (unix seconds)."""
        return (
            self.since <= now < self.until
            and self.camera_id in (None, camera_id)
            and self.rule in (None, rule)
            and (severity != "critical" or self.even_critical)
        )


class Standing(msgspec.Struct):
    """Where an episode stands with the sinks.

    Attributes:
        told: its raise was let go.
        acknowledged: somebody has seen to it, at its present severity.
    """

    told: bool = False
    acknowledged: bool = False


def verdict(
    event: Event, severity: Severity, standing: Standing, *, muted: bool, room: bool, counted: bool = True
) -> Verdict:
    """What becomes of the deliveries of an alert.

    Args:
        standing: its episode's, before it.
        muted: a mute covers it.
        room: the minute's alerts are not used up.
        counted: false for what is about the site as a whole, such as the storm itself, which waits for no room.
    """
    if event == "acknowledged":
        return "tell"
    if event == "cleared":
        return "tell" if standing.told else "withhold"
    if event == "updated":
        return "tell" if standing.told and not muted and not standing.acknowledged else "withhold"
    if muted:
        return "mute"
    if event == "raised" and counted and not room and severity != "critical":
        return "storm"
    return "tell"


class Held(msgspec.Struct, frozen=True):
    """An episode that was held back for want of room; `severity` is its highest so far."""

    camera_id: str
    rule: str
    severity: Severity


def summary(held: Sequence[Held], began_at: float, now: float, number: int, before: Severity | None = None) -> Alert:
    """The alert that tells of those held back since the last summary.

    Args:
        held: at least one.
        began_at: when the storm's first was held back, unix seconds; part of the identifier.
        number: of the storm's alerts so far.
        before: severity of the last of them. A graver one is told even where somebody has acknowledged the storm.
    """
    more = "1 more alert" if len(held) == 1 else f"{len(held)} more alerts"
    severity = max((one.severity for one in held), key=SEVERITIES.index)
    is_graver = before is not None and SEVERITIES.index(severity) > SEVERITIES.index(before)
    return _storm_alert(
        event="escalated" if is_graver else "updated" if number else "raised",
        severity=severity,
        began_at=began_at,
        now=now,
        number=number,
        message=f"{more} in the last minute: {_named(held)}. They follow one by one; `fbtasks alerts list` shows all",
        facts={"held_back": float(len(held)), "cameras": float(len({one.camera_id for one in held}))},
    )


def storm_over(severity: Severity, began_at: float, now: float, number: int) -> Alert:
    """The alert that ends a storm: none is held back any more."""
    return _storm_alert(
        event="cleared",
        severity=severity,
        began_at=began_at,
        now=now,
        number=number,
        message="The storm of alerts is over, none is held back any more",
        facts={},
    )


def _storm_alert(
    *, event: Event, severity: Severity, began_at: float, now: float, number: int, message: str, facts: dict[str, float]
) -> Alert:
    episode = episode_id(SITE, STORM, None, began_at)
    return Alert(
        id=alert_id(episode, number),
        episode_id=episode,
        number=number,
        event=event,
        camera_id=SITE,
        rule=STORM,
        severity=severity,
        track_id=None,
        started_at=began_at,
        at=now,
        message=message,
        evidence={**facts},
    )


def _named(held: Iterable[Held]) -> str:
    """The rules, the most frequent first, with some of their cameras: `lying (box-1, box-2, box-3 and 4 more)`."""
    held = list(held)
    rules = Counter(one.rule for one in held)
    parts = []
    for rule, _ in rules.most_common():
        cameras = sorted({one.camera_id for one in held if one.rule == rule})
        parts.append(f"{rule.replace('_', ' ')} ({_some(cameras)})")
    return ", ".join(parts)


def _some(names: Collection[str]) -> str:
    shown = list(names)[:MOST_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
