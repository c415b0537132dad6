"""A horse in three dimensions: its skeleton in any pose, and what is drawn around it.

Its own axes are forwards, sideways and up, in withers heights, from the middle of the chest and belly. A standing horse
is 1.0 high at the withers and about 1.5 long from tail to nose; proportions follow those of a riding horse.
"""

from functools import lru_cache
from math import cos, pi, sin

import numpy as np

from fbtasks.sim.body import Body, Paint, Piece, heading_turn, paint, placed
from fbtasks.sim.projection import Array
from fbtasks.sim.stage import Colour, HorsePose, Look, Placed

MIDDLE = 0.755
"""Height of the body's middle, standing."""
HALF_HEIGHT, HALF_WIDTH = 0.225, 0.185
"""Of the chest: how high the middle is when the horse lies on it, or on a side."""
SINKS = 0.03
"""How deep a lying body is in the straw."""
HOOF: Colour = (58, 52, 46)
EYE: Colour = (18, 14, 12)
WHITE: Colour = (226, 222, 214)

_LEGS = ("lf", "rf", "lh", "rh")
"""Left and right, fore and hind: the order of all arrays of legs."""
_SIDES = np.array([1.0, -1.0, 1.0, -1.0])

# Name: forwards, up (from the ground, standing), half axes forwards, sideways, up.
_TORSO = {
    "rump": (-0.455, 0.790, 0.100, 0.125, 0.140),
    "croup": (-0.335, 0.815, 0.150, 0.160, 0.172),
    "loin": (-0.130, 0.772, 0.150, 0.165, 0.196),
    "barrel": (0.050, 0.742, 0.160, 0.182, 0.216),
    "girth": (0.210, 0.738, 0.150, 0.162, 0.216),
    "withers": (0.220, 0.895, 0.160, 0.055, 0.100),
    "chest": (0.350, 0.735, 0.115, 0.145, 0.170),
    "breast": (0.410, 0.690, 0.075, 0.125, 0.115),
    "neck_root": (0.360, 0.815, 0.130, 0.100, 0.165),
}
_NECK_AT = np.array([0.37, 0.0, 0.835 - MIDDLE])
# Along the neck and upwards from its crest's line, half axes along, sideways, up.
_NECK = {
    "neck": (0.21, 0.00, 0.120, 0.072, 0.125),
    "throat": (0.41, 0.005, 0.080, 0.056, 0.088),
    "mane_low": (0.02, 0.150, 0.060, 0.034, 0.045),
    "mane": (0.22, 0.112, 0.060, 0.034, 0.045),
    "mane_high": (0.44, 0.082, 0.050, 0.030, 0.040),
}
_POLL = 0.49
"""From the neck's root, along the neck."""
_HEAD = {
    "skull": (0.050, 0.000, 0.075, 0.066, 0.074),
    "jowl": (0.125, -0.045, 0.085, 0.052, 0.086),
    "face": (0.235, -0.005, 0.070, 0.045, 0.062),
    "nose": (0.330, -0.010, 0.060, 0.042, 0.052),
    "muzzle": (0.375, -0.018, 0.046, 0.046, 0.050),
    "noseband": (0.262, -0.008, 0.014, 0.052, 0.068),
    "blaze_high": (0.075, 0.066, 0.030, 0.016, 0.012),
    "blaze_low": (0.330, 0.034, 0.030, 0.012, 0.012),
    "forelock": (0.010, 0.075, 0.030, 0.030, 0.020),
    "forelock_tip": (0.110, 0.068, 0.020, 0.018, 0.008),
}
# As those of the head, with how far aside, one on each side.
_PAIRS = {
    "ear": (0.000, 0.045, 0.060, 0.030),
    "ear_tip": (-0.020, 0.052, 0.145, 0.008),
    "eye": (0.100, 0.058, 0.028, 0.015),
    "nostril": (0.395, 0.034, 0.004, 0.013),
}
_TAIL = (0.030, 0.046, 0.056, 0.030)
_PATCHES = 6
_TRUNK_BONES = (
    ("croup", "rump"), ("loin", "croup"), ("barrel", "loin"), ("girth", "barrel"), ("chest", "girth"),
    ("chest", "breast"), ("withers", "girth"), ("withers", "loin"), ("neck_root", "withers"), ("neck_root", "chest"),
)  # fmt: skip
_HEAD_BONES = (
    ("neck_root", "neck"), ("neck", "throat"), ("throat", "skull"), ("throat", "jowl"), ("skull", "jowl"),
    ("jowl", "face"), ("skull", "face"), ("face", "nose"),
)  # fmt: skip
_MANE_BONES = (("mane_low", "mane"), ("mane", "mane_high"), ("mane_high", "forelock"))
_HEAD_GROUP, _TAIL_GROUP, _LEG_GROUPS = 1, 2, 3
"""Groups of pieces: the trunk is 0, each leg has its own."""


