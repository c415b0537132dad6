"""From boxes to tracks: which box is the animal, or the person, that was seen before.

Each picture is matched in two passes, the surest evidence first: strong boxes, then weak boxes with the tracks still
unmatched (the idea of ByteTrack, Zhang et al., ECCV 2022: a half hidden animal gives a weak box, and losing its track
would be worse than trusting it). In each, boxes go to tracks so that all of them together fit best: one box at a time,
two animals that cross would swap their tracks. Tracks that count choose before those that do not count yet. All times
are seconds of capture time.

A track is given up after seconds of *watching* without it. While no pictures come nobody has left the stall: after a
restart or a stalled stream each animal is found again by where it was. Otherwise all of several horses would be new at
once, and one that stands would be taken for the one that had lain for an hour.
"""

from dataclasses import dataclass
from math import dist
from typing import Literal, NamedTuple

import msgspec

from fbtasks.logic.assignment import best_pairs
from fbtasks.logic.motion import Corners, Motion, ahead, begin, corrected, misfit
from fbtasks.logic.smoother import MAX_GAP_S

Kind = Literal["animal", "person"]

WORST_FIT, WORST_WEAK_FIT = 5.0, 0.0
"""A box that fits worse is of another animal. Of a track just seen, 5 is a distance of 4 to 5 standard deviations."""
TURNED_IOU, TURNED_WITHIN_S = 0.2, 0.6
"""A box that nobody else takes and that overlaps so much is of a track seen so short a time ago, however that moved."""
MERGED_SHARE = 0.7
"""A box that covers so much of where another animal must be, which has no box of its own, is probably of both."""
MERGED_WITHIN_S = 1.5
"""Unless that one has not been seen for so long."""
TWIN_SHARE = 0.8
"""Who is expected inside another's place by so much is always covered by its box: a foal, or a second track of one."""
INSIDE_SHARE, INSIDE_TIMES = 0.7, 4.0
"""A track that began so far inside another's box must be seen for so many times longer to count: mostly it is a part of
the same animal, for a second; sometimes it is a foal."""
REACH_PER_S = 4.0
"""Body lengths per second that no horse moves faster than before a camera: a gallop is 10 to 15 m/s, a body 2.4 m long,
and it mostly runs across the picture only for a moment; what is further away is another animal."""
MOST_TRACKS = 64
"""No camera watches more; a stream of false boxes must not grow the state."""


class Sighting(msgspec.Struct, frozen=True, array_like=True):
    """One box of one picture that may be a track's.

    Attributes:
        xyxy: left, top, right, bottom, in pixels of the source picture.
        confidence: 0 to 1.
        kind: what the settings say that the class is.
        class_name: what the model says.
    """

    xyxy: Corners
    confidence: float
    kind: Kind
    class_name: str

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.xyxy
        return (left + right) / 2, (top + bottom) / 2

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        left, top, right, bottom = self.xyxy
        return right - left, bottom - top


class Track(msgspec.Struct, array_like=True):
    """One animal or person over time.

    Attributes:
        id: counted within the camera, from 1.
        sighting: the last one.
        first_seen_at, last_seen_at: capture time.
        motion: where it was when it was last seen, and whereto it went.
        confirmed: seen long enough to be believed.
        inside: it began inside the box of another one.
        watched_s: of `Tracks` when it was last seen.
        instead_of: the only track that was missing when this one began, within its reach, and was never seen beside it
            since; else 0. A horse that bolts and turns may be missed by its own track, and be found by either in turn.
    """

    id: int
    sighting: Sighting
    first_seen_at: float
    last_seen_at: float
    motion: Motion = Motion()
    confirmed: bool = False
    inside: bool = False
    watched_s: float = 0.0
    instead_of: int = 0

    @property
    def kind(self) -> Kind:
        return self.sighting.kind


class Tracks(msgspec.Struct, array_like=True):
    """The tracks of one camera.

    Attributes:
        at: capture time of the last picture.
        watched_s: seconds watched so far; of a gap between two pictures, no more than `MAX_GAP_S`.
    """

    alive: list[Track] = []
    next_id: int = 1
    at: float | None = None
    watched_s: float = 0.0


class _Expected(NamedTuple):
    """A track and where it should be by now, `elapsed` seconds after it was last seen."""

    track: Track
    motion: Motion
    elapsed: float


