"""Random moments of random stables: what the detector learns from, and what it is tested on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import pi
from typing import TypeVar

import numpy as np

from fbtasks.sim.places import place
from fbtasks.sim.scenario import CLOTHES, COATS
from fbtasks.sim.scene import Scene
from fbtasks.sim.stage import (
    Colour,
    Conditions,
    HorsePose,
    Light,
    Look,
    PersonPose,
    Place,
    Placed,
    PlaceKind,
    TruePosture,
)
from fbtasks.sim.timeline import LIES, NOISE
from training.pictures import LEAST_VISIBLE, Labelled, labelled

TRAINING, EMPTY_TRAINING, HELD_OUT = 1_000_000, 1_500_000, 2_000_000
"""From here on count the seeds of places for the three; scenarios written by hand have smaller ones."""

_PER_PLACE = 8
"""Pictures of one place in one light: drawing what stands still costs far more than what moves."""
_PER_STALL = 4
_KINDS: dict[PlaceKind, float] = {"box": 0.5, "aisle": 0.2, "paddock": 0.3}
_CAMERAS = {(960, 540): 0.35, (640, 360): 0.35, (1280, 720): 0.1, (640, 480): 0.08, (800, 600): 0.07, (480, 480): 0.05}
_LIGHTS: dict[Light, float] = {"day": 0.35, "dusk": 0.15, "infrared": 0.5}
_EMPTY = 0.18
"""Share of pictures with nobody in them."""
_CLUTTER = {1: 0.3, 3: 0.4, 6: 0.3}
"""How much stands about in a cluttered place: one thing before another looks like somebody soonest."""
_AT_BORDER = 0.25
"""Share of horses and persons who may be anywhere, also half outside of the place."""
_HORSES = {0: 0.08, 1: 0.58, 2: 0.25, 3: 0.09}
_PERSONS = {0: 0.25, 1: 0.42, 2: 0.24, 3: 0.09}
_BESIDE = 0.65
"""Share of persons who are with a horse; half of these stand before or behind it, as the camera sees them."""
_DIRTY = 0.3
_POSES = {
    "stands": 0.2,
    "grazes": 0.12,
    "walks": 0.1,
    "trots": 0.06,
    "gallops": 0.08,
    "sternal": 0.16,
    "lateral": 0.12,
    "rolls": 0.08,
    "between": 0.08,
}
_T = TypeVar("_T")
_PACES = {"stands": (0.0, 0.0), "walks": (0.15, 0.5), "trots": (0.5, 0.75), "gallops": (0.75, 0.95)}
_ROLLS = {"sternal": (0.0, 0.3), "lateral": (1.0, 0.5 * pi), "rolls": (0.3, pi)}


@dataclass(frozen=True, slots=True)
class View:
    """A camera and a moment before it."""

    scene: Scene
    placed: list[Placed]
    conditions: Conditions
    moment: int

    def labelled(self, *, tight: bool = False, least_visible: float = LEAST_VISIBLE) -> Labelled:
        """Its picture as the producer sends it, and what is true in it; of a covered lens nothing is.

        Args:
            tight: without the border that is not needed.
            least_visible: of whom less is seen, it does not matter whether they are found.
        """
        picture = self.scene.picture(self.placed, self.conditions, self.moment)
        truths = [] if self.conditions.covered else self.scene.truth(self.placed, self.conditions, self.moment)
        return labelled(picture, truths, tight=tight, least_visible=least_visible)


def empty_stalls(count: int, first_seed: int) -> Iterator[View]:
    """Random views of boxes with nobody in them, from where the camera usually hangs; the same for the same seed.

    Args:
        count: how many.
        first_seed: each box takes one.
    """
    for start in range(0, count, _PER_STALL):
        draw = np.random.default_rng(first_seed + start)
        scene, usual = Scene(place("box", first_seed + start), *_pick(draw, _CAMERAS)), _light(draw)
        for moment in range(min(_PER_STALL, count - start)):
            yield View(scene, [], _suffering(usual, draw), moment)


def views(
    count: int, first_seed: int, *, empty: float = _EMPTY, per_place: int = _PER_PLACE, cluttered: bool = False
) -> Iterator[View]:
    """Random views, the same for the same seed.

    Args:
        count: how many.
        first_seed: `TRAINING` or `HELD_OUT`, or more for another part of the set; each place takes one.
        empty: share of those with nobody in them.
        per_place: pictures of one place.
        cluttered: more than usual stands about in most places.
    """
    for start in range(0, count, per_place):
        seed = first_seed + start // per_place
        draw = np.random.default_rng(seed)
        where = place(_pick(draw, _KINDS), seed)
        where = _moved(where, draw) if draw.random() >= 0.5 else where
        where = replace(where, clutter=_pick(draw, _CLUTTER)) if cluttered else where
        scene = Scene(where, *_pick(draw, _CAMERAS))
        usual = _light(draw)
        for moment in range(min(per_place, count - start)):
            placed = [] if draw.random() < empty else _placed(where, draw)
            yield View(scene, placed, _suffering(usual, draw), moment)


def _pick(draw: np.random.Generator, shares: dict[_T, float]) -> _T:
    return list(shares)[int(draw.choice(len(shares), p=list(shares.values())))]


def _moved(usual: Place, draw: np.random.Generator) -> Place:
    """The place, with its camera hung a little otherwise."""
    mount = usual.mount
    mount = replace(
        mount,
        x=mount.x + draw.uniform(-0.5, 0.5),
        y=mount.y + draw.uniform(-0.3, 0.6),
        z=mount.z + draw.uniform(-0.4, 0.5),
        yaw=mount.yaw + draw.uniform(-0.2, 0.2),
        pitch=mount.pitch + draw.uniform(-0.08, 0.12),
        roll=mount.roll + draw.uniform(-0.04, 0.04),
        field=float(np.clip(mount.field * draw.uniform(0.8, 1.45), 0.7, 1.75)),
    )
    return replace(usual, mount=mount)


def _light(draw: np.random.Generator) -> Conditions:
    light = _pick(draw, _LIGHTS)
    brightness = float(draw.uniform(0.6, 1.35)) if draw.random() < 0.5 else 1.0
    return Conditions(light, brightness, noise=NOISE[light] * float(draw.uniform(0.6, 1.6)))


def _suffering(usual: Conditions, draw: np.random.Generator) -> Conditions:
    chance = draw.random(4)
    return replace(
        usual,
        shake=float(draw.uniform(0.001, 0.01)) if chance[0] < 0.12 else 0.0,
        dirt=float(draw.uniform(0.1, 0.7)) if chance[1] < _DIRTY else 0.0,
        door=float(draw.uniform(0.05, 0.6)) if chance[2] < 0.12 else 0.0,
        covered=bool(chance[3] < 0.005),
    )


def _placed(where: Place, draw: np.random.Generator) -> list[Placed]:
    """Horses and persons who do not stand in each other."""
    horses, persons = _pick(draw, _HORSES), _pick(draw, _PERSONS)
    if not horses and not persons:
        persons = 1
    placed: list[Placed] = []
    for number in range(horses):
        _add(placed, _horse(f"horse {number}", where, draw), 1.1)
    for number in range(persons):
        _add(placed, _person(f"person {number}", where, placed, draw), 0.6)
    return placed


def _add(placed: list[Placed], who: Placed, apart: float) -> None:
    """Unless somebody is there already."""
    if all(np.hypot(who.x - other.x, who.y - other.y) > apart for other in placed):
        placed.append(who)


def _spot(where: Place, reach: float, draw: np.random.Generator) -> tuple[float, float]:
    """A place on the ground; near a border, or beyond it, now and then."""
    reach = reach if draw.random() < 1 - _AT_BORDER else -0.4
    x_reach, y_reach = min(reach, 0.45 * where.width), min(reach, 0.45 * where.depth)
    return float(draw.uniform(x_reach, where.width - x_reach)), float(draw.uniform(y_reach, where.depth - y_reach))


def _horse(name: str, where: Place, draw: np.random.Generator) -> Placed:
    height = float(draw.uniform(1.35, 1.75) if draw.random() < 0.8 else draw.uniform(0.8, 1.35))
    main, dark = COATS[list(COATS)[draw.integers(len(COATS))]]
    pose, posture = _horse_pose(draw)
    x, y = _spot(where, 0.75 * height, draw)
    look = Look(height, _shade(main, draw), _shade(dark, draw), int(draw.integers(1 << 31)))
    return Placed(name, look, x, y, float(draw.uniform(0, 2 * pi)), pose, posture)


def _horse_pose(draw: np.random.Generator) -> tuple[HorsePose, TruePosture]:
    does = _pick(draw, _POSES)
    pose = HorsePose(
        head=float(draw.uniform(0.4, 0.95)), strides=float(draw.uniform(0, 8)), breath=float(draw.random())
    )
    if does in _PACES:
        return replace(pose, pace=float(draw.uniform(*_PACES[does]))), "standing"
    if does in _ROLLS:
        return _lying(pose, does, draw), "lying"
    if does == "between":
        return replace(pose, down=float(draw.uniform(1 - LIES, LIES))), "between"
    return replace(pose, head=float(draw.uniform(0.0, 0.35)), pace=float(draw.choice([0.0, 0.15]))), "standing"


def _lying(pose: HorsePose, does: str, draw: np.random.Generator) -> HorsePose:
    roll = float(draw.choice([-1.0, 1.0])) * float(draw.uniform(*_ROLLS[does]))
    head = float(draw.uniform(0.3, 0.7) if does == "sternal" else draw.uniform(0.0, 0.5))
    return replace(pose, down=1.0, roll=roll, head=head, thrash=float(draw.random()) if does == "rolls" else 0.0)


def _person(name: str, where: Place, others: list[Placed], draw: np.random.Generator) -> Placed:
    x, y = _spot(where, 0.3, draw)
    if others and draw.random() < _BESIDE:
        x, y = _beside(others[draw.integers(len(others))], where, draw)
    if draw.random() < 0.5:
        main, dark = CLOTHES[list(CLOTHES)[draw.integers(len(CLOTHES))]]
    else:
        main, dark = (_any_colour(draw) for _ in range(2))
    walking, stooping = draw.random() < 0.4, draw.random() < 0.25
    pose = PersonPose(
        strides=float(draw.uniform(0, 8)),
        pace=float(draw.uniform(0.2, 0.6)) if walking else 0.0,
        stoop=float(draw.uniform(0.1, 1.0)) if stooping else 0.0,
    )
    look = Look(float(draw.uniform(1.5, 1.95)), _shade(main, draw), _shade(dark, draw), int(draw.integers(1 << 31)))
    return Placed(name, look, x, y, float(draw.uniform(0, 2 * pi)), pose)


def _beside(other: Placed, where: Place, draw: np.random.Generator) -> tuple[float, float]:
    away, angle = draw.uniform(0.6, 1.3), draw.uniform(0, 2 * pi)
    if draw.random() < 0.5:
        to_camera = np.arctan2(where.mount.y - other.y, where.mount.x - other.x)
        angle = to_camera + draw.choice([0.0, pi]) + draw.uniform(-0.5, 0.5)
    return other.x + float(away * np.cos(angle)), other.y + float(away * np.sin(angle))


def _any_colour(draw: np.random.Generator) -> Colour:
    red, green, blue = (int(part) for part in draw.integers(20, 210, 3))
    return red, green, blue


def _shade(colour: Colour, draw: np.random.Generator) -> Colour:
    """Nearly that colour."""
    light = draw.uniform(0.85, 1.15)
    red, green, blue = (int(np.clip(part * light + draw.uniform(-8, 8), 0, 255)) for part in colour)
    return red, green, blue
