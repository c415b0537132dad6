"""The outline of a horse in any pose, as polygons.

Coordinates are in withers heights: x forward from the middle of the body, y up from the ground. A standing horse is
1.0 high at the withers and about 1.5 long from tail to nose; one that lies is half as high and a little longer.
"""

from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Colour = tuple[int, int, int]
"""Red, green, blue."""

COAT: Colour = (122, 61, 30)
SHINE: Colour = (158, 86, 46)
FAR_COAT: Colour = (84, 41, 20)
MANE: Colour = (74, 34, 16)
HOOF: Colour = (52, 48, 44)
EYE: Colour = (22, 16, 14)
HALTER: Colour = (38, 84, 58)

CURVE_PIECES = 6
LYING_DROP = 0.45
"""How much lower the body of a lying horse is."""
LOWEST_KNEE = 0.06
"""A folded leg lies on the ground, not below it."""
STANCE_SHARE = 0.6
"""Share of a stride in which a hoof is on the ground, walking; in a gallop it is less, which nobody sees here."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a horse holds itself.

    Attributes:
        down: 0 standing, 1 lying.
        strides: strides made so far; the fraction is the phase of the gait.
        pace: how far the legs reach, 0 at rest, 1 in a gallop.
        breath: phase of breathing, nodding and the tail's swing, in cycles.
    """

    down: float
    strides: float
    pace: float
    breath: float


@dataclass(frozen=True, slots=True)
class Part:
    """One filled polygon: `[n, 2]` corners and a colour."""

    corners: Points
    colour: Colour


def parts(pose: Pose) -> list[Part]:
    """The horse in `pose`, facing along +x, in the order of drawing."""
    drop = LYING_DROP * pose.down - 0.012 * sin(2 * pi * pose.breath) * (1 - pose.down)
    drop += 0.05 * pose.pace * cos(4 * pi * pose.strides)
    shift = np.array([0.0, -drop])
    return [
        *_leg(_FRONT, pose, drop, phase=0.5, near=False),
        *_leg(_HIND, pose, drop, phase=0.0, near=False),
        _tail(pose, drop),
        *_shaded(_TORSO + shift, np.array([-0.05, 0.86]) + shift),
        *_head_and_neck(pose, shift),
        *_leg(_FRONT, pose, drop, phase=0.0, near=True),
        *_leg(_HIND, pose, drop, phase=0.5, near=True),
    ]


_NECK_ROOT = np.array([0.26, 0.82])
_NECK_LENGTH = 0.62


def _head_and_neck(pose: Pose, shift: Points) -> list[Part]:
    nod = 0.05 * sin(2 * pi * pose.breath) + 0.06 * pose.pace * sin(4 * pi * pose.strides)
    up = 1 - pose.down
    neck = 0.36 + 0.52 * up - 0.14 * pose.pace + nod
    face = -0.50 - 0.38 * up + 0.2 * pose.pace + 0.6 * nod
    root = _NECK_ROOT + shift
    poll = root + _NECK_LENGTH * np.array([cos(neck), sin(neck)])
    on_neck = [(_NECK, COAT), (_MANE, MANE)]
    on_head = [(_EAR, FAR_COAT), (_HEAD, COAT), (_CHEEK, HALTER), (_NOSEBAND, HALTER), (_EYE, EYE), (_NOSTRIL, EYE)]
    return [
        *(Part(_turned(outline, neck) + root, colour) for outline, colour in on_neck),
        *(Part(_turned(outline, face) + poll, colour) for outline, colour in on_head),
    ]


@dataclass(frozen=True, slots=True)
class _Limb:
    """Where a leg hangs, how long its two bones are, to which side it bends, and where its hoof is when lying."""

    hip: tuple[float, float]
    upper: float
    lower: float
    bend: float
    folded_hoof: float


_FRONT = _Limb(hip=(0.33, 0.64), upper=0.30, lower=0.295, bend=1.0, folded_hoof=0.30)
_HIND = _Limb(hip=(-0.40, 0.70), upper=0.33, lower=0.345, bend=-1.0, folded_hoof=-0.10)


def _leg(limb: _Limb, pose: Pose, drop: float, *, phase: float, near: bool) -> list[Part]:
    side = 0.03 if near else -0.05
    hip = np.array([limb.hip[0] + side, limb.hip[1] - drop])
    reach, lift = _step((pose.strides + phase) % 1.0, pose.pace)
    standing = np.array([limb.hip[0] + 1.6 * side + reach, lift])
    folded = np.array([limb.folded_hoof + side, 0.0])
    hoof = standing + pose.down * (folded - standing)
    fetlock = hoof + np.array([0.0, 0.05])
    knee = _knee(hip, fetlock, limb)
    colour = COAT if near else FAR_COAT
    return [
        Part(_tapered(hip, knee, 0.105, 0.05), colour),
        Part(_tapered(knee, fetlock, 0.05, 0.034), colour),
        Part(hoof + np.array([(-0.04, 0.06), (0.035, 0.06), (0.06, -0.005), (-0.045, -0.005)]), HOOF),
    ]


def _step(phase: float, pace: float) -> tuple[float, float]:
    """Where a hoof is relative to its place at rest: forward and up. On the ground it goes back evenly."""
    length = 0.62 * pace
    if phase < STANCE_SHARE:
        return length * (0.5 - phase / STANCE_SHARE), 0.0
    swing = (phase - STANCE_SHARE) / (1 - STANCE_SHARE)
    return length * (swing - 0.5), 0.20 * pace * sin(pi * swing)


