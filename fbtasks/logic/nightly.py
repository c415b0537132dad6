"""What a horse did in one night, compared with its own nights before, in words and figures for its owner and vet.

Horses are known by camera: the figures are of the camera's own account, see `fbtasks.logic.minutes`. Lying takes 2.7 to
27 % of a horse's day (PMC8002676), so a horse is compared with itself: with the median of its nights before and their
usual distance from it. How far is unusual is ours, as is from when on a minute is restless.

Unknown is no figure: a night of which the camera missed too much is neither compared nor compared with.
"""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal

import msgspec

from fbtasks.logic.localtime import Zone, clock_text, day_text
from fbtasks.logic.minutes import MINUTE_S, WHOLE, Account, Minute
from fbtasks.logic.replay import Course, span

DAY_S = 86_400.0
BASELINE_NIGHTS = 28
LEAST_NIGHTS = 5
"""Of fewer nights nobody can say what is usual."""
MOST_BLIND = 0.2
"""Share of a night that may be missed for it to count."""
RESTLESS_BL_S = 0.45
"""Mean agitation of a restless minute, as the rule `agitated` has it."""
UNUSUAL_SPREADS = 3.0
SIGMA_PER_MAD = 1.4826
LITTLE_LYING_S = 1800.0
"""Of 24 hours (Front. Vet. Sci. 2017 4:23): a horse needs 30 to 40 minutes of them for REM sleep."""
MOST_UNJUDGED = 0.25
"""Share of 24 hours of which the posture may be unknown for too little lying to be told."""
TOGETHER_S, TOGETHER_MIN = 30.0, 10
"""Two animals that are both seen for as long in as many minutes are two; fewer may be one, found twice."""
SHOWN_TRACK_S = 600.0

Verdict = Literal["as usual", "more than usual", "less than usual", "no baseline yet", "not compared"]


class Figures(msgspec.Struct, frozen=True):
    """One night of one camera.

    Attributes:
        lying_s: seconds seen lying.
        bouts: how often it lay down, and once more when it lay as it was first seen.
        longest_s: seconds seen lying in the longest bout.
        restless_min: minutes of which the mean agitation was `RESTLESS_BL_S` or more.
        changes: how often it lay down or rose.
        max_speed_bl_s: body lengths per second.
        unknown: share of the night in which it was seen in no known posture, or not at all, 0 to 1.
        blind: share of the night in which the camera showed nothing, or nobody watched, 0 to 1.
        lying_day_s: seconds seen lying in the 24 hours to the end of the night.
        unjudged_day: share of those 24 hours of which its posture is not known, for whatever reason.
        together_min: minutes in which several animals were seen.
    """

    lying_s: float
    bouts: int
    longest_s: float
    restless_min: int
    changes: int
    max_speed_bl_s: float
    unknown: float
    blind: float
    lying_day_s: float
    unjudged_day: float
    together_min: int = 0

    @property
    def counts(self) -> bool:
        """Whether enough of the night was watched."""
        return self.blind <= MOST_BLIND

    @property
    def little_lying(self) -> bool:
        """Whether it lay less than a horse needs, as far as that can be told."""
        return self.lying_day_s < LITTLE_LYING_S and self.unjudged_day <= MOST_UNJUDGED


class Measure(msgspec.Struct, frozen=True):
    """A figure that is compared.

    Attributes:
        field: of `Figures`.
        label: in a table.
        least: a smaller distance from the median is never unusual.
        unit: of it.
    """

    field: str
    label: str
    least: float
    unit: Literal["time", "minutes", "times", "speed"]


MEASURES = (
    Measure("lying_s", "lying", 1800.0, "time"),
    Measure("bouts", "lying bouts", 2.0, "times"),
    Measure("longest_s", "longest bout", 1200.0, "time"),
    Measure("changes", "down or up", 3.0, "times"),
    Measure("restless_min", "restless", 5.0, "minutes"),
    Measure("max_speed_bl_s", "fastest", 0.5, "speed"),
)


class Comparison(msgspec.Struct, frozen=True):
    """One figure of the night against the nights before; `usual` and `spread` are None without a baseline."""

    field: str
    value: float
    usual: float | None
    spread: float | None
    verdict: Verdict


class TrackFigures(msgspec.Struct, frozen=True):
    """One track of a night in which several animals were seen; seconds."""

    track_id: int
    first_at: float
    last_at: float
    seen_s: float
    lying_s: float


class Report(msgspec.Struct, frozen=True):
    """The report of one camera's night.

    Attributes:
        night: the day on which it begins, as `2026-11-21`.
        since, until: unix seconds.
        nights_before: how many nights it is compared with.
        little_lying_nights: nights in a row, this one included, with too little lying.
        told: what a reader should know, the most unusual things first; in whole sentences.
        tracks: of several animals, if there were several.
    """

    camera_id: str
    horse: str
    night: str
    since: float
    until: float
    figures: Figures
    comparisons: list[Comparison]
    nights_before: int
    little_lying_nights: int
    told: list[str]
    tracks: list[TrackFigures]
    alerts: list[Course]


