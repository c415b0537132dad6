"""From "the condition holds now" to alerts: one episode per rule and animal, from its first moment to its clear.

    pending ──held long enough──► raised ──held longer──► escalated ──over for clear_after_s──► cleared
       │                           (updated: told again every remind_every_s)              ▲
       └──over for as long as it held──► forgotten                not seen for lost_clear_after_s

An episode adds up the time in which its condition was *seen* to hold. Unknown time (an unsure posture, a hidden animal,
a gap between pictures) pauses it: it counts neither for the condition nor for its end, so a blind camera can neither
complete nor end a lying timer.

**A short gap is bridged** where the rule says so (`bridge_s`): a horse that lies before and after it, in the same
place, lay. The time between is added when the condition is seen to hold again, and alerts tell how much of their time
was so added. A longer gap only pauses.

**An animal that is lost** leaves its episodes behind, paused. The next animal that comes into view takes them over: in
a stall with one horse that is the same horse; of several that may be it, the one nearest to where it was seen last. One
that was in view together with the lost one does not. When the camera
watches for `lost_clear_after_s` without that happening, an open alert is cleared, saying so; the time it had added up
stays behind as a pending episode. A horse that lies where the model cannot see it is thus not timed from nothing when
it is seen again, and one that had left comes back on its feet, which ends the timer.

**The cooldown** after a clear is the animal's, not the camera's: another that lies down is told of at once. The animal
is followed as an episode's is, so that one found anew under another number is not told of twice.

A rule about the camera as a whole has one episode at a time, which is never lost. While the camera is blind, only these
rules are asked; the others stand still.
"""

from math import dist
from typing import Any

from fbtasks.alert import SEVERITIES, Alert, Event, Severity, alert_id, episode_id
from fbtasks.logic.book import WHOLE, Book, Cleared, Episode
from fbtasks.logic.localtime import Zone, within
from fbtasks.logic.moment import SEEN_AS
from fbtasks.logic.motion import Corners
from fbtasks.logic.rules import Rule
from fbtasks.logic.rules.base import CameraRule, Evidence, TrackRule
from fbtasks.logic.scene import Judged, Scene

MAX_SHARED_VIEW_S = 2.0
"""A track seen together with a lost one for longer is another animal; for less, it may be the same one found twice."""
MOST_ORPHANS = 16
"""Pending episodes without an animal that are kept for one rule; beyond, those that had held shortest are forgotten.
As many cooldowns are kept; beyond, the oldest are."""
MOMENT_S = 1.5
"""What is pending is not forgotten sooner where a rule knows of lapses."""
Seen = dict[int, Any]
"""What a rule judges, by holder: its tracks, or the scene."""


