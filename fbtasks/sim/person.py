"""A person in three dimensions, in heights of a person, from the ground below the hips."""

from functools import lru_cache
from math import cos, pi, sin

import numpy as np

from fbtasks.sim.body import Body, Paint, Piece, heading_turn, paint, placed
from fbtasks.sim.projection import Array
from fbtasks.sim.stage import Colour, Look, PersonPose, Placed

HIPS = 0.53
"""Height of the hips."""
_SKIN: tuple[Colour, ...] = ((224, 184, 156), (198, 150, 120), (150, 104, 78), (96, 66, 50))
_BOOT: Colour = (44, 38, 34)

# Above the hips when upright: forwards, sideways, up, half axes forwards, sideways, up.
_TRUNK = {
    "belly": (0.000, 0.000, 0.040, 0.062, 0.090, 0.075),
    "chest": (0.000, 0.000, 0.200, 0.068, 0.098, 0.095),
    "neck": (0.008, 0.000, 0.310, 0.032, 0.034, 0.050),
    "head": (0.016, 0.000, 0.392, 0.052, 0.043, 0.064),
    "face": (0.038, 0.000, 0.380, 0.034, 0.034, 0.050),
    "hair": (-0.004, 0.000, 0.408, 0.054, 0.047, 0.056),
    "shoulder_l": (0.000, 0.105, 0.265, 0.036, 0.036, 0.036),
    "shoulder_r": (0.000, -0.105, 0.265, 0.036, 0.036, 0.036),
}
_SIDES = np.array([1.0, -1.0])
_LIMBS = {"elbow": 0.027, "wrist": 0.021, "hand": 0.024, "hip": 0.052, "knee": 0.036, "ankle": 0.026, "toe": 0.022}
_NAMES = [*_TRUNK, *(f"{limb}_{side}" for limb in _LIMBS for side in "lr")]
_AT = {name: index for index, name in enumerate(_NAMES)}
_ROWS = np.array(list(_TRUNK.values()))
_RADII = np.array(list(_LIMBS.values()))
_HALF = np.concatenate([_ROWS[:, 3:], np.repeat(_RADII, 2)[:, None].repeat(3, axis=1)])
_SHAPES = np.einsum("nk,kl->nkl", _HALF, np.eye(3))


def person(who: Placed, pose: PersonPose) -> Body:
    """The person where and how she is."""
    points, shapes = np.empty((len(_NAMES), 3)), _SHAPES.copy()
    lean = 1.75 * pose.stoop + 0.06 * pose.pace
    hips = np.array([-0.10 * sin(min(lean, pi / 2)), 0.0, HIPS - 0.06 * pose.stoop])
    tilt = np.array([(cos(lean), 0.0, sin(lean)), (0.0, 1.0, 0.0), (-sin(lean), 0.0, cos(lean))])
    trunk = slice(0, len(_TRUNK))
    points[trunk] = _ROWS[:, :3] @ tilt.T + hips
    shapes[trunk] = tilt @ shapes[trunk]
    _set_arms(points, pose)
    _set_legs(points, pose, hips)
    turn = heading_turn(who.heading, who.look.height)
    return placed(points, shapes, turn, np.array([who.x, who.y, 0.0]), _clothes(who.look))


def _set_arms(points: Array, pose: PersonPose) -> None:
    """Arms hang and swing against the legs; who stoops reaches forward."""
    swing = -0.55 * pose.pace * np.sin(2 * pi * pose.strides) * _SIDES + 0.25 * pose.stoop
    shoulder = points[_AT["shoulder_l"] : _AT["shoulder_r"] + 1]
    bend = 0.25 + 0.5 * pose.pace
    upper = np.stack([np.sin(swing), 0.10 * _SIDES, -np.cos(swing)], axis=1)
    lower = np.stack([np.sin(swing + bend), 0.04 * _SIDES, -np.cos(swing + bend)], axis=1)
    elbow = shoulder + 0.165 * upper
    wrist = elbow + 0.135 * lower
    points[_AT["elbow_l"] : _AT["hip_l"]] = np.concatenate([elbow, wrist, wrist + 0.035 * lower])


def _set_legs(points: Array, pose: PersonPose, hips: Array) -> None:
    phase = 2 * pi * pose.strides + np.where(_SIDES > 0, 0.0, pi)
    swing = 0.85 * pose.pace * np.sin(phase)
    fold = 1.3 * pose.pace * np.maximum(0.0, np.cos(phase)) + 0.25 * pose.stoop
    hip = hips + np.stack([0.0 * _SIDES, 0.050 * _SIDES, 0.0 * _SIDES], axis=1)
    knee = hip + 0.250 * np.stack([np.sin(swing + 0.5 * fold), 0.0 * _SIDES, -np.cos(swing + 0.5 * fold)], axis=1)
    shin = swing - 0.5 * fold
    ankle = knee + 0.240 * np.stack([np.sin(shin), 0.0 * _SIDES, -np.cos(shin)], axis=1)
    toe = ankle + np.stack([0.075 * np.cos(shin), 0.012 * _SIDES, -0.022 + 0.05 * np.sin(shin)], axis=1)
    points[_AT["hip_l"] :] = np.concatenate([hip, knee, ankle, toe])


@lru_cache(maxsize=512)
def _clothes(look: Look) -> Paint:
    random = np.random.default_rng(look.markings)
    skin = _SKIN[random.integers(len(_SKIN))] if look.markings else _SKIN[0]
    bare = bool(random.random() < 0.3)
    sleeve = skin if bare else look.main
    pieces = [
        Piece("belly", "chest", look.main), Piece("shoulder_l", "shoulder_r", look.main),
        Piece("chest", "shoulder_l", look.main), Piece("chest", "shoulder_r", look.main),
        Piece("neck", "head", skin), Piece("head", "face", skin, 0.01), Piece("hair", "hair", look.dark, -0.005),
        Piece("hip_l", "hip_r", look.dark), Piece("belly", "hip_l", look.dark), Piece("belly", "hip_r", look.dark),
    ]  # fmt: skip
    for side in "lr":
        pieces.extend([
            Piece(f"shoulder_{side}", f"elbow_{side}", look.main), Piece(f"elbow_{side}", f"wrist_{side}", sleeve),
            Piece(f"wrist_{side}", f"hand_{side}", skin), Piece(f"hip_{side}", f"knee_{side}", look.dark),
            Piece(f"knee_{side}", f"ankle_{side}", look.dark), Piece(f"ankle_{side}", f"toe_{side}", _BOOT),
        ])  # fmt: skip
    return paint(_NAMES, pieces)
