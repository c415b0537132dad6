"""Alerts about the system itself: one episode for each part that is down, from the second look to the second clear one.

    fine ──down──► pending ──down at the next look too, and for long enough──► raised ──well at two looks──► cleared

What cannot be seen because something else is down neither raises nor clears. Two look: the check that beat starts, for
all that the logic can see, and the watcher outside of Celery, for what keeps that check from being made or told of.
Each part has one of the two, so nothing is told twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from fbtasks.alert import SITE, Alert, Event, Severity, alert_id, episode_id
from fbtasks.health import Finding
from fbtasks.logic.rules.base import duration

SEVERITY: Severity = "critical"
LOOKS = 2
"""One look may fall into a restart or a busy second."""


@dataclass(frozen=True)
class Part:
    """One part of the system, as people are told of it.

    Attributes:
        rule: of its alerts.
        down: what it means when it is down.
        well: that it is well again.
        outside: the watcher outside of Celery looks after it, for while it is down nobody else can tell.
        behind: subject of what it cannot work without. While that is down, and until its return is told, this one is
            not judged: one fault is one alert. Afterwards it has as much time as anybody to get going again.
    """

    rule: str
    down: str
    well: str
    outside: bool = False
    behind: str | None = None


PARTS: dict[str, Part] = {
    "producer": Part(
        "system.producer",
        "The cameras are not being read, so nobody watches the horses",
        "The cameras are being read again",
        behind="frames redis",
    ),
    "gpu": Part(
        "system.gpu_worker",
        "The pictures are not being analysed, so nobody watches the horses",
        "The pictures are being analysed again",
        behind="frames redis",
    ),
    "logic": Part(
        "system.logic",
        "Nothing decides on what the cameras see, so nobody watches the horses",
        "What the cameras see is being decided on again",
        outside=True,
    ),
    "beat": Part(
        "system.beat",
        "The system's clock (beat) has stopped: silent cameras and late alerts are not noticed",
        "The system's clock (beat) runs again",
        outside=True,
    ),
    "redis": Part(
        "system.redis",
        "Redis, which joins all parts of the system, is down, so nobody watches the horses",
        "Redis is well again",
        outside=True,
    ),
    "frames redis": Part(
        "system.frames_redis",
        "The Redis with the pictures is down, so nobody watches the horses",
        "The Redis with the pictures is well again",
    ),
    "store": Part(
        "system.store",
        "The database of alerts is down: alerts wait until it is back",
        "The database of alerts is well again",
        outside=True,
    ),
    "outbox": Part(
        "system.outbox",
        "Alerts do not reach the database",
        "Alerts reach the database again",
        outside=True,
    ),
    "deliveries": Part(
        "system.deliveries",
        "Alerts do not reach one of the places that they are to be sent to",
        "Alerts reach all places that they are to be sent to",
    ),
    "watch": Part(
        "system.watch",
        "The watcher outside (`fbtasks check --watch`) is down: nobody would notice if all else stopped",
        "The watcher outside (`fbtasks check --watch`) is well again",
    ),
}
"""By the subject of their findings."""
SYSTEM_RULES = tuple(part.rule for part in PARTS.values())
INSIDE = frozenset(subject for subject, part in PARTS.items() if not part.outside)
OUTSIDE = frozenset(PARTS) - INSIDE


class Trouble(msgspec.Struct):
    """One part that is down, or was until the last look.

    Attributes:
        started_at: when it went down, or was first seen to be; part of the episode's identifier.
        looks: how many looks in a row have said the same, which is what `is_down` says.
        raised: whether anybody was told.
    """

    started_at: float
    is_down: bool = True
    looks: int = 0
    raised: bool = False


class Troubles(msgspec.Struct):
    """What has to be remembered between two looks.

    Attributes:
        by_subject: what is down.
        ended_at: when each part's last trouble ended.
    """

    by_subject: dict[str, Trouble] = {}
    ended_at: dict[str, float] = {}

    def step(
        self, findings: Iterable[Finding], subjects: Iterable[str], *, now: float, patience_s: float
    ) -> list[Alert]:
        """Move on to `now` (unix seconds), in place, and tell what became of it.

        Args:
            findings: of this look.
            subjects: who asks looks after these alone.
            patience_s: what is down for less is not told of.
        """
        wanted = set(subjects)
        alerts: list[Alert] = []
        for finding in findings:
            if finding.subject in wanted and not self._is_hidden(finding):
                alerts += self._judge(finding, now, patience_s)
        return alerts

    def _is_hidden(self, finding: Finding) -> bool:
        return finding.level == "unknown" or PARTS[finding.subject].behind in self.by_subject

    def _judge(self, finding: Finding, now: float, patience_s: float) -> list[Alert]:
        is_down = finding.level == "critical"
        trouble = self.by_subject.get(finding.subject)
        if trouble is None:
            if not is_down:
                return []
            able_at = self.ended_at.get(PARTS[finding.subject].behind or "", 0.0)
            trouble = self.by_subject[finding.subject] = Trouble(max(min(finding.since or now, now), able_at))
        trouble.looks = trouble.looks + 1 if is_down == trouble.is_down else 1
        trouble.is_down = is_down
        if is_down:
            return self._raise(finding, trouble, now, patience_s)
        return self._end(finding, trouble, now)

    def _raise(self, finding: Finding, trouble: Trouble, now: float, patience_s: float) -> list[Alert]:
        if trouble.raised or trouble.looks < LOOKS or now - trouble.started_at < patience_s:
            return []
        trouble.raised = True
        return [_alert(finding, trouble, "raised", now)]

    def _end(self, finding: Finding, trouble: Trouble, now: float) -> list[Alert]:
        if trouble.raised and trouble.looks < LOOKS:
            return []
        del self.by_subject[finding.subject]
        self._free(finding.subject, now)
        return [_alert(finding, trouble, "cleared", now)] if trouble.raised else []

    def _free(self, subject: str, now: float) -> None:
        """A part is well again: what stands behind it begins anew."""
        self.ended_at[subject] = now
        for other, trouble in list(self.by_subject.items()):
            if PARTS[other].behind == subject and not trouble.raised:
                del self.by_subject[other]


def troubles_of(open_episodes: Sequence[Alert], subjects: Iterable[str]) -> Troubles:
    """What is down, from the store's open episodes of `SITE`: after whoever looks has forgotten it."""
    subject_of = {PARTS[subject].rule: subject for subject in subjects}
    return Troubles(
        {
            subject_of[alert.rule]: Trouble(alert.started_at, raised=True)
            for alert in open_episodes
            if alert.rule in subject_of
        }
    )


def _alert(finding: Finding, trouble: Trouble, event: Event, now: float) -> Alert:
    part = PARTS[finding.subject]
    raised = event == "raised"
    episode = episode_id(SITE, part.rule, None, trouble.started_at)
    after = f", after {duration(now - trouble.started_at)}"
    number = 0 if raised else 1
    return Alert(
        id=alert_id(episode, number),
        episode_id=episode,
        number=number,
        event=event,
        camera_id=SITE,
        rule=part.rule,
        severity=SEVERITY,
        track_id=None,
        started_at=trouble.started_at,
        at=now,
        message=f"{part.down} ({finding.text})" if raised else part.well + after,
        evidence={"seen": finding.text},
    )
