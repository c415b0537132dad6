"""From boxes to tracks: which box is the animal, or the person, that was seen before.

Each picture is matched in three passes, the surest evidence first: strong boxes by overlap with where each track should
be by now, weak boxes by overlap with the tracks still unmatched (the idea of ByteTrack, Zhang et al., ECCV 2022: a half
hidden animal gives a weak box, and losing its track would be worse than trusting it), then strong boxes that moved too
far to overlap, by distance. All times are seconds of capture time.
"""

from dataclasses import dataclass
from math import exp
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Kind = Literal["animal", "person"]
Corners = tuple[float, float, float, float]
Float64s = NDArray[np.float64]

VELOCITY_MEMORY_S = 0.5
"""Boxes of a nano model jitter by some per cent of their size from picture to picture; about two at 5 fps even out."""
PREDICT_AT_MOST_S = 1.0
"""A track unseen for longer is looked for where it would have been then: an animal in a stall soon turns or stops."""
FASTEST_BL_S = 4.0
"""Body lengths per second within which a box may still be the same animal: a canter, more than a stall has room for."""
FARTHEST_BL = 1.0
LARGEST_GROWTH = 2.0
"""A box matched by distance alone must have an area within this factor of the track's."""
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
        velocity: of the box's centre, pixels per second, smoothed.
        first_seen_at, last_seen_at: capture time.
        confirmed: seen long enough to be believed.
    """

    id: int
    sighting: Sighting
    first_seen_at: float
    last_seen_at: float
    velocity: tuple[float, float] = (0.0, 0.0)
    confirmed: bool = False

    @property
    def kind(self) -> Kind:
        return self.sighting.kind

    def follow(self, sighting: Sighting, now: float) -> None:
        """Take `sighting` as this track's at `now`."""
        elapsed = now - self.last_seen_at
        share = 1.0 - exp(-elapsed / VELOCITY_MEMORY_S)
        (x, y), (old_x, old_y) = sighting.centre, self.sighting.centre
        vx, vy = self.velocity
        self.velocity = vx + share * ((x - old_x) / elapsed - vx), vy + share * ((y - old_y) / elapsed - vy)
        self.sighting = sighting
        self.last_seen_at = now


class Tracks(msgspec.Struct, array_like=True):
    """The tracks of one camera."""

    alive: list[Track] = []
    next_id: int = 1


Rest = tuple[list[Sighting], list[Track]]


