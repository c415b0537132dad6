"""Recorded results through the pipeline once more, and what two sets of rules make of the same night.

Pure: it takes messages and returns what came of them. The state begins empty, as that of a new camera: what was going
on before the recording began is not known, so an episode of that time begins with its first picture.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from fbtasks.alert import SEVERITIES, Alert, Severity
from fbtasks.errors import BadMessage
from fbtasks.logic.localtime import Zone
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.state import CameraState
from fbtasks.logic.track_chart import TrackChart
from fbtasks.wire import decode_mailed

SAME_MOMENT_S = 0.5
"""Two raises closer than this are not told apart."""


class Run(msgspec.Struct):
    """What one camera's recording comes to under one set of rules.

    Attributes:
        camera_id: whose.
        results: how many were decided on.
        late, refused: how many came too late, and how many the pipeline could not use.
        alerts: in the order in which they happened.
        chart: what the pipeline believed of each track.
    """

    camera_id: str
    results: int
    late: int
    refused: int
    alerts: list[Alert]
    chart: TrackChart


class Course(msgspec.Struct, frozen=True):
    """One episode from its raise to its end.

    Attributes:
        raised_at, cleared_at: unix seconds of capture time; `cleared_at` is None when the recording ends before.
        severity: the highest it came to.
        message: of its raise.
        told: whether its raise went on to the sinks; what is muted does not.
    """

    camera_id: str
    rule: str
    episode_id: UUID
    raised_at: float
    cleared_at: float | None
    severity: Severity
    message: str
    told: bool = True


class Difference(msgspec.Struct, frozen=True):
    """An episode that two runs tell differently; None where a run does not tell it at all."""

    before: Course | None
    after: Course | None

    @property
    def one(self) -> Course:
        """Either of the two, the first if there are both."""
        course = self.before or self.after
        assert course is not None
        return course

    @property
    def changes(self) -> list[str]:
        """What differs, in words."""
        if self.after is None:
            return ["no longer raised"]
        if self.before is None:
            return ["newly raised"]
        return [*_shift(self.before, self.after), *_severity_change(self.before, self.after)]


def run(camera_id: str, messages: Iterable[bytes], pipeline: Pipeline) -> Run:
    """Take one camera's messages, in the order in which they were decided on."""
    state = CameraState(camera_id=camera_id)
    outcome = Run(camera_id, 0, 0, 0, [], TrackChart(camera_id))
    for message in messages:
        try:
            state, decision, alerts = pipeline.step(state, decode_mailed(message))
        except BadMessage:
            outcome.refused += 1
            continue
        state.ledger.take()  # nobody stores them here, and they would pile up
        outcome.alerts += alerts
        if decision is not None:
            outcome.results += 1
            outcome.chart.add(decision)
    outcome.late = state.late
    return outcome


def night_of(at: float, zone: Zone) -> date:
    """The night that `at` (unix seconds) belongs to, from noon to noon, by the day on which it begins."""
    return (datetime.fromtimestamp(at, zone) - timedelta(hours=12)).date()


def courses(alerts: Iterable[Alert]) -> list[Course]:
    """The episodes behind the alerts, by the time of their raise."""
    by_episode: dict[UUID, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_episode[alert.episode_id].append(alert)
    return sorted(map(_course, by_episode.values()), key=lambda course: (course.raised_at, course.camera_id))


def _course(alerts: list[Alert]) -> Course:
    first, last = alerts[0], alerts[-1]
    return Course(
        camera_id=first.camera_id,
        rule=first.rule,
        episode_id=first.episode_id,
        raised_at=first.at,
        cleared_at=last.at if last.event == "cleared" else None,
        severity=max((alert.severity for alert in alerts), key=SEVERITIES.index),
        message=first.message,
    )


def differences(before: Sequence[Course], after: Sequence[Course]) -> list[Difference]:
    """What changes from one run of a recording to another, by time; what is told alike is left out.

    Two episodes are one and the same when they have the same identifier, else when they are of one camera and rule and
    overlap; of several that do, the one raised at the nearest time.
    """
    unmatched = list(after)
    pairs: dict[UUID, Course] = {}
    for same in (_identical, _overlap):
        for course in before:
            candidates = [other for other in unmatched if same(course, other)]
            if course.episode_id not in pairs and candidates:
                nearest = min(candidates, key=lambda other, at=course.raised_at: abs(other.raised_at - at))  # type: ignore[misc]
                pairs[course.episode_id] = nearest
                unmatched.remove(nearest)
    found = [Difference(course, pairs.get(course.episode_id)) for course in before]
    found += [Difference(None, course) for course in unmatched]
    return sorted((each for each in found if each.changes), key=lambda each: each.one.raised_at)


def _identical(one: Course, other: Course) -> bool:
    return one.episode_id == other.episode_id


def _overlap(one: Course, other: Course) -> bool:
    if (one.camera_id, one.rule) != (other.camera_id, other.rule):
        return False
    return one.raised_at <= _end(other) and other.raised_at <= _end(one)


def _end(course: Course) -> float:
    return float("inf") if course.cleared_at is None else course.cleared_at


def _shift(before: Course, after: Course) -> list[str]:
    later = after.raised_at - before.raised_at
    if abs(later) < SAME_MOMENT_S:
        return []
    return [f"raised {span(abs(later))} {'later' if later > 0 else 'earlier'}"]


def _severity_change(before: Course, after: Course) -> list[str]:
    if before.severity == after.severity:
        return []
    return [f"{before.severity} becomes {after.severity}"]


def span(seconds: float) -> str:
    """A length of time as `1:02:03`, `2:03` minutes or `3.5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