def _names() -> list[str]:
    legs = [f"{leg}_{joint}" for leg in _LEGS for joint in ("hip", "stifle", "knee", "fetlock", "pastern", "hoof")]
    pairs = [f"{name}_{side}" for name in _PAIRS for side in "lr"]
    tail = [f"tail_{index}" for index in range(len(_TAIL))]
    patches = [f"patch_{index}" for index in range(_PATCHES)]
    return [*_TORSO, *patches, *_NECK, *_HEAD, *pairs, *tail, *legs]


_NAMES = _names()
_AT = {name: index for index, name in enumerate(_NAMES)}
_PATCH_AT = _AT["patch_0"]
_NECK_FROM, _HEAD_FROM, _PAIRS_FROM = _AT["neck"], _AT["skull"], _AT["ear_l"]
_TAIL_FROM, _LEGS_FROM = _AT["tail_0"], _AT["lf_hip"]
# Radii of a leg's joints: hip or elbow, stifle (fore: inside the forearm), knee or hock, fetlock, pastern, hoof.
_LEG_RADII = np.array([
    *2 * [(0.080, 0.060, 0.038, 0.032, 0.028, 0.040)], *2 * [(0.125, 0.092, 0.042, 0.034, 0.029, 0.041)],
])  # fmt: skip


def _template() -> tuple[Array, Array]:
    """Points and half axes of everything, those that move being set later."""
    points, axes = np.zeros((len(_NAMES), 3)), np.zeros((len(_NAMES), 3))
    for name, (ahead, up, *half) in _TORSO.items():
        points[_AT[name]], axes[_AT[name]] = (ahead, 0.0, up - MIDDLE), half
    for name, (ahead, up, *half) in {**_NECK, **_HEAD}.items():
        points[_AT[name]], axes[_AT[name]] = (ahead, 0.0, up), half
    for name, (ahead, aside, up, radius) in _PAIRS.items():
        for side, sign in (("l", 1.0), ("r", -1.0)):
            points[_AT[f"{name}_{side}"]], axes[_AT[f"{name}_{side}"]] = (ahead, sign * aside, up), radius
    axes[_TAIL_FROM:_LEGS_FROM] = np.array(_TAIL)[:, None]
    axes[_LEGS_FROM:] = _LEG_RADII.reshape(-1, 1)
    return points, axes


_POINTS, _AXES = _template()
_SHAPES = np.einsum("nk,kl->nkl", _AXES, np.eye(3))


def horse(who: Placed, pose: HorsePose) -> Body:
    """The horse where and how it is."""
    points, shapes = _POINTS.copy(), _SHAPES.copy()
    patches, patch_shapes, drawn = _coat(who.look)
    points[_PATCH_AT : _PATCH_AT + _PATCHES] = patches
    shapes[_PATCH_AT : _PATCH_AT + _PATCHES] = patch_shapes
    ways = _ways(pose)
    middle, pitch = _middle(pose)
    # Breathing: the barrel swells and falls.
    shapes[_AT["barrel"]] *= 1 + 0.02 * sin(2 * pi * pose.breath)
    _set_head(points, shapes, pose, ways)
    _set_tail(points, pose, ways)
    _set_legs(points, pose, ways, middle)
    size = who.look.height
    turn = heading_turn(who.heading, size) @ _rolled(pose.roll) @ _pitched(pitch)
    return placed(points, shapes, turn, np.array([who.x, who.y, size * middle]), drawn)


