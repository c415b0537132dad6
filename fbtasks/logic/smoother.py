"""What single pictures say of one track, evened out over a sliding window of seconds of capture time."""

from dataclasses import dataclass
from math import hypot
from statistics import median
from typing import Literal

import msgspec

PostureName = Literal["standing", "lying", "unknown"]

ENTER_LYING = 0.7
"""A mean P(lying) from which the posture is lying. Ours, as the next two: so far apart that jitter flips nothing."""
ENTER_STANDING = 0.3
MIN_COVERAGE = 0.4
"""With less of the window observed the posture is unknown. Low enough for an animal that is found in every other
picture, which a nano model does to one that lies in the dark."""
MAX_GAP_S = 3.0
"""Longest time between two pictures over which nothing is taken to have changed; more than that was not observed."""
SPEED_WINDOW_S = 1.0
"""Velocity is the movement of the box's centre in the last second, as FirstBreath's documentation defines it; where
pictures come more seldom, between the last two, if they are no more than `MAX_GAP_S` apart."""
SPEED_MIN_SPAN_S = 0.4
BINS = 50
"""The window is kept in so many bins at most, so that its cost does not grow with frame rate or length."""


class Reading(msgspec.Struct, frozen=True):
    """What is believed of one track at one time; what rules judge.

    Attributes:
        posture: standing, lying, or unknown.
        p_lying: time-weighted mean of P(lying) over the observed part of the window; None if nothing was observed.
        coverage: observed share of the window, 0 to 1.
        speed_px_s: speed of the box's centre, pixels of the source picture per second; None if not known.
        speed_bl_s: the same in body lengths per second.
        unrest_bl_s: the same and half of how fast the box's width and height change, see `fbtasks.logic.activity`.
    """

    posture: PostureName
    p_lying: float | None
    coverage: float
    speed_px_s: float | None
    speed_bl_s: float | None
    unrest_bl_s: float | None = None


class Bin(msgspec.Struct, array_like=True):
    """A piece of the window: its ends, how much of it was observed and lying, the box's longer side at its end."""

    start_at: float
    end_at: float
    known_s: float
    lying_s: float
    side: float


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where the box's centre was and how large the box, in pixels of the source picture."""

    at: float
    x: float
    y: float
    width: float = 0.0
    height: float = 0.0


class Window(msgspec.Struct, array_like=True):
    """The window of one track."""

    bins: list[Bin] = []
    positions: list[Position] = []
    posture: PostureName = "unknown"


@dataclass(frozen=True, slots=True)
class Smoother:
    """How a window is filled and read.

    Attributes:
        window_s: length of the window, seconds.
    """

    window_s: float

    def observe(self, window: Window, elapsed: float, p_lying: float | None, position: Position, side: float) -> None:
        """Add what one picture shows: P(lying) if it tells, where the box's centre is, its longer side in pixels.

        The picture speaks for `elapsed`, the seconds since the camera's picture before it, whether or not the track was
        seen in that one; for nothing if that is longer than `MAX_GAP_S`.
        """
        known = elapsed if p_lying is not None and elapsed <= MAX_GAP_S else 0.0
        lying = known * (p_lying or 0.0)
        at = position.at
        if window.bins and at - window.bins[-1].start_at <= self.window_s / BINS:
            last = window.bins[-1]
            last.end_at, last.side = at, side
            last.known_s += known
            last.lying_s += lying
        else:
            window.bins.append(Bin(at - known, at, known, lying, side))
        window.positions.append(position)

    def read(self, window: Window, now: float) -> Reading:
        """The reading at `now`; what is older than the window is dropped from it."""
        window.bins = [piece for piece in window.bins if piece.end_at > now - self.window_s]
        window.positions = _recent(window.positions, now)
        known = sum(piece.known_s for piece in window.bins)
        p_lying = sum(piece.lying_s for piece in window.bins) / known if known > 0 else None
        coverage = min(1.0, known / self.window_s)
        window.posture = _posture(window.posture, p_lying, coverage)
        flow = _flow(window.positions)
        if flow is None:
            return Reading(window.posture, p_lying, coverage, None, None)
        speed, change = flow
        body = median([piece.side for piece in window.bins]) if window.bins else 0.0
        if body <= 0:
            return Reading(window.posture, p_lying, coverage, speed, None)
        return Reading(window.posture, p_lying, coverage, speed, speed / body, (speed + change / 2) / body)


def _posture(before: PostureName, p_lying: float | None, coverage: float) -> PostureName:
    if p_lying is None or coverage < MIN_COVERAGE:
        return "unknown"
    if p_lying >= ENTER_LYING:
        return "lying"
    if p_lying <= ENTER_STANDING:
        return "standing"
    return before


def _recent(positions: list[Position], now: float) -> list[Position]:
    """Those that tell of the speed at `now`, in order of time."""
    recent = [place for place in positions if place.at >= now - SPEED_WINDOW_S]
    if len(recent) == 1 and len(positions) > 1 and recent[0].at - positions[-2].at <= MAX_GAP_S:
        return positions[-2:]
    return recent


def _flow(positions: list[Position]) -> tuple[float, float] | None:
    """Pixels per second in which the box's centre moves, and in which its width and height change together.

    Slopes of the straight lines through the positions, by least squares: jitter of single boxes hardly tilts them.
    """
    if len(positions) < 2 or positions[-1].at - positions[0].at < SPEED_MIN_SPAN_S:
        return None
    mean_at = sum([place.at for place in positions]) / len(positions)
    spread = slope_x = slope_y = slope_width = slope_height = 0.0
    for place in positions:
        ahead = place.at - mean_at
        spread += ahead * ahead
        slope_x += ahead * place.x
        slope_y += ahead * place.y
        slope_width += ahead * place.width
        slope_height += ahead * place.height
    return hypot(slope_x, slope_y) / spread, (abs(slope_width) + abs(slope_height)) / spread
