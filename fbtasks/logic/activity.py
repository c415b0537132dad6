"""How animals move about, in capture time: unrest, stillness, struggles on the ground, lying down and rising.

Unrest is how fast the box's centre moves plus half of how fast its width and height change, both in body lengths per
second: a horse that paws, rolls or throws its head changes its outline more than its place. All of it is ours. A box
that trembles by 2 % of its length gives 0.07; a horse that grazes gave 0.13 to 0.17 in a clip (YOLO11n, 5 fps).

Struggles on the ground are to and fro: over a second they come to nearly nothing, and unrest does not show them. They
are seen by how far the box's edges spread about their mean of the last seconds, as a share of its sides. A detector's
jitter is a share of the sides too, and grows where a horse is half hidden or cut off; so a struggle is what spreads
clearly further than the same box does at rest.
"""

from math import exp, log1p, sqrt

import msgspec

from fbtasks.logic.motion import Corners
from fbtasks.logic.smoother import MAX_GAP_S, PostureName, Reading

MEMORY_S = 10.0
"""The mean of unrest forgets with this time constant; half of it must have been seen for the mean to count."""
LONGEST_S = 10 * MEMORY_S
"""More than so much makes no difference to the mean."""
STILL_BL_S = 0.12
"""Less is the trembling of the box."""
LIVELY_BL_S = 0.35
"""As much is lively: half of a free walk, which is 0.6 to 0.75 body lengths per second."""
SPREAD_MEMORY_S = 2.0
"""The spread forgets with this time constant: a heave takes half a second, a struggle a few."""
LEAST_SPREAD, TIMES_CALM = 0.07, 2.0
"""A struggle spreads at least so far, and so many times as far as at rest. Of drawn horses, clear ones gave 0.025 at
rest, half hidden ones 0.06, struggling ones 0.13."""
CALMS_S, WAKES_S = 10.0, 600.0
"""How fast the spread at rest is learned: with the first while it is less than believed, with the other while more."""
STRUGGLE_S = 2.5
"""As long as that it must last: two pictures where one comes every two seconds."""
APART_S = 20.0
"""What follows within so long is the same struggle: a roll to one side and back takes about ten."""
STRUGGLES_WITHIN_S = 600.0
HELD_S = 10.0
"""A posture that holds for less is no change: boxes of two animals that pass one another can say so for seconds."""
CHANGES_WITHIN_S = 3600.0
MOST_NOTED = 32
MOST_HOURS = 72
"""Of an animal's own days, for comparison: three are enough to even out one unusual night."""


class Activity(msgspec.Struct, array_like=True):
    """What is remembered of one track.

    Attributes:
        mean: of unrest, before the correction for its short past; body lengths per second.
        known_s: seconds that are in the mean.
        still_s: seconds seen without movement, since the last.
        edges: means of left, top, right and bottom over `SPREAD_MEMORY_S`, pixels; empty before the first box.
        spread_2: mean square of how far they are from those, as shares of width and height, added up.
        calm: the root of it at rest, on the ground.
        struggle_s: seconds of the present struggle.
        struggles: when it struggled on the ground since it was last up, within `STRUGGLES_WITHIN_S`.
        posture: the last one that held for `HELD_S`.
        other_s: seconds for which it has seemed to be in the other one.
        roused_s: seconds since the animal became lively, with no longer rest since than half of `MEMORY_S`.
        rested_s: seconds of them since it was last lively.
    """

    mean: float = 0.0
    known_s: float = 0.0
    still_s: float = 0.0
    edges: list[float] = []
    spread_2: float = 0.0
    calm: float = LEAST_SPREAD / TIMES_CALM
    struggle_s: float = 0.0
    struggles: list[float] = []
    posture: PostureName = "unknown"
    other_s: float = 0.0
    roused_s: float = 0.0
    rested_s: float = 0.0


class Change(msgspec.Struct, array_like=True):
    """An animal lay down or rose: when, and the track that it had."""

    at: float
    track_id: int