def _ways(pose: HorsePose) -> tuple[float, float, float, float]:
    """Shares of the four ways to be: on its legs, on its chest, on a side, on its back; together 1."""
    c, s = cos(pose.roll), sin(pose.roll)
    return 1 - pose.down, pose.down * max(c, 0.0) ** 2, pose.down * s * s, pose.down * max(-c, 0.0) ** 2


def _middle(pose: HorsePose) -> tuple[float, float]:
    """Height of the body's middle, and how far the forehand is lower than the rump, as an angle."""
    lying = np.hypot(HALF_HEIGHT * cos(pose.roll), HALF_WIDTH * sin(pose.roll)) - SINKS
    bob = 0.035 * pose.pace * cos(4 * pi * pose.strides)
    middle = (1 - pose.down) * (MIDDLE + bob) + pose.down * lying
    # A horse that lies down kneels first; while it is on its way, the rump is the higher end.
    kneeling = 0.22 * sin(pi * pose.down)
    rocking = 0.10 * max(0.0, pose.pace - 0.6) * sin(2 * pi * pose.strides)
    return float(middle), kneeling + rocking


def _rolled(roll: float) -> Array:
    c, s = cos(roll), sin(roll)
    return np.array([(1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)])


def _pitched(down: float) -> Array:
    c, s = cos(down), sin(down)
    return np.array([(c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)])


def _set_head(points: Array, shapes: Array, pose: HorsePose, ways: tuple[float, float, float, float]) -> None:
    upright, sternal, lateral, supine = ways
    nod = 0.03 * sin(2 * pi * pose.breath) + 0.10 * pose.pace * sin(4 * pi * pose.strides)
    struggle = 0.35 * pose.thrash * sin(2 * pi * (2 * pose.breath + pose.strides))
    low, high = _between(pose.head)
    # Angles above the horizon of neck and face: at rest and low, with the ways as weights.
    rest = upright * (0.74 + 0.36 * high - 0.35 * pose.pace) + sternal * (0.72 + 0.3 * high)
    neck = low * (upright * -0.80 + sternal * -0.22) + (1 - low) * rest + 0.12 * lateral + 0.25 * supine
    resting = upright * (-0.92 + 0.25 * high + 0.3 * pose.pace) + sternal * (-0.80 + 0.25 * high)
    face = low * (upright * -1.35 + sternal * -0.25) + (1 - low) * resting - 0.35 * lateral - 0.45 * supine
    neck, face = neck + nod + struggle, face + 0.7 * nod + struggle
    on_neck, on_head = _pitched(-neck), _pitched(-face)
    part = slice(_NECK_FROM, _HEAD_FROM)
    points[part] = points[part] @ on_neck.T + _NECK_AT
    shapes[part] = on_neck @ shapes[part]
    poll = _NECK_AT + on_neck @ (_POLL, 0.0, 0.02)
    part = slice(_HEAD_FROM, _TAIL_FROM)
    points[part] = points[part] @ on_head.T + poll
    shapes[part] = on_head @ shapes[part]
    # On its side, neck and head hang down to the ground: the further from the shoulders, the more.
    part = slice(_NECK_FROM, _TAIL_FROM)
    points[part, 1] -= 0.22 * lateral * sin(pose.roll) * (points[part, 0] - _NECK_AT[0])


def _between(head: float) -> tuple[float, float]:
    """How low a head is held, 1 on the ground and 0 from rest upwards, and how high, from 0 at rest."""
    rest = 0.7
    return max(0.0, 1 - head / rest), max(0.0, (head - rest) / (1 - rest))


def _set_tail(points: Array, pose: HorsePose, ways: tuple[float, float, float, float]) -> None:
    swing = sin(pi * pose.breath)
    along = np.array([0.0, 0.10, 0.30, 0.52])
    lift = min(1.0, 0.9 * pose.pace) * (1 - pose.down)
    hang = ways[0] * (1 - 0.6 * lift)
    back = 0.25 + 0.5 * lift + 0.55 * pose.down
    tail = points[_TAIL_FROM:_LEGS_FROM]
    tail[:, 0] = -0.545 - back * along * np.array([1.0, 1.0, 0.62, 0.45])
    tail[:, 1] = 0.16 * swing * along**1.5
    tail[:, 2] = 0.895 - MIDDLE - along * hang + 0.35 * ways[3] * along
    # Whatever way up the body is, the tail of a horse that is down lies on the ground.
    tail[:, 1] -= pose.down * sin(pose.roll) * along * 0.5
    tail[:, 2] -= pose.down * cos(pose.roll) * along * 0.7


