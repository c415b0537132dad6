"""What is remembered of a camera's episodes between two pictures. `fbtasks.logic.episodes` says what becomes of it."""

import msgspec

from fbtasks.alert import Severity
from fbtasks.logic.motion import Corners
from fbtasks.logic.scene import Judged

WHOLE = 0
"""Holder of an episode about the camera as a whole; tracks count from 1."""


class Episode(msgspec.Struct):
    """One rule's condition on one animal, or on the camera as a whole.

    Attributes:
        rule: its name.
        track_id: the track it began with; part of its identifier. None when it is about the camera as a whole.
        started_at: when the condition was first seen, or when the timer was left behind by a clear.
        holder: the track it is judged on, or `WHOLE`; None while the animal is lost.
        held_s: seconds in which the condition was seen to hold.
        over_s: seconds in which it was seen not to, since it last held.
        unseen_s: seconds of watching since the animal was lost.
        seen_at: when the holder was last seen.
        place: its box then, source pixels; None while that is not known.
        severity: of the last alert; None while pending.
        number: of the next alert.
        told_s: what `held_s` was at the last alert.
        held_at, held_place: when the condition was last seen to hold, and the animal's box then; None when it has since
            been seen not to for longer than the rule's `lapse_s`.
        bridged_s: how much of `held_s` was not seen.
    """

    rule: str
    track_id: int | None
    started_at: float
    holder: int | None
    held_s: float = 0.0
    over_s: float = 0.0
    unseen_s: float = 0.0
    seen_at: float = 0.0
    place: Corners | None = None
    severity: Severity | None = None
    number: int = 0
    told_s: float = 0.0
    held_at: float | None = None
    held_place: Corners | None = None
    bridged_s: float = 0.0

    def note(self, view: Judged) -> None:
        """Its holder is seen like this."""
        self.seen_at, self.place = view.track.last_seen_at, view.track.sighting.xyxy


class Cleared(msgspec.Struct):
    """An alert of a rule that was cleared, for as long as its cooldown lasts.

    Attributes:
        rule: its name.
        at: when it was cleared.
        severity: the highest that it had.
        holder, seen_at: whose it was, as in an episode.
    """

    rule: str
    at: float
    severity: Severity
    holder: int | None
    seen_at: float


class Book(msgspec.Struct):
    """The episodes of one camera, and what was cleared lately, the oldest first."""

    episodes: list[Episode] = []
    cleared: list[Cleared] = []

    def restart_clock(self, now: float) -> None:
        """Go on at `now`, earlier than what was noted: keep what was added up, and let the animals be found anew.

        `started_at` stays, as part of the identifier; such an episode may seem to end before it began.
        """
        for episode in self.episodes:
            episode.holder = episode.held_at = None
            episode.seen_at = min(episode.seen_at, now)
        for last in self.cleared:
            last.holder = WHOLE if last.holder == WHOLE else None
            last.at, last.seen_at = min(last.at, now), min(last.seen_at, now)
