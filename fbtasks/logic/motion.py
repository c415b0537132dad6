"""Where a box should be by now, how sure that is, and how well another box fits there.

A Kalman filter of the box's centre in seconds of capture time, for pictures at any distance: the velocity fades away
by itself (the Ornstein-Uhlenbeck case of Singer, "Estimating Optimal Tracking Filter Performance for Manned Maneuvering
Targets", 1970), since an animal in a stall soon stops or turns. Both axes share one uncertainty. Width and height
follow more slowly than the centre: a horse does not become half as high from one picture to the next, but its box does
when something hides its legs.

The constants were chosen on the drawn crossings of `benchmarks/tracking.py`, those in body lengths (bl, the square root
of the box's area) by hand from what horses do.
"""

from math import exp, log

import msgspec

Corners = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the source picture."""

STOPS_WITHIN_S = 2.5
"""Velocity falls to 1/e."""
RESTLESS = 0.1
"""Spectral density of the acceleration, bl²/s³."""
RESTLESS_AT_MOST_S = 3.0
"""A place gets no less sure after so long: a stall has walls."""
JITTER_BL = 0.04
"""Standard deviation of a detector's centre."""
CUT_SHARE = 0.8
"""Standard deviation of the centre for each pixel that a box lacks: it is off by half of what is hidden at most."""
FIRST_SPEED_BL_S = 0.6
"""Standard deviation of the speed of what has been seen once."""
RESIZES_WITHIN_S = 0.6
JITTER_SIZE = 0.2
"""Standard deviation of the logarithm of width or height from one picture to the next."""
GROWTH = 0.25
"""What adds to it in the first second, and as the square root of time up to 3 s: a horse can lie down or turn."""
SIZE_WEIGHT = 2.0


class Motion(msgspec.Struct, frozen=True, array_like=True):
    """Where a box is believed to be and to go; pixels and seconds.

    Attributes:
        x, y: its centre.
        vx, vy: of the centre.
        width, height: smoothed.
        var_place, cov, var_speed: variance of x and of y, covariance of x and vx, variance of vx.
    """

    x: float = 0.0
    y: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    width: float = 1.0
    height: float = 1.0
    var_place: float = 0.0
    cov: float = 0.0
    var_speed: float = 0.0

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def corners(self) -> Corners:
        return (
            self.x - self.width / 2,
            self.y - self.height / 2,
            self.x + self.width / 2,
            self.y + self.height / 2,
        )


def begin(corners: Corners) -> Motion:
    """The motion of what was seen once."""
    x, y, width, height = _measure(corners)
    area = width * height
    return Motion(x, y, 0.0, 0.0, width, height, JITTER_BL**2 * area, 0.0, FIRST_SPEED_BL_S**2 * area)


def ahead(motion: Motion, seconds: float) -> Motion:
    """What is to be expected `seconds` later."""
    stays = exp(-seconds / STOPS_WITHIN_S)
    reach = STOPS_WITHIN_S * (1.0 - stays)
    restless, span = RESTLESS * motion.area, min(seconds, RESTLESS_AT_MOST_S)
    carried = motion.cov + reach * motion.var_speed
    return Motion(
        motion.x + reach * motion.vx,
        motion.y + reach * motion.vy,
        stays * motion.vx,
        stays * motion.vy,
        motion.width,
        motion.height,
        motion.var_place + reach * (motion.cov + carried) + restless * span**3 / 3,
        stays * carried + restless * span**2 / 2,
        stays**2 * motion.var_speed + restless * span,
    )


def misfit(expected: Motion, corners: Corners, seconds: float) -> float:
    """How badly a box fits to what is expected after `seconds`: a negative log-likelihood, free of the picture's scale.

    The surer a place is, the lower it can be: of two tracks that a box fits alike, the one seen last gets it.
    """
    x, y, width, height = _measure(corners)
    var_x, var_y = _variances(expected, width, height)
    place = (x - expected.x) ** 2 / var_x + (y - expected.y) ** 2 / var_y
    wider, higher = log(width / expected.width), log(height / expected.height)
    var_size = JITTER_SIZE**2 + GROWTH**2 * min(seconds, RESTLESS_AT_MOST_S)
    # Of heavy tails: a door can hide nearly all of a horse.
    size = SIZE_WEIGHT * log(1.0 + (wider**2 + higher**2) / (2.0 * var_size))
    return 0.5 * place + 0.5 * log(var_x * var_y) - log(expected.area) + size


def corrected(expected: Motion, corners: Corners, seconds: float, *, whole: bool) -> Motion:
    """What is believed after the box was seen, `seconds` after the one before.

    Args:
        whole: the box is of this one alone; else it tells of the place a little, of speed and size nothing.
    """
    x, y, width, height = _measure(corners)
    var_x, var_y = _variances(expected, width, height)
    place_x, place_y = expected.var_place / var_x, expected.var_place / var_y
    off_x, off_y = x - expected.x, y - expected.y
    both = (var_x + var_y) / 2
    place, speed = expected.var_place / both, expected.cov / both
    resized = 1.0 - exp(-seconds / RESIZES_WITHIN_S) if whole else 0.0
    return Motion(
        expected.x + place_x * off_x,
        expected.y + place_y * off_y,
        expected.vx + (expected.cov / var_x * off_x if whole else 0.0),
        expected.vy + (expected.cov / var_y * off_y if whole else 0.0),
        expected.width + resized * (width - expected.width),
        expected.height + resized * (height - expected.height),
        (1.0 - place) * expected.var_place,
        (1.0 - place) * expected.cov,
        expected.var_speed - speed * expected.cov,
    )


def _variances(expected: Motion, width: float, height: float) -> tuple[float, float]:
    """Of the distance between the expected centre and that of a box of this size, along x and y."""
    surely = expected.var_place + JITTER_BL**2 * expected.area
    missing_x, missing_y = CUT_SHARE * (width - expected.width), CUT_SHARE * (height - expected.height)
    return surely + missing_x**2, surely + missing_y**2


def _measure(corners: Corners) -> tuple[float, float, float, float]:
    """Centre, width and height; at least a pixel, for shares of nothing mean nothing."""
    left, top, right, bottom = corners
    return (left + right) / 2, (top + bottom) / 2, max(right - left, 1.0), max(bottom - top, 1.0)