def figures(day: Sequence[Minute], since: float, until: float) -> Figures:
    """The figures of the night from `since` to `until` (unix seconds), which whole minutes begin and end.

    Args:
        day: the minutes of the 24 hours to `until`, oldest first.
    """
    night = [minute for minute in day if since <= minute.began_at < until]
    own = _own(night)
    bouts, longest_s = _bouts(own)
    length_s = until - since
    judged_s = sum(account.standing_s + account.lying_s for account in own)
    watched_s = sum(account.seen_s + account.unseen_s for account in own)
    whole_day = _own(day)
    judged_day_s = sum(account.standing_s + account.lying_s for account in whole_day)
    return Figures(
        lying_s=sum(account.lying_s for account in own),
        bouts=bouts,
        longest_s=longest_s,
        restless_min=sum((account.agitation_bl_s or 0.0) >= RESTLESS_BL_S for account in own),
        changes=sum(account.lay_down + account.rose for account in own),
        max_speed_bl_s=max((account.max_speed_bl_s for account in own), default=0.0),
        unknown=(watched_s - judged_s) / length_s,
        blind=max(0.0, 1.0 - watched_s / length_s),
        lying_day_s=sum(account.lying_s for account in whole_day),
        unjudged_day=max(0.0, 1.0 - judged_day_s / DAY_S),
        together_min=sum(_several(minute) for minute in night),
    )


def tracks(night: Iterable[Minute]) -> list[TrackFigures]:
    """The animals' tracks that were seen for a while, in the order in which they were first seen."""
    found: dict[int, list[tuple[int, Account]]] = {}
    for minute in night:
        for track_id, account in minute.accounts.items():
            if account.whose == "animal":
                found.setdefault(track_id, []).append((minute.began_at, account))
    shown = [
        TrackFigures(
            track_id,
            first_at=entries[0][0],
            last_at=entries[-1][0] + MINUTE_S,
            seen_s=sum(account.seen_s for _, account in entries),
            lying_s=sum(account.lying_s for _, account in entries),
        )
        for track_id, entries in found.items()
    ]
    return sorted((each for each in shown if each.seen_s >= SHOWN_TRACK_S), key=lambda each: each.first_at)


def compare(night: Figures, before: Sequence[Figures]) -> list[Comparison]:
    """Each figure of the night against those nights before that count."""
    counted = [each for each in before if each.counts]
    return [
        _comparison(measure, night, [float(getattr(each, measure.field)) for each in counted]) for measure in MEASURES
    ]


def little_lying_nights(night: Figures, before: Sequence[Figures]) -> int:
    """Nights in a row with too little lying, up to this one; `before` has the latest first."""
    in_a_row = 0
    for each in (night, *before):
        if not each.little_lying:
            break
        in_a_row += 1
    return in_a_row


def told(night: Figures, comparisons: Sequence[Comparison], in_a_row: int) -> list[str]:
    """What a reader should know, in whole sentences."""
    if night.blind >= 1.0:
        return ["Nothing is known of this night: the camera showed nothing, or nobody watched."]
    lines = []
    if in_a_row:
        before = {1: "", 2: ", as in the night before"}.get(in_a_row, f", as in the {in_a_row - 1} nights before")
        lines.append(
            f"Lay for {_shown(night.lying_day_s, 'time')} in 24 hours{before}: a horse needs 30 to 40 minutes to sleep "
            f"deeply. Of these hours {_percent(night.unjudged_day)} could not be judged."
        )
    lines += [_sentence(each) for each in comparisons if each.verdict in {"more than usual", "less than usual"}]
    if not night.counts:
        lines.append(f"{_percent(night.blind)} of the night was not watched: times are too low, nothing is compared.")
    elif not lines and comparisons and comparisons[0].usual is not None:
        lines.append("Nothing unusual.")
    if night.together_min >= TOGETHER_MIN:
        lines.append(f"Several animals were seen for {night.together_min} minutes; the figures are of them together.")
    return lines