class Episodes:
    """The episodes of one camera under its rules."""

    def __init__(self, camera_id: str, rules: tuple[Rule, ...], zone: Zone = None) -> None:
        self._camera_id = camera_id
        self._zone = zone
        self._rules = {rule.name: rule for rule in rules}
        self._levels = {rule.name: rule.levels for rule in rules}

    def step(self, book: Book, scene: Scene) -> list[Alert]:
        """Move `book`, in place, on to the time of `scene`, and tell what became of it.

        Args:
            book: the camera's.
            scene: what is to be seen, at a later time than that of the step before.
        """
        alerts = self._retire(book, scene.at)
        for rule in self._rules.values():
            try:
                if isinstance(rule, CameraRule):
                    alerts += self._apply(book, rule, {WHOLE: scene}, scene)
                elif isinstance(rule, TrackRule) and scene.blind is None:
                    mine = {view.track.id: view for view in scene.judged if view.track.kind == rule.kind}
                    alerts += self._apply(book, rule, mine, scene)
                    _bound(book, rule)
            except Exception as error:
                error.add_note(f"in the rule {rule.name!r} of camera {self._camera_id}")
                raise
        return alerts

    def _apply(self, book: Book, rule: Rule, seen: Seen, scene: Scene) -> list[Alert]:
        for episode in _of(book, rule):
            self._follow(book, rule, episode, seen)
        _follow_cleared(book, rule, seen, scene.at)
        begun = self._begin(book, rule, seen, scene.at)
        watched = scene.elapsed_s if scene.elapsed_s <= rule.max_gap_s else 0.0
        alerts: list[Alert] = []
        for episode in _of(book, rule):
            is_new = any(episode is one for one in begun)
            alerts += self._advance(book, rule, episode, seen, watched=0.0 if is_new else watched, now=scene.at)
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

    def _follow(self, book: Book, rule: Rule, episode: Episode, seen: Seen) -> None:
        """Keep the episode with its track, or leave it without one, or give it to the animal that came instead."""
        if isinstance(rule, CameraRule):
            episode.holder = WHOLE
        elif episode.holder in seen:
            episode.note(seen[episode.holder])
        else:
            episode.holder = None
            self._hand_on(book, rule, episode, seen)

    def _hand_on(self, book: Book, rule: Rule, orphan: Episode, mine: dict[int, Judged]) -> None:
        heir = self._heir(book, rule, orphan, mine)
        if heir is not None:
            orphan.holder, orphan.unseen_s = heir.track.id, 0.0
            orphan.note(heir)

    def _heir(self, book: Book, rule: Rule, orphan: Episode, mine: dict[int, Judged]) -> Judged | None:
        """The track nearest to where the lost animal was that may be it, or the oldest one.

        A pending episode of its own gives way to the orphan.
        """
        own = {other.holder: other for other in book.episodes if other.rule == orphan.rule and other.holder is not None}
        for view in _nearest_first(orphan.place, mine):
            other = own.get(view.track.id)
            if not _may_be(orphan, view):
                continue
            if other is None:
                return view
            if other.severity is None and _weight(orphan) > _weight(other):
                _take_in(rule, orphan, other, view)
                book.episodes.remove(other)
                return view
        return None

    def _begin(self, book: Book, rule: Rule, seen: Seen, now: float) -> list[Episode]:
        """Open an episode, as yet pending, on each that shows the condition and has none."""
        taken = {episode.holder for episode in _of(book, rule)}
        begun = [
            _first(book, rule, holder, one, now)
            for holder, one in seen.items()
            if holder not in taken and rule.judge(one, raised=False)
        ]
        book.episodes += begun
        return begun

    def _advance(
        self, book: Book, rule: Rule, episode: Episode, seen: Seen, *, watched: float, now: float
    ) -> list[Alert]:
        """Judge one episode at `now`; what is judged has gone on for `watched` seconds."""
        if episode.holder is None:
            return self._miss(book, rule, episode, watched, now) if isinstance(rule, TrackRule) else []
        one = seen[episode.holder]
        holds = rule.judge_pending(one) if episode.severity is None else rule.judge(one, raised=True)
        if holds:
            _hold(rule, episode, one, watched, now)
            hidden = self._hidden_twin(book, episode, seen, now)
            if hidden is not None and self._is_due(rule, episode):
                hidden.holder, hidden.seen_at = episode.holder, now
                book.episodes.remove(episode)
                return []
            return self._raise(book, rule, episode, one, now)
        if holds is False:
            episode.over_s += watched
            if episode.over_s >= _lapse_s(rule):
                episode.held_at = None
            return self._end(book, rule, episode, one, now)
        return []

    def _is_due(self, rule: Rule, episode: Episode) -> bool:
        return episode.held_s >= self._levels[rule.name][0].after_s

    def _hidden_twin(self, book: Book, episode: Episode, seen: Seen, now: float) -> Episode | None:
        """The open alert of an animal that vanished as this episode's appeared, which is probably the same one.

        For a pending episode only, and only when it is about to be raised: the tracker may take seconds to give the
        first track up, and one horse that bolts would be told of twice.
        """
        if episode.severity is not None or episode.holder is None or episode.track_id is None:
            return None
        appeared_at = seen[episode.holder].track.first_seen_at
        for other in book.episodes:
            is_open = other.rule == episode.rule and other.severity is not None
            if is_open and other.seen_at < now and appeared_at >= other.seen_at - MAX_SHARED_VIEW_S:
                return other
        return None

    def _miss(self, book: Book, rule: TrackRule, episode: Episode, watched: float, now: float) -> list[Alert]:
        episode.unseen_s += watched
        if episode.severity is None or episode.unseen_s < rule.lost_clear_after_s:
            return []
        evidence: Evidence = {"reason": "no longer seen", "unseen_s": episode.unseen_s}
        cleared = self._clear(book, episode, rule.lost_message(self._camera_id), evidence, now)
        remainder = Episode(rule.name, episode.track_id, now, None, held_s=episode.held_s, seen_at=episode.seen_at)
        remainder.place = episode.place
        book.episodes.append(remainder)
        return cleared

    def _raise(self, book: Book, rule: Rule, episode: Episode, one: Any, now: float) -> list[Alert]:
        due = [level for level in self._levels[rule.name] if level.after_s <= episode.held_s]
        event = _event(rule, episode, due[-1].severity if due else None)
        if event is None or (rule.active and not within(rule.active, now, self._zone)):
            return []
        message = rule.raised_message(self._camera_id, episode.held_s, one)
        evidence = rule.evidence(one) | rule.thresholds() | _bridged(rule, episode)
        if event != "updated":
            severity = due[-1].severity
            if event == "raised" and _cooling(book, rule, episode, one, severity=severity, now=now):
                return []
            episode.severity = severity
            evidence |= {"threshold_s": due[-1].after_s}
        return [self._alert(episode, event, now, message, evidence)]

    def _end(self, book: Book, rule: Rule, episode: Episode, one: Any, now: float) -> list[Alert]:
        if episode.severity is None:
            # A pending condition must hold to be believed: a moment of it ends with a moment without.
            if episode.over_s >= max(min(rule.clear_after_s, episode.held_s), min(_lapse_s(rule), MOMENT_S)):
                book.episodes.remove(episode)
            return []
        if episode.over_s < rule.clear_after_s:
            return []
        message = rule.cleared_message(self._camera_id, episode.held_s)
        evidence = rule.evidence(one) | {"reason": "seen to be over"} | _bridged(rule, episode)
        return self._clear(book, episode, message, evidence, now)

    def _clear(self, book: Book, episode: Episode, message: str, evidence: Evidence, now: float) -> list[Alert]:
        book.episodes.remove(episode)
        if episode.severity is not None:
            book.cleared.append(Cleared(episode.rule, now, episode.severity, episode.holder, episode.seen_at))
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
            evidence={"held_s": episode.held_s, SEEN_AS: episode.holder or None, **evidence},
        )
        episode.number += 1
        episode.told_s = episode.held_s
        return alert