class Hour(msgspec.Struct, array_like=True):
    """One hour of one camera: when it began, seconds that animals were watched, how often they lay down or rose."""

    began_at: float
    watched_s: float
    changes: int


class History(msgspec.Struct):
    """How often the animals of one camera lay down and rose: changes of the last hour, and counts of those before."""

    changes: list[Change] = []
    hours: list[Hour] = []

    def watch(self, now: float, seconds: float) -> None:
        """Add `seconds` up to `now` of watching, for all animals together, and let go of what is too old."""
        if not self.hours or not 0.0 <= now - self.hours[-1].began_at < CHANGES_WITHIN_S:
            self.hours.append(Hour(now, 0.0, 0))
            del self.hours[:-MOST_HOURS]
        self.hours[-1].watched_s += seconds
        if self.changes and not 0.0 <= now - self.changes[0].at < CHANGES_WITHIN_S:
            self.changes = [change for change in self.changes if 0.0 <= now - change.at < CHANGES_WITHIN_S]

    def changed(self, now: float, track_id: int) -> None:
        """An animal lay down or rose at `now`, which was watched."""
        self.changes.append(Change(now, track_id))
        del self.changes[:-MOST_NOTED]
        self.hours[-1].changes += 1

    def adopt(self, track_id: int, first_seen_at: float) -> None:
        """Let the only animal in view have what was noted of others before it came: it is the one that was there."""
        for change in self.changes:
            if change.at < first_seen_at:
                change.track_id = track_id

    def changes_of(self, track_id: int) -> int:
        """How often that animal lay down or rose within the last hour."""
        return sum(change.track_id == track_id for change in self.changes)

    def usual_per_h(self, least_watched_s: float) -> float | None:
        """One animal's changes in an hour of watching it, over all hours but the present; None if less was watched."""
        past = self.hours[:-1]
        watched_s = sum(hour.watched_s for hour in past)
        if watched_s < least_watched_s or watched_s == 0.0:
            return None
        return 3600.0 * sum(hour.changes for hour in past) / watched_s


class Gait(msgspec.Struct, frozen=True):
    """What is known of one track's movement at one time.

    Attributes:
        agitation_bl_s: mean unrest of the last `MEMORY_S`, body lengths per second; None if too little was seen.
        still_s: seconds seen without movement, since the last.
        struggles: how often it has struggled on the ground since it was last up, within `STRUGGLES_WITHIN_S`.
        lively_since_s: seconds since it became lively, short rests between them; 0 when it is not.
    """

    agitation_bl_s: float | None = None
    still_s: float = 0.0
    struggles: int = 0
    lively_since_s: float = 0.0


def observe(
    activity: Activity, reading: Reading, box: Corners, now: float, elapsed: float, *, vague: bool = False
) -> bool:
    """Add what a picture of `now` shows, which speaks for `elapsed` seconds.

    `vague`: the box is weak, or another one is in front of it. Its borders then move though the animal does not (0.4 to
    0.5 in a clip of two horses), and its unrest is taken for unknown.

    Returns:
        Whether the animal has lain down or risen.
    """
    _note_struggle(activity, box, now, elapsed, known=elapsed <= MAX_GAP_S and not vague)
    if elapsed > MAX_GAP_S:
        activity.known_s = activity.roused_s = 0.0
    elif reading.unrest_bl_s is not None and not vague:
        _add(activity, reading.unrest_bl_s, elapsed)
    else:
        _fade(activity, elapsed)
    return _turn(activity, reading.posture, elapsed)


def _turn(activity: Activity, posture: PostureName, elapsed: float) -> bool:
    """Take the posture that is seen; whether it has changed. One that was never known is believed at once."""
    if posture in ("unknown", activity.posture):
        activity.other_s = 0.0 if posture != "unknown" else activity.other_s
        return False
    known = activity.posture != "unknown"
    activity.other_s += elapsed if elapsed <= MAX_GAP_S else 0.0
    if known and activity.other_s < HELD_S:
        return False
    activity.posture, activity.other_s, activity.struggles = posture, 0.0, []
    return known