_BESIDE = 0.108
_TOP = np.array([(0.285, 0.0, 0.600), (0.285, 0.0, 0.600), (-0.345, 0.0, 0.790), (-0.345, 0.0, 0.790)])
_TOP[:, 2] -= MIDDLE
_TOP[:, 1] = _BESIDE * _SIDES
_UPPER = np.array([0.275, 0.275, 0.405, 0.405])
"""From elbow to knee, from hip to hock."""
_LOWER = np.array([0.235, 0.235, 0.306, 0.306])
"""From knee or hock to fetlock."""
_FETLOCK_UP = 0.100
_FEET = np.array([0.300, 0.300, -0.420, -0.420])
"""Where the fetlocks of a standing horse are, forwards."""
_BEND = np.array([1.0, 1.0, -1.0, -1.0])
"""Knees bend forwards, hocks backwards."""
_FEMUR = 0.225
_TIBIA = 0.240


def _sided(fore: tuple[float, float, float], hind: tuple[float, float, float]) -> Array:
    legs = np.array([fore, fore, hind, hind])
    legs[:, 1] *= _SIDES
    return legs


# Knees or hocks and fetlocks of a horse that is down, from its middle; on its chest the heights are from the ground.
_CHEST_KNEE = _sided((0.52, 0.15, 0.030), (-0.44, 0.22, 0.035))
_CHEST_FOOT = _sided((0.29, 0.16, 0.010), (-0.15, 0.27, 0.010))
_SIDE_KNEE = _sided((0.40, 0.09, -0.400), (-0.42, 0.09, -0.360))
_SIDE_FOOT = _sided((0.36, 0.09, -0.630), (-0.33, 0.09, -0.660))
_BACK_KNEE = _sided((0.42, 0.15, -0.370), (-0.42, 0.20, -0.330))
_BACK_FOOT = _sided((0.24, 0.14, -0.300), (-0.20, 0.22, -0.440))
_STANDING_PASTERN = np.array([0.50, 0.0, -0.87])
_KICKS = np.array([0.0, 0.45, 0.6, 0.15])


def _set_legs(points: Array, pose: HorsePose, ways: tuple[float, float, float, float], middle: float) -> None:
    upright, sternal, lateral, supine = ways
    knee, foot, pastern = _standing_legs(pose, middle)
    if pose.down > 0:
        ground = np.array([0.0, 0.0, middle])
        knee = upright * knee + sternal * (_CHEST_KNEE - ground) + lateral * _SIDE_KNEE + supine * _BACK_KNEE
        foot = upright * foot + sternal * (_CHEST_FOOT - ground) + lateral * _SIDE_FOOT + supine * _BACK_FOOT
        # On a side, the upper legs hang down.
        knee[:, 1] -= 0.08 * lateral * sin(pose.roll)
        foot[:, 1] -= 0.15 * lateral * sin(pose.roll)
        _kick(knee, foot, pose)
        along = foot - knee
        along /= np.sqrt((along**2).sum(axis=1, keepdims=True)) + 1e-9
        pastern = upright * pastern + pose.down * along
    legs = points[_LEGS_FROM:].reshape(4, 6, 3)
    legs[:, 0], legs[:, 2], legs[:, 3] = _TOP, knee, foot
    legs[:2, 1] = 0.55 * _TOP[:2] + 0.45 * knee[:2]
    legs[2:, 1] = _bent(_TOP[2:], knee[2:], np.full(2, _FEMUR), np.full(2, _TIBIA), np.ones(2))
    legs[:, 4] = foot + 0.045 * pastern
    legs[:, 5] = foot + 0.080 * pastern