def _event(rule: Rule, episode: Episode, due: Severity | None) -> Event | None:
    """What is to be told of an episode whose condition holds, when `due` is the gravest level that it has reached."""
    if _rank(due) > _rank(episode.severity):
        return "raised" if episode.severity is None else "escalated"
    is_late = rule.remind_every_s is not None and episode.held_s - episode.told_s >= rule.remind_every_s
    return "updated" if episode.severity is not None and is_late else None


def _first(book: Book, rule: Rule, holder: int, one: Any, now: float) -> Episode:
    """The episode of a condition that is first judged to hold at `now`."""
    # Not before the last clear: an identifier is made of the start, and would else be that of an episode that is over.
    cleared_at = [last.at for last in book.cleared if last.rule == rule.name]
    if isinstance(rule, TrackRule):
        held_s = rule.held_before_s(one)
        episode = Episode(rule.name, holder, max([now - held_s, *cleared_at]), holder, held_s=held_s)
        episode.note(one)
        return episode
    began_at = rule.began_at(one) if isinstance(rule, CameraRule) else now
    held_s = now - began_at
    started_at = max([began_at, *cleared_at])
    return Episode(rule.name, None, started_at, holder, held_s=held_s if held_s <= rule.max_gap_s else 0.0)


def _hold(rule: Rule, episode: Episode, one: Any, watched: float, now: float) -> None:
    """The condition is seen to hold, and has held for the `watched` seconds up to now, or since it last did so."""
    since_s = now - episode.held_at if episode.held_at is not None else 0.0
    bridged = watched < since_s <= rule.bridge_s and _is_same(rule, episode, one)
    seconds = since_s if bridged else watched
    episode.held_at = now
    episode.held_place = one.track.sighting.xyxy if isinstance(rule, TrackRule) else None
    episode.held_s += seconds
    episode.bridged_s += seconds - watched
    episode.over_s = 0.0