def gait(activity: Activity, now: float) -> Gait:
    """What is known at `now`."""
    if activity.struggles and not 0.0 <= now - activity.struggles[0] < STRUGGLES_WITHIN_S:
        activity.struggles = [at for at in activity.struggles if 0.0 <= now - at < STRUGGLES_WITHIN_S]
    known = activity.known_s >= MEMORY_S / 2
    agitation = activity.mean / _weight(activity) if known else None
    return Gait(agitation, activity.still_s, len(activity.struggles), activity.roused_s)


def _weight(activity: Activity) -> float:
    """An average that began at 0 is too low by this factor."""
    return 1.0 - exp(-activity.known_s / MEMORY_S)


def _fade(activity: Activity, elapsed: float) -> None:
    """Forget by `elapsed` seconds in which nothing was known: what was known long ago says nothing of now."""
    kept = exp(-elapsed / MEMORY_S)
    activity.known_s = -MEMORY_S * log1p(-_weight(activity) * kept)
    activity.mean *= kept


def _add(activity: Activity, unrest: float, elapsed: float) -> None:
    if activity.known_s == 0.0:
        activity.mean = 0.0
    activity.mean += (1.0 - exp(-elapsed / MEMORY_S)) * (unrest - activity.mean)
    activity.known_s = min(activity.known_s + elapsed, LONGEST_S)
    activity.still_s = activity.still_s + elapsed if unrest < STILL_BL_S else 0.0
    activity.rested_s = 0.0 if unrest >= LIVELY_BL_S else activity.rested_s + elapsed
    roused = unrest >= LIVELY_BL_S or (activity.roused_s > 0.0 and activity.rested_s < MEMORY_S / 2)
    activity.roused_s = min(activity.roused_s + elapsed, LONGEST_S) if roused else 0.0


def _note_struggle(activity: Activity, box: Corners, now: float, elapsed: float, *, known: bool) -> None:
    """Add how the edges of the box of one that lies are spread; begin anew where that is not known."""
    if activity.posture != "lying" or not known or not activity.edges:
        activity.edges, activity.spread_2, activity.struggle_s = list(box), 0.0, 0.0
        return
    spread = _spread(activity, box, 1.0 - exp(-elapsed / SPREAD_MEMORY_S))
    learns_s = CALMS_S if spread < activity.calm else WAKES_S
    activity.calm += (1.0 - exp(-elapsed / learns_s)) * (spread - activity.calm)
    is_far = spread >= max(LEAST_SPREAD, TIMES_CALM * activity.calm)
    activity.struggle_s = activity.struggle_s + elapsed if is_far else 0.0
    is_new = not activity.struggles or not 0.0 <= now - activity.struggles[-1] < APART_S
    if activity.struggle_s >= STRUGGLE_S and is_new:
        activity.struggles.append(now)


def _spread(activity: Activity, box: Corners, share: float) -> float:
    """Take the box for `share` of the mean; how far its edges spread about it."""
    left, top, right, bottom = box
    mean_left, mean_top, mean_right, mean_bottom = activity.edges
    off_left, off_top, off_right, off_bottom = (
        left - mean_left,
        top - mean_top,
        right - mean_right,
        bottom - mean_bottom,
    )
    activity.edges = [
        mean_left + share * off_left,
        mean_top + share * off_top,
        mean_right + share * off_right,
        mean_bottom + share * off_bottom,
    ]
    wide, high = max(right - left, 1.0), max(bottom - top, 1.0)
    square = (off_left**2 + off_right**2) / wide**2 + (off_top**2 + off_bottom**2) / high**2
    activity.spread_2 = (1.0 - share) * (activity.spread_2 + share * square)
    return sqrt(activity.spread_2)