class _Match(NamedTuple):
    expected: _Expected
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Tracker:
    """How boxes become tracks.

    Attributes:
        lost_after_s: a confirmed track unseen for so many seconds of watching is ended.
        confirm_s: a track must have been seen for so long to count; until then it ends when unseen for so long.
        confidence: weaker boxes start no track.
    """

    lost_after_s: float
    confirm_s: float
    confidence: float

    def step(self, tracks: Tracks, sightings: list[Sighting], now: float) -> None:
        """Move `tracks`, in place, on to the picture taken at `now`, which is later than the one before.

        The order of `sightings` does not matter.
        """
        tracks.watched_s += min(now - tracks.at, MAX_GAP_S) if tracks.at is not None else 0.0
        tracks.at = now
        tracks.alive = [track for track in tracks.alive if tracks.watched_s - track.watched_s <= self.lost_after_s]
        surest_first = sorted(sightings, key=lambda sighting: (-sighting.confidence, sighting.xyxy))
        for kind in ("animal", "person"):
            mine = [sighting for sighting in surest_first if sighting.kind == kind]
            if mine:
                self._match(tracks, mine, kind, now)
        tracks.alive = [track for track in tracks.alive if self._believed(track, now)]
        _unite(tracks, now)
        for track in tracks.alive:
            if track.last_seen_at == now:
                track.watched_s = tracks.watched_s

    def _match(self, tracks: Tracks, sightings: list[Sighting], kind: Kind, now: float) -> None:
        strong = [sighting for sighting in sightings if sighting.confidence >= self.confidence]
        weak = [sighting for sighting in sightings if sighting.confidence < self.confidence]
        expected = [_expected(track, now) for track in tracks.alive if track.kind == kind]
        for confirmed in (True, False):
            choosing = [one for one in expected if one.track.confirmed == confirmed]
            sure, choosing, strong = _pair(choosing, strong, WORST_FIT)
            unsure, choosing, weak = _pair(choosing, weak, WORST_WEAK_FIT)
            turned, choosing, strong = _pair(choosing, strong, WORST_FIT, turns=True)
            for match in sure + unsure + turned:
                self._see(match, choosing, now)
        believed = [one for one in expected if one.track.confirmed]
        seen = [one.track for one in believed if one.track.last_seen_at == now]
        missing = [one for one in believed if one.track.last_seen_at != now]
        for sighting in strong[: max(0, MOST_TRACKS - len(tracks.alive))]:
            track = self._new(tracks.next_id, sighting, seen, now)
            if len(missing) == 1 and _is_in_reach(missing[0], sighting):
                track.instead_of = missing[0].track.id
            tracks.alive.append(track)
            tracks.next_id += 1

    def _see(self, match: _Match, unseen: list[_Expected], now: float) -> None:
        """Take the box as the track's, while `unseen` have none."""
        (track, motion, elapsed), sighting = match
        merged = track.confirmed and any(_is_of_both(sighting.xyxy, motion, other) for other in unseen)
        track.motion = corrected(motion, sighting.xyxy, elapsed, whole=not merged)
        track.sighting, track.last_seen_at = sighting, now
        track.confirmed = track.confirmed or now - track.first_seen_at >= self._counts_after(track)

    def _new(self, number: int, sighting: Sighting, seen: list[Track], now: float) -> Track:
        area = max(_area(sighting.xyxy), 1.0)
        inside = any(_shared(sighting.xyxy, other.sighting.xyxy) > INSIDE_SHARE * area for other in seen)
        confirmed = self.confirm_s == 0
        return Track(number, sighting, now, now, begin(sighting.xyxy), confirmed=confirmed, inside=inside)

    def _counts_after(self, track: Track) -> float:
        """Seconds for which it must have been seen."""
        return self.confirm_s * INSIDE_TIMES if track.inside else self.confirm_s

    def _believed(self, track: Track, now: float) -> bool:
        return track.confirmed or now - track.last_seen_at <= self.confirm_s


def _unite(tracks: Tracks, now: float) -> None:
    """Give a track that counts by now the number of the one instead of which it began."""
    by_id = {track.id: track for track in tracks.alive}
    for track in [track for track in tracks.alive if track.instead_of]:
        first = by_id.get(track.instead_of)
        if first is None or first.last_seen_at == track.last_seen_at == now:
            track.instead_of = 0
        elif track.confirmed:
            first.sighting, first.motion, first.last_seen_at = track.sighting, track.motion, track.last_seen_at
            tracks.alive.remove(track)


def _is_in_reach(missing: _Expected, box: Sighting) -> bool:
    """Whether the animal can have run there since it was last seen."""
    was = missing.track.sighting
    return dist(was.centre, box.centre) <= max(was.size) * (1 + REACH_PER_S * missing.elapsed)


def _expected(track: Track, now: float) -> _Expected:
    elapsed = now - track.last_seen_at
    return _Expected(track, ahead(track.motion, elapsed), elapsed)


def _pair(
    tracks: list[_Expected], boxes: list[Sighting], worst: float, *, turns: bool = False
) -> tuple[list[_Match], list[_Expected], list[Sighting]]:
    """Tracks and boxes that fit together; the tracks and the boxes that are left.

    With `turns`, boxes fit that overlap the place of a track just seen: a horse may stop and turn within one picture.
    """
    if not tracks or not boxes:
        return [], tracks, boxes
    pairs = best_pairs(
        [
            [_turned(one, box) if turns else worst - misfit(one.motion, box.xyxy, one.elapsed) for box in boxes]
            for one in tracks
        ]
    )
    rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
    return (
        [_Match(tracks[row], boxes[column]) for row, column in pairs],
        [track for row, track in enumerate(tracks) if row not in rows],
        [box for column, box in enumerate(boxes) if column not in columns],
    )


def _turned(expected: _Expected, box: Sighting) -> float:
    """By how much the box overlaps where the track was seen, or should be, more than it must; else negative."""
    if expected.elapsed > TURNED_WITHIN_S:
        return -1.0
    return max(_iou(box.xyxy, expected.track.sighting.xyxy), _iou(box.xyxy, expected.motion.corners)) - TURNED_IOU


def _is_of_both(box: Corners, motion: Motion, other: _Expected) -> bool:
    """Whether the box of a track expected as `motion` tells is also around the other one."""
    if other.elapsed >= MERGED_WITHIN_S:
        return False
    covered = _shared(box, other.motion.corners) > MERGED_SHARE * other.motion.area
    apart = _shared(motion.corners, other.motion.corners) < TWIN_SHARE * min(motion.area, other.motion.area)
    return covered and apart


def _shared(one: Corners, other: Corners) -> float:
    """Area of the intersection."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _iou(one: Corners, other: Corners) -> float:
    """Intersection over union."""
    shared = _shared(one, other)
    return shared / max(_area(one) + _area(other) - shared, 1.0)


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