def _kick(knee: Array, foot: Array, pose: HorsePose) -> None:
    """Legs of a horse that struggles on the ground: they run, and reach and bend by turns."""
    if not pose.thrash:
        return
    phase = 2 * pi * (2 * pose.breath + pose.strides + _KICKS)
    strength = pose.thrash * pose.down
    knee[:, 0] += 0.13 * strength * np.sin(phase)
    foot[:, 0] += 0.24 * strength * np.sin(phase - 0.7)
    foot[:, 2] += 0.12 * strength * np.cos(phase)


def _standing_legs(pose: HorsePose, middle: float) -> tuple[Array, Array, Array]:
    """Knees or hocks, fetlocks and the pasterns' directions of a horse on its legs."""
    reach, lift = _steps(pose)
    foot = np.empty((4, 3))
    foot[:, 0] = _FEET + reach
    foot[:, 1] = 0.95 * _BESIDE * _SIDES
    foot[:, 2] = _FETLOCK_UP + lift - middle
    knee = _bent(_TOP, foot, _UPPER, _LOWER, _BEND)
    pastern = np.empty((4, 3))
    # A lifted hoof trails behind.
    pastern[:] = _STANDING_PASTERN
    pastern[:, 0] -= np.minimum(6.0 * lift, 1.3)
    return knee, foot, pastern


# In a walk, a trot and a gallop: phases of the legs, and the share of a stride that each hoof is on the ground.
_PHASES = np.array([(0.25, 0.75, 0.0, 0.5), (0.5, 1.0, 0.0, 0.5), (0.55, 0.68, 0.0, 0.13)])
_STANCE = np.array([0.62, 0.45, 0.30])
_PACES = np.array([0.45, 0.65, 0.85])


def _steps(pose: HorsePose) -> tuple[Array, Array]:
    """How far forward and up each hoof is of its place at rest; on the ground it goes back evenly."""
    if not pose.pace:
        return np.zeros(4), np.zeros(4)
    gait = float(np.interp(pose.pace, _PACES, (0.0, 1.0, 2.0)))
    index = min(int(gait), 1)
    share = gait - index
    phase = (pose.strides + (1 - share) * _PHASES[index] + share * _PHASES[index + 1]) % 1.0
    stance = (1 - share) * _STANCE[index] + share * _STANCE[index + 1]
    length = 0.68 * pose.pace
    swing = np.clip((phase - stance) / (1 - stance), 0.0, 1.0)
    reach = length * np.where(phase < stance, 0.5 - phase / stance, swing - 0.5)
    return reach, 0.24 * pose.pace * np.sin(pi * swing)


def _bent(start: Array, end: Array, upper: Array, lower: Array, bend: Array) -> Array:
    """Where two bones from `start` to `end` meet, `[n, 3]`; a leg that cannot reach is straight (law of cosines)."""
    way = end - start
    distance = np.sqrt((way**2).sum(axis=1)) + 1e-9
    reached = np.minimum(distance, 0.998 * (upper + lower))
    along = (upper**2 - lower**2 + reached**2) / (2 * reached)
    aside = np.sqrt(np.maximum(upper**2 - along**2, 0.0))
    forward = way / distance[:, None]
    # Aside of the leg in the plane of its way and the body's long axis.
    across = -forward * forward[:, :1]
    across[:, 0] += 1.0
    across *= (bend / (np.sqrt((across**2).sum(axis=1)) + 1e-9))[:, None]
    return np.asarray(start + along[:, None] * forward + aside[:, None] * across)