def text(report: Report, zone: Zone) -> str:
    """The report as it is printed."""
    who = f"{report.horse} ({report.camera_id})" if report.horse else report.camera_id
    hours = f"{_clock(report.since, zone)} to {_clock(report.until, zone)}"
    lines = [f"{who}, night of {day_text(report.since, zone)}, {hours}", *(f"  {line}" for line in report.told), ""]
    lines.append(f"  {'':<16}{'this night':<14}{_of_nights(report.nights_before)}")
    for measure, each in zip(MEASURES, report.comparisons, strict=True):
        usual = ""
        if each.usual is not None and each.spread is not None:
            usual = f"{_shown(each.usual, measure.unit)} ± {_shown(each.spread, measure.unit)}"
        verdict = "" if each.verdict == "no baseline yet" else each.verdict
        lines.append(f"  {measure.label:<16}{_shown(each.value, measure.unit):<14}{usual:<27}{verdict}".rstrip())
    lines.append(f"  {'not judged':<16}{_percent(report.figures.unknown):<14}seen in no known posture, or not in view")
    lines.append(f"  {'not watched':<16}{_percent(report.figures.blind):<14}camera blind or away")
    for track in report.tracks:
        when = f"{_clock(track.first_at, zone)} to {_clock(track.last_at, zone)}"
        lying = f"lay {_shown(track.lying_s, 'time')} of {_shown(track.seen_s, 'time')} seen"
        lines.append(f"  {f'track {track.track_id}':<16}{lying}, {when}")
    return "\n".join([*lines, *_alert_lines(report, zone)])


def _own(minutes: Iterable[Minute]) -> list[Account]:
    return [minute.accounts[WHOLE] for minute in minutes if WHOLE in minute.accounts]


def _bouts(own: Iterable[Account]) -> tuple[int, float]:
    """How many bouts of lying there are, and the seconds of the longest.

    Only standing ends one, for unknown is a state. What was added up in the minute of a rise belongs to the bout that
    ended in it.
    """
    count, longest_s, bout_s, lies = 0, 0.0, 0.0, False
    for account in own:
        if not lies and not account.lay_down and (account.lying_s > 0 or account.rose):
            count, lies = count + 1, True  # nobody saw it lie down
        count += account.lay_down
        bout_s += account.lying_s
        longest_s = max(longest_s, bout_s)
        lies = lies + account.lay_down - account.rose > 0
        if account.rose:
            bout_s = 0.0
    return count, longest_s


def _several(minute: Minute) -> bool:
    animals = [account for account in minute.accounts.values() if account.whose == "animal"]
    return sum(account.seen_s >= TOGETHER_S for account in animals) >= 2


def _comparison(measure: Measure, night: Figures, before: Sequence[float]) -> Comparison:
    value = float(getattr(night, measure.field))
    if len(before) < LEAST_NIGHTS:
        return Comparison(measure.field, value, None, None, "no baseline yet")
    usual = median(before)
    spread = SIGMA_PER_MAD * median(abs(each - usual) for each in before)
    verdict: Verdict = "as usual"
    if not night.counts:
        verdict = "not compared"
    elif abs(value - usual) > max(UNUSUAL_SPREADS * spread, measure.least):
        verdict = "more than usual" if value > usual else "less than usual"
    return Comparison(measure.field, value, usual, spread, verdict)


def _sentence(each: Comparison) -> str:
    """A comparison that is unusual, in words."""
    measure = next(measure for measure in MEASURES if measure.field == each.field)
    value, usual = _shown(each.value, measure.unit), _shown(each.usual or 0.0, measure.unit)
    sayings = {
        "lying_s": f"Lay for {value} in all; {usual} is usual.",
        "bouts": f"Lay down {value}; {usual} is usual.",
        "longest_s": f"Lay for {value} at a time at most; {usual} is usual.",
        "changes": f"Changed between lying and standing {value}; {usual} is usual.",
        "restless_min": f"Was restless for {value}; {usual} is usual.",
        "max_speed_bl_s": f"Moved at up to {value}; {usual} is usual.",
    }
    return sayings[each.field]


def _alert_lines(report: Report, zone: Zone) -> list[str]:
    if not report.alerts:
        return ["  No alerts."]
    lines = ["  Alerts"]
    for course in report.alerts:
        lasted = "to the end" if course.cleared_at is None else f"for {span(course.cleared_at - course.raised_at)}"
        words = course.message if course.told else f"{course.message}  (muted)"
        lines.append(f"    {_clock(course.raised_at, zone)}  {course.severity:<8}  {lasted:<14}  {words}")
    return lines


def _of_nights(count: int) -> str:
    if count < LEAST_NIGHTS:
        return f"no baseline yet: {count} of the {LEAST_NIGHTS} nights that it takes"
    return f"usually ({count} nights)"


def _shown(value: float, unit: str) -> str:
    if unit == "times":
        return "once" if value == 1 else f"{value:.0f} times"
    if unit == "speed":
        return f"{value:.1f} bl/s"
    minutes = round(value if unit == "minutes" else value / MINUTE_S)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _percent(share: float) -> str:
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _clock(at: float, zone: Zone) -> str:
    return clock_text(at, at, zone)[:5]
