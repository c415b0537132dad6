"""What should be told of a story. What is so near to a rule's limit that either answer is right may come or not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fbtasks.alert import SEVERITIES, Severity
from fbtasks.sim.motion import Spans
from fbtasks.sim.spans import lasted, merged, reached, within, within_any, without
from fbtasks.sim.timeline import Event, EventKind

SLACK_S = 15.0
"""A condition longer than its limit by less may be told or not: boxes jitter, and windows take seconds to fill."""
STRUGGLE_S, APART_S, WITHIN_S = 1.0, 20.0, 600.0
"""A struggle lasts at least so long, begins so long after the last that counts, and is counted for so long."""
NEARLY = 0.75
"""Of the struggles that are too many: who struggles so often may be told of."""
SURE_S = 120.0
"""In so long a cast horse has surely struggled again, should some of its struggles have been missed."""
TROUBLE: tuple[EventKind, ...] = ("bolting", "trotting", "pacing", "rolling", "cast", "colic")
HOUR_S = 3600.0
LATE_S = 30.0
"""After the end of what it tells of; more than windows and unseen moments of a passing animal explain is too late."""
SURELY_FASTER, PERHAPS_FASTER = 1.2, 0.6
"""Times a limit of speed: a speed over the ground is seen at an angle, which makes it less, or from its front, more."""

RuleSettings = Mapping[str, Any]
"""Of one rule: the keys of its table with their values."""


@dataclass(frozen=True, slots=True)
class Story:
    """What is true of one camera.

    Attributes:
        length_s: of the story.
        horses: all that live there.
        events: all that happens.
        unseen: when the logic gets no picture, or none that shows anything.
        faster_than: when each horse moves at so many body lengths per second.
        within: whether a second of the story is within hours of the day, written as in the settings.
        hidden: when each horse and person is there but hardly to be seen; a detector may find it or not.
        losses: when all that the logic remembered was lost, but for its open alerts.
        struggles: when each horse thrashes about on the ground.
    """

    length_s: float
    horses: Sequence[str]
    events: Sequence[Event]
    unseen: Spans
    faster_than: Callable[[float], Sequence[Event]]
    within: Callable[[Sequence[str], float], bool] = lambda _hours, _t: False
    hidden: Mapping[str, Spans] = field(default_factory=dict)
    losses: Sequence[float] = ()
    struggles: Mapping[str, Spans] = field(default_factory=dict)

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind == kind]


@dataclass(frozen=True, slots=True)
class Due:
    """An alert that should come.

    Attributes:
        start, end: of what it tells of; seconds of the story.
        due: when it should come.
        sure: without it there is a fault; else it may come or not.
        early_s: how much sooner it may come, for time that may have been seen.
        who: whose condition it is; nobody's where it is the camera's.
    """

    rule: str
    severity: Severity
    start: float
    due: float
    end: float
    sure: bool = True
    early_s: float = 0.0
    who: str = ""


def due_alerts(
    story: Story, rules: Mapping[str, RuleSettings], windows_s: Mapping[str, float] | None = None
) -> list[Due]:
    """What the rules, by name with their settings, should tell of the story; those not in `EXPECTED` nothing.

    Args:
        windows_s: over how many seconds a rule looks, by design, before it can know that its condition holds.
    """
    found = []
    for name, settings in rules.items():
        window_s = (windows_s or {}).get(name, 0.0)
        dues = EXPECTED[name](story, settings) if name in EXPECTED else []
        dues = [replace(due, sure=due.sure and not _may_be_cooling(due, dues, settings)) for due in dues]
        found += [replace(due, due=due.due + window_s, early_s=due.early_s + window_s) for due in dues]
    return found


def _may_be_cooling(due: Due, dues: Sequence[Due], settings: RuleSettings) -> bool:
    """Whether an earlier alert of the same animal, at least as grave, may have been cleared so shortly before."""
    cooling_s = settings.get("clear_after_s", 0.0) + settings.get("cooldown_s", 0.0) + LATE_S
    return any(
        other.who == due.who
        and other.start < due.start
        and due.due < other.end + cooling_s
        and SEVERITIES.index(due.severity) <= SEVERITIES.index(other.severity)
        for other in dues
    )


def levels(settings: RuleSettings) -> list[tuple[Severity, float]]:
    """Severities and after how many seconds each is due; of a rule with one severity, that."""
    if "for_s" in settings:
        return [(settings["severity"], settings["for_s"])]
    after = {severity: settings.get(f"{severity}_after_s") for severity in SEVERITIES}
    return [(severity, float(seconds)) for severity, seconds in after.items() if seconds is not None]


def _dues(
    rule: str,
    settings: RuleSettings,
    times: Spans,
    seen: Spans,
    story: Story,
    *,
    who: str = "",
    doubtful: Spans | None = None,
) -> list[Due]:
    """One for each level that a condition comes to, or nearly.

    Args:
        times: from its first to its last moment.
        seen: when it holds and there is a picture of it, or should be taken to hold without.
        who: whose it is, that may be hidden.
        doubtful: when it may be taken for seen or not.
    """
    found = []
    severities, levels_s = zip(*levels(settings), strict=True)
    for start, end in times:
        parts = within(seen, start, end)
        plain = without(parts, [*story.hidden.get(who, []), *(doubtful or [])])
        # Were all that may be seen seen, and nothing forgotten: nearly so long, and an alert may come.
        soonest = reached(parts, [after_s - SLACK_S for after_s in levels_s])
        for severity, first, due in zip(severities, soonest, reached(plain, levels_s, story.losses), strict=True):
            if first is None:
                continue
            sure = due is not None and lasted(within(plain, due, end)) >= SLACK_S
            at = end if due is None else due
            found.append(Due(rule, severity, start, at, end, sure, max(0.0, at - first - SLACK_S), who))
    return found


def _lying(story: Story, settings: RuleSettings) -> list[Due]:
    """Each horse for itself; a short rise does not end it, and time that nobody saw counts when it was short."""
    unseen, doubtful = _unknown(story, settings)
    found = []
    for horse in sorted({event.who for event in story.of("lying")}):
        spans = [(event.start, event.end) for event in story.of("lying") if event.who == horse]
        times, seen = merged(spans, settings["clear_after_s"]), without(spans, unseen)
        for several in _perhaps_one(times, settings["clear_after_s"] + SLACK_S, unseen):
            first, *later = [
                _dues("lying", settings, [one], seen, story, who=horse, doubtful=doubtful) for one in several
            ]
            together = [(several[0][0], several[-1][1])] if later else []
            later.append(_dues("lying", settings, together, seen, story, who=horse, doubtful=doubtful))
            found += first + [replace(due, sure=False) for dues in later for due in dues]
    return found


def _unknown(story: Story, settings: RuleSettings) -> tuple[Spans, Spans]:
    """When time does not count, and when it may count or not: gaps up to `bridge_s` are known when they are over."""
    bridge_s = settings.get("bridge_s", 0.0)
    # The time until a posture is known again comes to that without a picture; what was forgotten cannot be bridged.
    bridged = [gap for gap in story.unseen if lasted([gap]) <= bridge_s and not within_any(story.losses, *gap)]
    doubtful = [gap for gap in bridged if lasted([gap]) > bridge_s - SLACK_S]
    return [gap for gap in story.unseen if gap not in bridged], doubtful


def _perhaps_one(times: Spans, gap_s: float, unseen: Spans) -> list[Spans]:
    """Times that may pass for one, because part of what is between them was not seen, and `gap_s` at most was."""
    found: list[Spans] = []
    for start, end in times:
        gap = (found[-1][-1][1], start) if found else (0.0, 0.0)
        if found and within(unseen, *gap) and lasted(without([gap], unseen)) <= gap_s:
            found[-1].append((start, end))
        else:
            found.append([(start, end)])
    return found


def _too_fast(story: Story, settings: RuleSettings) -> list[Due]:
    limit, for_s = settings["body_lengths_per_s"], settings["for_s"]
    found = []
    for horse in sorted({event.who for event in story.faster_than(PERHAPS_FASTER * limit)}):

        def spans(factor: float, who: str = horse) -> Spans:
            fast = [(event.start, event.end) for event in story.faster_than(factor * limit) if event.who == who]
            return without(fast, story.unseen)

        plain = without(spans(SURELY_FASTER), story.hidden.get(horse, []))
        sure = [span for span in plain if span[1] - span[0] >= for_s + 2.0]
        for start, end in merged(spans(PERHAPS_FASTER), settings["clear_after_s"] + 5.0):
            certain = [span for span in sure if start <= span[0] < end]
            due = (certain[0][0] if certain else start) + for_s
            if end - start >= 0.5 * for_s:
                early_s = due - for_s - start
                found.append(Due("too_fast", settings["severity"], start, due, end, bool(certain), early_s, horse))
    return found


def _camera_blind(story: Story, settings: RuleSettings) -> list[Due]:
    dues = _dues("camera_blind", settings, story.unseen, story.unseen, story)
    # A state that is lost meanwhile has not seen a picture yet, and waits for the first.
    return [replace(due, sure=due.sure and not within_any(story.losses, due.start, due.end)) for due in dues]


def _person(story: Story, settings: RuleSettings) -> list[Due]:
    """One or several: from the first moment at which she is plainly to be seen."""
    visits = [event for event in story.of("person") if not story.within(settings["allowed"], event.start)]
    spans = merged([(event.start, event.end) for event in visits], 0.0)
    found = []
    for start, end in merged(spans, settings["clear_after_s"]):
        inside = [visit for visit in visits if visit.start < end and visit.end > start]
        plain = [without([(one.start, one.end)], [*story.hidden.get(one.who, []), *story.unseen]) for one in inside]
        seen = merged([span for spans in plain for span in spans], 0.0)
        dues = _dues("person", settings, [(start, end)], seen, story)
        found += [replace(due, early_s=due.due - start) for due in dues]
    return found


def _absent(story: Story, settings: RuleSettings) -> list[Due]:
    """While no horse at all is there, though one was; from when the last could hardly be seen any more."""
    spans = [(0.0, story.length_s)]
    for horse in story.horses:
        away = [(event.start, event.end) for event in story.of("absent") if event.who == horse]
        spans = without(spans, without([(0.0, story.length_s)], away))
    spans = [
        span for span in spans if span[0] > 0 and (not settings["active"] or story.within(settings["active"], span[1]))
    ]
    unseen, doubtful = _unknown(story, settings)
    dues = _dues("absent", settings, spans, without(spans, unseen), story, doubtful=doubtful)
    # A state that is lost meanwhile does not know that a horse was ever there.
    return [replace(due, sure=due.sure and not within_any(story.losses, due.start, due.due)) for due in dues]


def _agitated(story: Story, settings: RuleSettings) -> list[Due]:
    """Bolting surely is, from when the horse runs: it may have to rise first. Other trouble may be."""
    fast = story.faster_than(SURELY_FASTER * settings["agitation_bl_s"])
    found = []
    for kind in TROUBLE:
        for event in story.of(kind):
            runs = [one.start for one in fast if one.who == event.who and event.start <= one.start < event.end]
            start = runs[0] if kind == "bolting" and runs else event.start
            seen = without([(start, event.end)], story.unseen)
            dues = _dues("agitated", settings, [(event.start, event.end)], seen, story, who=event.who)
            found += [replace(due, sure=due.sure and kind == "bolting" and bool(runs)) for due in dues]
    return found


def _cast(story: Story, settings: RuleSettings) -> list[Due]:
    """From the struggle that makes it cast, of those that are seen, until it gets up.

    Who struggles nearly as often, or often enough without being cast, may be told of.
    """
    found = []
    for down in story.of("lying"):
        count = settings["struggles"]
        seen = without(within(story.struggles.get(down.who, []), down.start, down.end), story.unseen)
        plain = without(seen, story.hidden.get(down.who, []))
        told_at = _struggled(plain, count, [loss for loss in story.losses if loss > down.start])
        soonest = _struggled(seen, max(1, round(NEARLY * count)), [])
        if soonest is None:
            continue
        is_cast = any(
            event.who == down.who and event.start < down.end and event.end > down.start for event in story.of("cast")
        )
        sure = told_at is not None and is_cast and down.end - told_at > SURE_S
        due = down.end if told_at is None else told_at
        found.append(
            Due("cast", settings["severity"], down.start, due, down.end, sure, max(0.0, due - soonest), down.who)
        )
    return found


def _struggled(spans: Spans, count: int, losses: Sequence[float]) -> float | None:
    """When a horse has struggled so often within ten minutes; None if never. At a loss, all before is forgotten."""
    counted: list[float] = []
    for start, end in spans:
        moments: list[float] = np.arange(start, end, STRUGGLE_S).tolist()
        for moment in moments:
            counted = [at for at in counted if moment - at < WITHIN_S and not within_any(losses, at, moment)]
            if not counted or moment - counted[-1] >= APART_S:
                counted.append(moment)
            if len(counted) >= count:
                return moment + STRUGGLE_S
    return None


def _restless(story: Story, settings: RuleSettings) -> list[Due]:
    """From the change that makes too many of one horse within an hour to the last that does.

    A change that nobody saw may be noted or not. The comparison with what is usual needs more hours than a night has.
    """
    return [due for who in story.horses for due in _restless_one(story, settings, who)]


def _restless_one(story: Story, settings: RuleSettings, who: str) -> list[Due]:
    bouts = [event for event in story.of("lying") if event.who == who]
    changes = sorted(at for event in bouts for at in (event.start, event.end) if 0 < at < story.length_s)
    blurred = [*story.unseen, *story.hidden.get(who, [])]
    plain = [at for at in changes if not within(blurred, at - SLACK_S, at + SLACK_S)]
    found: list[Due] = []
    for at in changes:
        last_h = [one for one in changes if at - HOUR_S - SLACK_S < one <= at]
        surely = [
            one for one in plain if at - HOUR_S + 2 * SLACK_S < one <= at and not within_any(story.losses, one, at)
        ]
        if len(last_h) < settings["changes_per_h"]:
            continue
        sure = len(surely) >= settings["changes_per_h"]
        if found and at <= found[-1].end + HOUR_S + settings["clear_after_s"]:
            first = found[-1]
            due = first.due if first.sure or not sure else at
            found[-1] = replace(first, due=due, end=at, sure=first.sure or sure, early_s=due - first.start)
        else:
            found.append(Due("restless", settings["severity"], at, at, at, sure, who=who))
    # It may be told late, when some changes were not seen, as long as those count that made it restless.
    return [replace(due, end=due.end + HOUR_S) for due in found]


EXPECTED: dict[str, Callable[[Story, RuleSettings], list[Due]]] = {
    "lying": _lying,
    "too_fast": _too_fast,
    "camera_blind": _camera_blind,
    "person": _person,
    "absent": _absent,
    "agitated": _agitated,
    "cast": _cast,
    "restless": _restless,
}
"""What each rule should tell of a story, under its settings."""