def _take_in(rule: Rule, lost: Episode, other: Episode, one: Judged) -> None:
    """The other is the lost one, timed anew: its time counts, and a short gap between them, but none of it twice.

    Nor does what the other had added up before this one was lost: it may itself have been left behind by another.
    """
    gap_s = other.started_at - lost.held_at if lost.held_at is not None else 0.0
    if 0.0 < gap_s <= rule.bridge_s and _is_same(rule, lost, one):
        lost.held_s += gap_s
        lost.bridged_s += gap_s
    gained_s = min(other.held_s, max(0.0, other.seen_at - lost.seen_at))
    lost.held_s += gained_s
    lost.bridged_s += min(other.bridged_s, gained_s)
    lost.held_at, lost.held_place = other.held_at, other.held_place


def _is_same(rule: Rule, episode: Episode, one: Any) -> bool:
    """Whether what holds now may be what held before the gap."""
    if not isinstance(rule, TrackRule):
        return True
    return episode.held_place is not None and rule.bridges(episode.held_place, one)


def _lapse_s(rule: Rule) -> float:
    """For how long a condition that is seen not to hold may be going on."""
    return min(rule.lapse_s, rule.bridge_s) if isinstance(rule, TrackRule) else 0.0


def _bridged(rule: Rule, episode: Episode) -> Evidence:
    return {"bridged_s": episode.bridged_s} if rule.bridge_s > 0 else {}


def _follow_cleared(book: Book, rule: Rule, seen: Seen, now: float) -> None:
    """Keep each cooldown with its animal, or give it to the next that comes into view; drop those that are over."""
    mine = [last for last in book.cleared if last.rule == rule.name]
    kept = mine[-1:] if isinstance(rule, CameraRule) else [last for last in mine if now - last.at < rule.cooldown_s]
    book.cleared = [last for last in book.cleared if last.rule != rule.name] + kept[-MOST_ORPHANS:]
    if isinstance(rule, CameraRule):
        return
    for last in kept:
        if last.holder not in seen:
            taken = {other.holder for other in kept}
            last.holder = next(
                (track_id for track_id, view in seen.items() if track_id not in taken and _may_be(last, view)), None
            )
        if last.holder is not None:
            last.seen_at = seen[last.holder].track.last_seen_at


def _nearest_first(place: Corners | None, mine: dict[int, Judged]) -> list[Judged]:
    """The tracks in the order of how far their middles are from that of `place`; as they come when it is not known."""
    if place is None:
        return list(mine.values())
    x, y = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2
    return sorted(mine.values(), key=lambda view: dist(view.track.sighting.centre, (x, y)))


def _may_be(lost: Episode | Cleared, view: Judged) -> bool:
    """Whether the track may be that of an animal last seen at `lost.seen_at`: one in view beside it is another."""
    return view.track.first_seen_at >= lost.seen_at - MAX_SHARED_VIEW_S


def _cooling(book: Book, rule: Rule, episode: Episode, one: Any, *, severity: Severity, now: float) -> bool:
    """Whether a raise of that severity comes too soon after a clear of the same animal, or of one that may be it."""
    return any(
        last.rule == rule.name
        and (last.holder == episode.holder or (last.seen_at < now and _may_be(last, one)))
        and now - last.at < rule.cooldown_s
        and _rank(severity) <= _rank(last.severity)
        for last in book.cleared
    )


def _of(book: Book, rule: Rule) -> list[Episode]:
    """The episodes of `rule`, the weightiest first: an open alert finds its animal before a pending one does."""
    mine = [episode for episode in book.episodes if episode.rule == rule.name]
    return sorted(mine, key=_weight, reverse=True) if len(mine) > 1 else mine


def _weight(episode: Episode) -> tuple[int, float]:
    return _rank(episode.severity), episode.held_s


def _rank(severity: Severity | None) -> int:
    return -1 if severity is None else SEVERITIES.index(severity)


def _bound(book: Book, rule: Rule) -> None:
    paused = [episode for episode in _of(book, rule) if episode.holder is None and episode.severity is None]
    for episode in paused[MOST_ORPHANS:]:
        book.episodes.remove(episode)