@lru_cache(maxsize=512)
def _coat(look: Look) -> tuple[Array, Array, Paint]:
    """Where its patches are, their shapes, and the paint of a whole horse."""
    random = np.random.default_rng(look.markings)
    main, dark = look.main, look.dark
    marked = look.markings != 0
    shade = _mixed(main, dark, 0.25)
    muzzle = _mixed(main, (40, 34, 32), 0.55)
    pieces = [Piece(start, end, main) for start, end in _TRUNK_BONES]
    # Shoulders and haunches.
    pieces += [Piece("chest" if leg[1] == "f" else "croup", f"{leg}_hip", main, 0.05) for leg in _LEGS]
    pieces += [Piece(start, end, main, group=_HEAD_GROUP) for start, end in _HEAD_BONES]
    pieces.append(Piece("nose", "muzzle", muzzle, 0.01, group=_HEAD_GROUP))
    pieces += [Piece(start, end, dark, 0.30, round=False, group=_HEAD_GROUP) for start, end in _MANE_BONES]
    pieces.append(Piece("forelock", "forelock_tip", dark, 0.05, round=False, group=_HEAD_GROUP))
    pieces += [Piece(f"tail_{index}", f"tail_{index + 1}", dark, group=_TAIL_GROUP) for index in range(len(_TAIL) - 1)]
    for side in "lr":
        pieces.append(Piece(f"ear_{side}", f"ear_tip_{side}", shade, 0.02, round=False, group=_HEAD_GROUP))
        pieces.append(Piece(f"eye_{side}", f"eye_{side}", EYE, 0.03, bright=True, round=False, group=_HEAD_GROUP))
        pieces.append(Piece(f"nostril_{side}", f"nostril_{side}", EYE, 0.03, round=False, group=_HEAD_GROUP))
    socks = random.random(4) < 0.35
    for leg, sock in zip(_LEGS, socks, strict=True):
        pieces.extend(_leg(leg, look, sock=bool(marked and sock)))
    if marked and random.random() < 0.6:
        pieces.append(Piece("blaze_high", "blaze_low", WHITE, 0.03, round=False, group=_HEAD_GROUP))
    if random.random() < 0.6:
        strap = tuple(int(channel) for channel in random.integers(20, 170, 3))
        pieces.append(
            Piece("noseband", "noseband", (strap[0], strap[1], strap[2]), 0.04, round=False, group=_HEAD_GROUP)
        )
    points, shapes = _patches(random)
    if marked and random.random() < 0.22:
        patch = WHITE if sum(main) < 450 else dark
        pieces.extend(Piece(f"patch_{index}", f"patch_{index}", patch, 0.10, round=False) for index in range(_PATCHES))
    return points, shapes, paint(_NAMES, pieces)


def _leg(leg: str, look: Look, *, sock: bool) -> list[Piece]:
    main = look.main
    low = WHITE if sock else _mixed(main, look.dark, 0.8)
    hoof = _mixed(HOOF, (150, 136, 112), 0.6) if sock else HOOF
    group = _LEG_GROUPS + _LEGS.index(leg)
    return [
        Piece(f"{leg}_hip", f"{leg}_stifle", main, 0.12),
        Piece(f"{leg}_stifle", f"{leg}_knee", main, group=group),
        Piece(f"{leg}_knee", f"{leg}_knee", _mixed(main, look.dark, 0.4), 0.005, group=group),
        Piece(f"{leg}_knee", f"{leg}_fetlock", low, -0.005, group=group),
        Piece(f"{leg}_fetlock", f"{leg}_pastern", low, group=group),
        Piece(f"{leg}_pastern", f"{leg}_hoof", hoof, -0.005, group=group),
    ]


def _patches(random: np.random.Generator) -> tuple[Array, Array]:
    """Flat ellipsoids on both sides of the body, hardly thicker than its coat."""
    ahead = random.uniform(-0.40, 0.30, _PATCHES)
    angle = random.uniform(0.1, 1.1, _PATCHES)
    side = np.where(np.arange(_PATCHES) % 2 == 0, 1.0, -1.0)
    points = np.stack([ahead, side * 0.155 * np.cos(angle), 0.175 * np.sin(angle) + 0.01], axis=1)
    long, high = random.uniform(0.05, 0.12, _PATCHES), random.uniform(0.05, 0.09, _PATCHES)
    shapes = np.zeros((_PATCHES, 3, 3))
    shapes[:, 0, 0] = long
    out = np.stack([np.zeros(_PATCHES), side * np.cos(angle), np.sin(angle)], axis=1)
    up = np.stack([np.zeros(_PATCHES), -side * np.sin(angle), np.cos(angle)], axis=1)
    shapes[:, :, 1] = 0.02 * out
    shapes[:, :, 2] = high[:, None] * up
    return points, shapes


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(colour, other, strict=True))
    return red, green, blue
