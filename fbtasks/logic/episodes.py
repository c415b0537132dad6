"""From "the condition holds now" to alerts: one episode per rule and animal, from its first moment to its clear.

    pending ──held long enough──► raised ──held longer──► escalated ──over for clear_after_s──► cleared
       │                                                                     ▲
       └──over for as long as it held──► forgotten          not seen for lost_clear_after_s

An episode adds up the time in which its condition was *seen* to hold. Unknown time (an unsure posture, a hidden animal,
a gap between pictures) pauses it: it counts neither for the condition nor for its end, so a blind camera can neither
complete nor end a lying timer.

**An animal that is lost** leaves its episodes behind, paused. The next animal that comes into view takes them over: in
a stall with one horse that is the same horse. One that was in view together with the lost one does not. When the camera
watches for `lost_clear_after_s` without that happening, an open alert is cleared, saying so; the time it had added up
stays behind as a pending episode. A horse that lies where the model cannot see it is thus not timed from nothing when
it is seen again, and one that had left comes back on its feet, which ends the timer.
"""

from typing import get_args

import msgspec

from fbtasks.alert import Alert, Event, Severity, alert_id, episode_id
from fbtasks.logic.rules import Rule
from fbtasks.logic.rules.base import Evidence
from fbtasks.logic.smoother import MAX_GAP_S, Reading
from fbtasks.logic.tracker import Track

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MAX_SHARED_VIEW_S = 2.0
"""A track seen together with a lost one for longer is another animal; for less, it may be the same one found twice."""
MOST_ORPHANS = 16
"""Pending episodes without an animal that are kept for one rule; beyond, those that had held shortest are forgotten."""


class Episode(msgspec.Struct):
    """One rule's condition on one animal.

    Attributes:
        rule: its name.
        track_id: the track it began with; part of its identifier.
        started_at: when the condition was first seen, or when the timer was left behind by a clear.
        judged_at: until when its times are added up.
        holder: the track it is judged on; None while the animal is lost.
        held_s: seconds in which the condition was seen to hold.
        over_s: seconds in which it was seen not to, since it last held.
        unseen_s: seconds of watching since the animal was lost.
        seen_at: when the holder was last seen.
        severity: of the last alert; None while pending.
        number: of the next alert.
    """

    rule: str
    track_id: int | None
    started_at: float
    judged_at: float
    holder: int | None
    held_s: float = 0.0
    over_s: float = 0.0
    unseen_s: float = 0.0
    seen_at: float = 0.0
    severity: Severity | None = None
    number: int = 0


class Cleared(msgspec.Struct, frozen=True):
    """When the last alert of a rule on this camera was cleared, and the highest severity it had."""

    at: float
    severity: Severity


class Book(msgspec.Struct):
    """The episodes of one camera, and each rule's last clear."""

    episodes: list[Episode] = []
    cleared: dict[str, Cleared] = {}

    def restart_clock(self, now: float) -> None:
        """Go on at `now`, earlier than what was noted: keep what was added up, and let the animals be found anew.

        `started_at` stays, as part of the identifier; such an episode may seem to end before it began.
        """
        for episode in self.episodes:
            episode.holder, episode.judged_at = None, now
            episode.seen_at = min(episode.seen_at, now)
        self.cleared = {name: Cleared(min(last.at, now), last.severity) for name, last in self.cleared.items()}


class Judged(msgspec.Struct, frozen=True):
    """A confirmed track and what is believed of it."""

    track: Track
    reading: Reading