def _knee(hip: Points, end: Points, limb: _Limb) -> Points:
    """Where two bones from `hip` to `end` meet; a leg that cannot reach is straight (law of cosines)."""
    way = end - hip
    distance = min(float(np.hypot(*way)), 0.999 * (limb.upper + limb.lower))
    along = (limb.upper**2 - limb.lower**2 + distance**2) / (2 * distance)
    aside = max(limb.upper**2 - along**2, 0.0) ** 0.5
    forward = way / float(np.hypot(*way))
    knee = hip + along * forward + limb.bend * aside * np.array([-forward[1], forward[0]])
    return np.array([knee[0], max(knee[1], LOWEST_KNEE)])


_TAIL_WIDTH = np.array([(0.03, 0.02), (0.055, 0.0), (0.0, 0.0), (-0.065, 0.0), (-0.03, 0.0)])


def _tail(pose: Pose, drop: float) -> Part:
    swing = 0.05 * sin(2 * pi * pose.breath * 0.5)
    root = np.array([-0.55, 0.88 - drop])
    back = 0.08 + 0.24 * pose.pace + 0.16 * pose.down - swing
    tip = np.array([root[0] - back, max(root[1] - 0.56 + 0.26 * pose.pace + 0.15 * pose.down, 0.02)])
    middle = (root + tip) / 2 + np.array([-0.07, 0.05])
    outline = np.array([root, middle, tip, middle, root]) + _TAIL_WIDTH
    return Part(_smooth(outline), MANE)


def _shaded(outline: Points, light: Points) -> list[Part]:
    """The outline, and in it smaller and brighter ones around the point that the light falls on."""
    return [
        Part(light + share * (outline - light), _blend(COAT, SHINE, 1 - share))
        for share in (1.0, 0.82, 0.64, 0.46, 0.3)
    ]


def _blend(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _tapered(start: Points, end: Points, wide: float, narrow: float) -> Points:
    """A limb's piece as a smooth outline, `wide` and `narrow` being its half widths at both ends."""
    along = (end - start) / max(float(np.hypot(*(end - start))), 1e-6)
    aside = np.array([-along[1], along[0]])
    return _smooth(np.array([
        start + wide * aside, end + narrow * aside, end + 0.6 * narrow * along, end - narrow * aside,
        start - wide * aside, start - 0.6 * wide * along,
    ]))  # fmt: skip


def _turned(points: Points, angle: float) -> Points:
    turn = np.array([(cos(angle), sin(angle)), (-sin(angle), cos(angle))])
    return np.asarray(points @ turn)


def _smooth(corners: Points) -> Points:
    """A closed Catmull-Rom curve through the corners, `CURVE_PIECES` points for each."""
    return np.asarray(_curve(len(corners)) @ corners)


@cache
def _curve(count: int) -> Points:
    """What takes `count` corners to the points of their curve, `[count * CURVE_PIECES, count]`."""
    t = np.linspace(0, 1, CURVE_PIECES, endpoint=False)
    weights = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    matrix = np.zeros((count, CURVE_PIECES, count))
    for corner in range(count):
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
            matrix[corner, :, (corner + offset) % count] += weight
    return matrix.reshape(-1, count)


def _outline(*corners: tuple[float, float]) -> Points:
    return _smooth(np.array(corners))


# fmt: off
_TORSO = _outline(
    (-0.58, 0.76), (-0.54, 0.91), (-0.38, 1.00), (-0.10, 0.95), (0.18, 1.01), (0.34, 0.98), (0.45, 0.86),
    (0.47, 0.72), (0.38, 0.55), (0.10, 0.47), (-0.15, 0.49), (-0.32, 0.53), (-0.51, 0.58),
)
# The next two begin at the neck's root and lie along it; those of the head begin at the poll and lie along the nose.
_NECK = _outline(
    (-0.10, 0.24), (0.15, 0.19), (0.45, 0.135), (0.64, 0.09), (0.66, -0.02), (0.56, -0.09), (0.30, -0.12),
    (0.05, -0.26), (-0.14, -0.30),
)
_MANE = _outline(
    (0.00, 0.25), (0.20, 0.215), (0.45, 0.165), (0.68, 0.115), (0.72, 0.05), (0.60, 0.045), (0.45, 0.07),
    (0.22, 0.09), (0.02, 0.12),
)
_HEAD = _outline(
    (-0.05, 0.05), (0.06, 0.10), (0.20, 0.09), (0.40, 0.06), (0.50, 0.045), (0.54, -0.01), (0.51, -0.06),
    (0.43, -0.075), (0.30, -0.09), (0.16, -0.14), (0.05, -0.15), (-0.05, -0.08),
)
# fmt: on
_EAR = _outline((-0.05, 0.05), (-0.10, 0.17), (-0.02, 0.19), (0.05, 0.08))
_EYE = _outline((0.135, 0.035), (0.155, 0.05), (0.18, 0.045), (0.19, 0.025), (0.165, 0.018))
_NOSTRIL = _outline((0.475, 0.005), (0.495, 0.015), (0.505, -0.005), (0.49, -0.018))
_NOSEBAND = _outline((0.33, 0.073), (0.365, 0.068), (0.355, -0.083), (0.32, -0.088))
_CHEEK = _outline((0.02, 0.085), (0.05, 0.09), (0.34, -0.06), (0.325, -0.085))