@dataclass(frozen=True, slots=True)
class Tracker:
    """How boxes become tracks.

    Attributes:
        match_iou: least intersection over union of a box and the predicted track.
        lost_after_s: a confirmed track unseen for longer is ended.
        confirm_s: a track must have been seen for so long to count; until then it ends when unseen for so long.
        confidence: weaker boxes start no track.
    """

    match_iou: float
    lost_after_s: float
    confirm_s: float
    confidence: float

    def step(self, tracks: Tracks, sightings: list[Sighting], now: float) -> None:
        """Move `tracks`, in place, on to the picture taken at `now`, which is later than the one before."""
        tracks.alive = [track for track in tracks.alive if now - track.last_seen_at <= self.lost_after_s]
        for kind in ("animal", "person"):
            self._match(tracks, [sighting for sighting in sightings if sighting.kind == kind], kind, now)
        tracks.alive = [track for track in tracks.alive if self._believed(track, now)]

    def _match(self, tracks: Tracks, sightings: list[Sighting], kind: str, now: float) -> None:
        strong = [sighting for sighting in sightings if sighting.confidence >= self.confidence]
        weak = [sighting for sighting in sightings if sighting.confidence < self.confidence]
        unmatched = [track for track in tracks.alive if track.kind == kind]
        strong, unmatched = self._by_overlap(unmatched, strong, now)
        _, unmatched = self._by_overlap(unmatched, weak, now)
        strong, _ = self._by_distance(unmatched, strong, now)
        for sighting in strong[: max(0, MOST_TRACKS - len(tracks.alive))]:
            tracks.alive.append(Track(tracks.next_id, sighting, now, now, confirmed=self.confirm_s == 0))
            tracks.next_id += 1

    def _by_overlap(self, tracks: list[Track], boxes: list[Sighting], now: float) -> Rest:
        if not tracks or not boxes:
            return boxes, tracks
        overlap = _iou(_predicted(tracks, now), np.array([box.xyxy for box in boxes]))
        return self._pair(tracks, boxes, np.where(overlap >= self.match_iou, overlap, 0.0), now)

    def _by_distance(self, tracks: list[Track], boxes: list[Sighting], now: float) -> Rest:
        if not tracks or not boxes:
            return boxes, tracks
        return self._pair(tracks, boxes, _closeness(tracks, boxes, now), now)

    def _pair(self, tracks: list[Track], boxes: list[Sighting], scores: Float64s, now: float) -> Rest:
        """Give boxes to tracks, best score first; a score of 0 or less is no match."""
        paired_tracks: set[int] = set()
        paired_boxes: set[int] = set()
        rows, columns = np.nonzero(scores > 0.0)
        surest = np.argsort(-scores[rows, columns], kind="stable")
        for row, column in zip(rows[surest].tolist(), columns[surest].tolist(), strict=True):
            if row in paired_tracks or column in paired_boxes:
                continue
            paired_tracks.add(row)
            paired_boxes.add(column)
            self._see(tracks[row], boxes[column], now)
        return (
            [box for index, box in enumerate(boxes) if index not in paired_boxes],
            [track for index, track in enumerate(tracks) if index not in paired_tracks],
        )

    def _see(self, track: Track, sighting: Sighting, now: float) -> None:
        track.follow(sighting, now)
        track.confirmed = track.confirmed or now - track.first_seen_at >= self.confirm_s

    def _believed(self, track: Track, now: float) -> bool:
        return track.confirmed or now - track.last_seen_at <= self.confirm_s


def _predicted(tracks: list[Track], now: float) -> Float64s:
    """`[n, 4]` corners of the tracks' boxes at `now`, with constant velocity."""
    shifts = []
    for track in tracks:
        ahead = min(now - track.last_seen_at, PREDICT_AT_MOST_S)
        dx, dy = track.velocity[0] * ahead, track.velocity[1] * ahead
        shifts.append((dx, dy, dx, dy))
    corners: Float64s = np.array([track.sighting.xyxy for track in tracks]) + np.array(shifts)
    return corners


def _iou(left: Float64s, right: Float64s) -> Float64s:
    """`[n, m]` intersections over unions of `[n, 4]` and `[m, 4]` boxes; 0 where both are without area."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.maximum(high - low, 0.0).prod(axis=2)
    union = _areas(left)[:, None] + _areas(right)[None, :] - shared
    overlap: Float64s = shared / np.maximum(union, 1e-9)
    return overlap


def _areas(boxes: Float64s) -> Float64s:
    areas: Float64s = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _closeness(tracks: list[Track], boxes: list[Sighting], now: float) -> Float64s:
    """`[n, m]`, how surely a box is a track's by distance and size alone: 1 where it was last seen, 0 out of reach."""
    old, new = np.array([track.sighting.xyxy for track in tracks]), np.array([box.xyxy for box in boxes])
    old_areas, new_areas = _areas(old)[:, None], _areas(new)[None, :]
    alike = (new_areas <= LARGEST_GROWTH * old_areas) & (old_areas <= LARGEST_GROWTH * new_areas)
    elapsed = np.array([now - track.last_seen_at for track in tracks])
    body_lengths = np.maximum(old[:, 2] - old[:, 0], old[:, 3] - old[:, 1])
    reach = np.maximum(body_lengths * np.minimum(FARTHEST_BL, FASTEST_BL_S * elapsed), 1e-9)
    moved = (new[None, :, :2] + new[None, :, 2:] - old[:, None, :2] - old[:, None, 2:]) / 2
    closeness: Float64s = np.where(alike, 1.0 - np.hypot(moved[..., 0], moved[..., 1]) / reach[:, None], 0.0)
    return closeness