class Episodes:
    """The episodes of one camera under its rules."""

    def __init__(self, camera_id: str, rules: tuple[Rule, ...]) -> None:
        self._camera_id = camera_id
        self._rules = {rule.name: rule for rule in rules}
        self._levels = {rule.name: rule.levels for rule in rules}

    def step(self, book: Book, judged: list[Judged], now: float) -> list[Alert]:
        """Move `book`, in place, on to `now`, and tell what became of it.

        Args:
            book: the camera's.
            judged: every confirmed track that is not lost.
            now: capture time, later than that of the step before.
        """
        alerts = self._retire(book, now)
        for rule in self._rules.values():
            mine = {view.track.id: view for view in judged if view.track.kind == rule.kind}
            for episode in _of(book, rule):
                self._follow(book, episode, mine)
            self._begin(book, rule, mine, now)
            for episode in _of(book, rule):
                alerts += self._advance(book, rule, episode, mine, now)
            _bound(book, rule)
        return alerts

    def _retire(self, book: Book, now: float) -> list[Alert]:
        """End the episodes of rules that the settings no longer hold."""
        retired = [episode for episode in book.episodes if episode.rule not in self._rules]
        alerts: list[Alert] = []
        for episode in retired:
            message = f"The rule {episode.rule} was switched off for {self._camera_id}"
            if episode.severity is None:
                book.episodes.remove(episode)
            else:
                alerts += self._clear(book, episode, message, {"reason": "rule switched off"}, now)
        return alerts

    def _follow(self, book: Book, episode: Episode, mine: dict[int, Judged]) -> None:
        """Keep the episode with its track, or leave it without one, or give it to the animal that came instead."""
        if episode.holder in mine:
            episode.seen_at = mine[episode.holder].track.last_seen_at
            return
        episode.holder = None
        heir = self._heir(book, episode, mine)
        if heir is not None:
            episode.holder, episode.unseen_s = heir.track.id, 0.0
            episode.seen_at = heir.track.last_seen_at

    def _heir(self, book: Book, orphan: Episode, mine: dict[int, Judged]) -> Judged | None:
        """The oldest track that may be the lost animal; a pending episode of its own gives way to the orphan."""
        own = {other.holder: other for other in book.episodes if other.rule == orphan.rule and other.holder is not None}
        for track_id, view in mine.items():
            other = own.get(track_id)
            if view.track.first_seen_at < orphan.seen_at - MAX_SHARED_VIEW_S:
                continue
            if other is None:
                return view
            if other.severity is None and _weight(orphan) > _weight(other):
                orphan.held_s += other.held_s
                book.episodes.remove(other)
                return view
        return None

    def _begin(self, book: Book, rule: Rule, mine: dict[int, Judged], now: float) -> None:
        taken = {episode.holder for episode in _of(book, rule)}
        for track_id, view in mine.items():
            if track_id not in taken and rule.judge(view.reading, raised=False):
                seen_at = view.track.last_seen_at
                book.episodes.append(Episode(rule.name, track_id, now, now, track_id, seen_at=seen_at))

    def _advance(self, book: Book, rule: Rule, episode: Episode, mine: dict[int, Judged], now: float) -> list[Alert]:
        elapsed = now - episode.judged_at
        episode.judged_at = now
        watched = elapsed if elapsed <= MAX_GAP_S else 0.0
        if episode.holder is None:
            return self._miss(book, rule, episode, watched, now)
        reading = mine[episode.holder].reading
        holds = rule.judge(reading, raised=episode.severity is not None)
        if holds:
            episode.held_s += watched
            episode.over_s = 0.0
            hidden = self._hidden_twin(book, episode, mine, now)
            if hidden is not None and self._is_due(rule, episode):
                hidden.holder, hidden.seen_at = episode.holder, now
                book.episodes.remove(episode)
                return []
            return self._raise(book, rule, episode, reading, now)
        if holds is False:
            episode.over_s += watched
            return self._end(book, rule, episode, reading, now)
        return []

    def _is_due(self, rule: Rule, episode: Episode) -> bool:
        return episode.held_s >= self._levels[rule.name][0].after_s

    def _hidden_twin(self, book: Book, episode: Episode, mine: dict[int, Judged], now: float) -> Episode | None:
        """The open alert of an animal that vanished as this episode's appeared, which is probably the same one.

        For a pending episode only, and only when it is about to be raised: the tracker may take seconds to give the
        first track up, and one horse that bolts would be told of twice.
        """
        if episode.severity is not None or episode.holder is None:
            return None
        appeared_at = mine[episode.holder].track.first_seen_at
        for other in book.episodes:
            is_open = other.rule == episode.rule and other.severity is not None
            if is_open and other.seen_at < now and appeared_at >= other.seen_at - MAX_SHARED_VIEW_S:
                return other
        return None

    def _miss(self, book: Book, rule: Rule, episode: Episode, watched: float, now: float) -> list[Alert]:
        episode.unseen_s += watched
        if episode.severity is None or episode.unseen_s < rule.lost_clear_after_s:
            return []
        evidence: Evidence = {"reason": "no longer seen", "unseen_s": episode.unseen_s}
        cleared = self._clear(book, episode, rule.lost_message(self._camera_id), evidence, now)
        remainder = Episode(rule.name, episode.track_id, now, now, None, held_s=episode.held_s, seen_at=episode.seen_at)
        book.episodes.append(remainder)
        return cleared

    def _raise(self, book: Book, rule: Rule, episode: Episode, reading: Reading, now: float) -> list[Alert]:
        due = [level.severity for level in self._levels[rule.name] if level.after_s <= episode.held_s]
        if not due or _rank(due[-1]) <= _rank(episode.severity):
            return []
        event: Event = "raised" if episode.severity is None else "escalated"
        if event == "raised" and self._cooling(book, rule, due[-1], now):
            return []
        episode.severity = due[-1]
        message = rule.raised_message(self._camera_id, episode.held_s, reading)
        return [self._alert(episode, event, now, message, rule.evidence(reading))]

    def _cooling(self, book: Book, rule: Rule, severity: Severity, now: float) -> bool:
        last = book.cleared.get(rule.name)
        return last is not None and now - last.at < rule.cooldown_s and _rank(severity) <= _rank(last.severity)

    def _end(self, book: Book, rule: Rule, episode: Episode, reading: Reading, now: float) -> list[Alert]:
        if episode.severity is None:
            # A pending condition must hold to be believed: a moment of it ends with a moment without.
            if episode.over_s >= min(rule.clear_after_s, episode.held_s):
                book.episodes.remove(episode)
            return []
        if episode.over_s < rule.clear_after_s:
            return []
        message = rule.cleared_message(self._camera_id, episode.held_s)
        return self._clear(book, episode, message, rule.evidence(reading) | {"reason": "seen to be over"}, now)

    def _clear(self, book: Book, episode: Episode, message: str, evidence: Evidence, now: float) -> list[Alert]:
        book.episodes.remove(episode)
        if episode.severity is not None:
            book.cleared[episode.rule] = Cleared(now, episode.severity)
        return [self._alert(episode, "cleared", now, message, evidence)]

    def _alert(self, episode: Episode, event: Event, now: float, message: str, evidence: Evidence) -> Alert:
        if episode.severity is None:
            raise ValueError(f"an episode of {episode.rule} that was never raised has no alert")
        identifier = episode_id(self._camera_id, episode.rule, episode.track_id, episode.started_at)
        alert = Alert(
            id=alert_id(identifier, episode.number),
            episode_id=identifier,
            number=episode.number,
            event=event,
            camera_id=self._camera_id,
            rule=episode.rule,
            severity=episode.severity,
            track_id=episode.track_id,
            started_at=episode.started_at,
            at=now,
            message=message,
            evidence={"held_s": episode.held_s, **evidence},
        )
        episode.number += 1
        return alert


def _of(book: Book, rule: Rule) -> list[Episode]:
    """The episodes of `rule`, the weightiest first: an open alert finds its animal before a pending one does."""
    return sorted((e for e in book.episodes if e.rule == rule.name), key=_weight, reverse=True)


def _weight(episode: Episode) -> tuple[int, float]:
    return _rank(episode.severity), episode.held_s


def _rank(severity: Severity | None) -> int:
    return -1 if severity is None else SEVERITIES.index(severity)


def _bound(book: Book, rule: Rule) -> None:
    paused = [episode for episode in _of(book, rule) if episode.holder is None and episode.severity is None]
    for episode in paused[MOST_ORPHANS:]:
        book.episodes.remove(episode)
