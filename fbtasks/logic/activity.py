"""How animals move about, in capture time: unrest, bouts of it, stillness, and how often they lie down and rise.

Unrest is how fast the box's centre moves plus half of how fast its width and height change, both in body lengths per
second: a horse that paws, rolls or throws its head changes its outline more than its place. All of it is ours. A box
that trembles by 2 % of its length gives 0.07; a horse that grazes gave 0.13 to 0.17 in a clip (YOLO11n, 5 fps).
"""

from math import exp, log1p

import msgspec

from fbtasks.logic.smoother import MAX_GAP_S, PostureName, Reading

MEMORY_S = 10.0
"""The mean of unrest forgets with this time constant; half of it must have been seen for the mean to count."""
LONGEST_S = 10 * MEMORY_S
"""More than so much makes no difference to the mean."""
STILL_BL_S = 0.12
"""Less is the trembling of the box."""
LIVELY_BL_S = 0.35
"""As much, for `BOUT_S`, is a bout of movement: half of a free walk, which is 0.6 to 0.75 body lengths per second."""
BOUT_S = 1.0
BOUTS_WITHIN_S = 600.0
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
        lively_s: seconds of the present bout.
        bouts: when bouts began to count, within `BOUTS_WITHIN_S`.
        posture: the last one that was known.
        roused_s: seconds since the animal became lively, with no longer rest since than half of `MEMORY_S`.
        rested_s: seconds of them since it was last lively.
    """

    mean: float = 0.0
    known_s: float = 0.0
    still_s: float = 0.0
    lively_s: float = 0.0
    bouts: list[float] = []
    posture: PostureName = "unknown"
    roused_s: float = 0.0
    rested_s: float = 0.0


class Hour(msgspec.Struct, array_like=True):
    """One hour of one camera: when it began, seconds watched in it, and how often an animal lay down or rose."""

    began_at: float
    watched_s: float
    changes: int


class History(msgspec.Struct):
    """How often the animals of one camera lay down and rose: times of the last hour, and counts of those before."""

    changes: list[float] = []
    hours: list[Hour] = []

    def watch(self, now: float, seconds: float) -> None:
        """Add `seconds` of watching up to `now`, and let go of what is too old."""
        if not self.hours or not 0.0 <= now - self.hours[-1].began_at < CHANGES_WITHIN_S:
            self.hours.append(Hour(now, 0.0, 0))
            del self.hours[:-MOST_HOURS]
        self.hours[-1].watched_s += seconds
        if self.changes and not 0.0 <= now - self.changes[0] < CHANGES_WITHIN_S:
            self.changes = [at for at in self.changes if 0.0 <= now - at < CHANGES_WITHIN_S]

    def changed(self, now: float) -> None:
        """An animal lay down or rose at `now`, which was watched."""
        self.changes.append(now)
        del self.changes[:-MOST_NOTED]
        self.hours[-1].changes += 1

    def usual_per_h(self, least_watched_s: float) -> float | None:
        """Changes in an hour of watching, over all hours but the present one; None when less was watched."""
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
        bouts: bouts of movement within `BOUTS_WITHIN_S`.
        lively_since_s: seconds since it became lively, short rests between them; 0 when it is not.
    """

    agitation_bl_s: float | None = None
    still_s: float = 0.0
    bouts: int = 0
    lively_since_s: float = 0.0


def observe(activity: Activity, reading: Reading, now: float, elapsed: float, *, vague: bool = False) -> bool:
    """Add what a picture of `now` shows, which speaks for `elapsed` seconds.

    `vague`: the box is weak, or another one is in front of it. Its borders then move though the animal does not (0.4 to
    0.5 in a clip of two horses), and its unrest is taken for unknown.

    Returns:
        Whether the animal has lain down or risen.
    """
    if elapsed > MAX_GAP_S:
        activity.known_s = activity.lively_s = activity.roused_s = 0.0
    elif reading.unrest_bl_s is not None and not vague:
        _add(activity, reading.unrest_bl_s, now, elapsed)
    else:
        _fade(activity, elapsed)
    before = activity.posture
    if reading.posture != "unknown":
        activity.posture = reading.posture
    return activity.posture != before != "unknown"


def gait(activity: Activity, now: float) -> Gait:
    """What is known at `now`."""
    if activity.bouts and not 0.0 <= now - activity.bouts[0] < BOUTS_WITHIN_S:
        activity.bouts = [at for at in activity.bouts if 0.0 <= now - at < BOUTS_WITHIN_S]
    known = activity.known_s >= MEMORY_S / 2
    agitation = activity.mean / _weight(activity) if known else None
    return Gait(agitation, activity.still_s, len(activity.bouts), activity.roused_s)


def _weight(activity: Activity) -> float:
    """An average that began at 0 is too low by this factor."""
    return 1.0 - exp(-activity.known_s / MEMORY_S)


def _fade(activity: Activity, elapsed: float) -> None:
    """Forget by `elapsed` seconds in which nothing was known: what was known long ago says nothing of now."""
    kept = exp(-elapsed / MEMORY_S)
    activity.known_s = -MEMORY_S * log1p(-_weight(activity) * kept)
    activity.mean *= kept


def _add(activity: Activity, unrest: float, now: float, elapsed: float) -> None:
    if activity.known_s == 0.0:
        activity.mean = 0.0
    activity.mean += (1.0 - exp(-elapsed / MEMORY_S)) * (unrest - activity.mean)
    activity.known_s = min(activity.known_s + elapsed, LONGEST_S)
    activity.still_s = activity.still_s + elapsed if unrest < STILL_BL_S else 0.0
    before, activity.lively_s = activity.lively_s, activity.lively_s + elapsed if unrest >= LIVELY_BL_S else 0.0
    activity.rested_s = 0.0 if unrest >= LIVELY_BL_S else activity.rested_s + elapsed
    roused = unrest >= LIVELY_BL_S or (activity.roused_s > 0.0 and activity.rested_s < MEMORY_S / 2)
    activity.roused_s = min(activity.roused_s + elapsed, LONGEST_S) if roused else 0.0
    if before < BOUT_S <= activity.lively_s:
        activity.bouts.append(now)
        del activity.bouts[:-MOST_NOTED]
