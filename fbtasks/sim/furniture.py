"""Things that stand or hang about in a place: of many shapes, some as brown and as long as a horse, but no horses."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from fbtasks.sim.body import Body, Piece, paint
from fbtasks.sim.stage import Colour, Place
from fbtasks.sim.surfaces import WOODS, tinted

CEILING = 3.1
"""Height of the posts that carry it."""
_THINGS: tuple[Colour, ...] = (
    (60, 62, 66), (38, 64, 118), (128, 36, 34), (36, 92, 62), (150, 150, 150), (200, 170, 40), (112, 72, 44),
    (84, 52, 32), (30, 30, 34), (196, 190, 180), (150, 96, 52),
)  # fmt: skip
_HAY: tuple[Colour, ...] = ((140, 128, 70), (120, 96, 56), (168, 150, 92), (104, 76, 46), (132, 84, 48))
_RUGS: tuple[Colour, ...] = ((112, 66, 38), (84, 46, 28), (40, 52, 92), (120, 40, 40), (60, 76, 56), (150, 108, 70))

_Triple = tuple[float, float, float]


@dataclass(slots=True)
class _Thing:
    """A thing while it is put together."""

    points: list[_Triple] = field(default_factory=list)
    axes: list[_Triple] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    def add(self, point: _Triple, axes: _Triple) -> str:
        self.points.append(point)
        self.axes.append(axes)
        return str(len(self.points) - 1)

    def span(
        self, start: _Triple, end: _Triple, first: _Triple,
        last: _Triple, colour: Colour,
    ) -> None:  # fmt: skip
        """What spans from one ellipsoid to another."""
        self.pieces.append(Piece(self.add(start, first), self.add(end, last), colour))

    def bar(self, start: _Triple, end: _Triple, radius: float, colour: Colour) -> None:
        self.span(start, end, (radius, radius, radius), (radius, radius, radius), colour)

    def body(self) -> Body:
        shapes = np.einsum("nk,kl->nkl", np.array(self.axes), np.eye(3))
        return Body(
            np.array(self.points), shapes, paint([str(index) for index in range(len(self.points))], self.pieces)
        )


def furniture(place: Place, random: np.random.Generator) -> list[Body]:
    """What stands about in the place."""
    if place.kind == "paddock":
        return _paddock_things(place, random)
    near = [_bucket, _bucket, _heap, _net, _rug, _manger, _barrow, _tools]
    most = 5 if place.kind == "box" else 8
    makers = random.choice(len(near), place.clutter * int(random.integers(1, most)))
    things = [near[index](place, random) for index in makers]
    if place.kind == "aisle":
        things.extend(_posts(place, random))
    return [thing.body() for thing in things]


def _by_wall(place: Place, random: np.random.Generator, gap: float) -> tuple[float, float]:
    """A place on the ground, `gap` before one of the walls."""
    side = random.integers(3)
    if side == 0 and place.kind == "box":
        return float(random.uniform(gap, place.width - gap)), gap
    return (gap if side == 1 else place.width - gap), float(random.uniform(gap, 0.8 * place.depth))


def _bucket(place: Place, random: np.random.Generator) -> _Thing:
    x, y = _by_wall(place, random, 0.3)
    colour, wide = tinted(_THINGS[random.integers(len(_THINGS))], random), random.uniform(0.14, 0.22)
    thing = _Thing()
    thing.span((x, y, 0.02), (x, y, 1.7 * wide), (0.75 * wide, 0.75 * wide, 0.01), (wide, wide, 0.01), colour)
    inside = thing.add((x, y, 1.72 * wide), (0.88 * wide, 0.88 * wide, 0.005))
    thing.pieces.append(Piece(inside, inside, (34, 32, 30), 0.3, round=False))
    return thing


def _heap(place: Place, random: np.random.Generator) -> _Thing:
    """Hay, straw or dung; some as long and as brown as a lying horse."""
    x, y = _by_wall(place, random, random.uniform(0.35, 0.7))
    colour = tinted(_HAY[random.integers(len(_HAY))], random)
    thing, size = _Thing(), random.uniform(0.35, 1.0)
    for _ in range(int(random.integers(3, 9))):
        dx, dy = random.normal(0, 0.32 * size, 2)
        half = (random.uniform(0.2, 0.5) * size, random.uniform(0.2, 0.5) * size, random.uniform(0.12, 0.35) * size)
        one = thing.add((x + dx, max(0.2, y + dy), 0.3 * half[2]), half)
        thing.pieces.append(Piece(one, one, tinted(colour, random)))
    return thing


def _net(place: Place, random: np.random.Generator) -> _Thing:
    """A net of hay on the wall."""
    x, y = _by_wall(place, random, 0.22)
    z, colour = random.uniform(0.9, 1.5), tinted(_HAY[random.integers(len(_HAY))], random)
    thing, wide = _Thing(), random.uniform(0.2, 0.34)
    thing.span((x, y, z), (x, y, z + 0.25), (wide, 0.9 * wide, 1.2 * wide), (0.5 * wide, 0.4 * wide, 0.1), colour)
    thing.bar((x, y, z + 0.3), (x, max(0.0, y - 0.2), z + 0.8), 0.012, (40, 60, 110))
    return thing


def _rug(place: Place, random: np.random.Generator) -> _Thing:
    """A rug over a bar or on the ground, often of a horse's brown."""
    x, y = _by_wall(place, random, 0.12)
    colour, thing = tinted(_RUGS[random.integers(len(_RUGS))], random), _Thing()
    long, thick = random.uniform(0.35, 0.9), 0.05
    along = (long, thick, 0.06) if y < 0.2 else (thick, long, 0.06)
    top = random.uniform(1.0, 1.7)
    thing.span((x, y, top), (x, y, top - random.uniform(0.4, 0.8)), along, along, colour)
    thing.bar((x - along[0], y - along[1], top + 0.06), (x + along[0], y + along[1], top + 0.06), 0.025, (90, 90, 92))
    return thing


def _manger(place: Place, random: np.random.Generator) -> _Thing:
    x = 0.28 if random.random() < 0.5 else place.width - 0.28
    y = 0.28 if place.kind == "box" else float(random.uniform(1.0, 0.7 * place.depth))
    colour, thing = tinted(_THINGS[random.integers(len(_THINGS))], random), _Thing()
    thing.span((x, y, 0.65), (x, y, 0.95), (0.16, 0.16, 0.08), (0.30, 0.30, 0.03), colour)
    inside = thing.add((x, y, 0.97), (0.24, 0.24, 0.01))
    thing.pieces.append(Piece(inside, inside, tinted((60, 54, 44), random), 0.4, round=False))
    return thing


def _barrow(place: Place, random: np.random.Generator) -> _Thing:
    x, y = _by_wall(place, random, 0.6)
    colour, thing = tinted(_THINGS[random.integers(len(_THINGS))], random), _Thing()
    ahead = 1.0 if random.random() < 0.5 else -1.0
    thing.span((x - 0.35 * ahead, y, 0.50), (x + 0.35 * ahead, y, 0.48), (0.16, 0.3, 0.16), (0.22, 0.34, 0.2), colour)
    if random.random() < 0.7:
        load = thing.add((x, y, 0.66), (0.36, 0.28, 0.18))
        thing.pieces.append(Piece(load, load, tinted(_HAY[random.integers(len(_HAY))], random), 0.2))
    thing.span((x + 0.62 * ahead, y, 0.2), (x + 0.62 * ahead, y, 0.2), (0.2, 0.04, 0.2), (0.2, 0.04, 0.2), (34, 34, 36))
    for aside in (-0.26, 0.26):
        thing.bar((x + 0.5 * ahead, y + aside, 0.32), (x - 0.95 * ahead, y + aside, 0.62), 0.022, (120, 120, 122))
        thing.bar((x - 0.35 * ahead, y + aside, 0.4), (x - 0.45 * ahead, y + aside, 0.0), 0.022, (120, 120, 122))
    return thing


def _tools(place: Place, random: np.random.Generator) -> _Thing:
    """A broom and a fork against the wall."""
    x, y = _by_wall(place, random, 0.15)
    thing = _Thing()
    for offset in (0.0, random.uniform(0.2, 0.5)):
        stick = tinted((160, 120, 76), random)
        thing.bar((x, y + offset, 0.05), (x + random.uniform(-0.1, 0.1), y + offset, 1.45), 0.016, stick)
        thing.span((x, y + offset, 0.06), (x, y + offset, 0.14), (0.14, 0.03, 0.05), (0.10, 0.02, 0.02),
                   tinted(_THINGS[random.integers(len(_THINGS))], random))  # fmt: skip
    return thing


def _posts(place: Place, random: np.random.Generator) -> list[_Thing]:
    colour, things = tinted(WOODS[random.integers(len(WOODS))], random), []
    step = random.uniform(2.4, 3.6)
    for x in (0.06, place.width - 0.06):
        for y in np.arange(random.uniform(0.5, step), 0.85 * place.depth, step):
            thing = _Thing()
            thing.bar((x, float(y), 0.0), (x, float(y), CEILING), 0.075, colour)
            things.append(thing)
    return things


def _paddock_things(place: Place, random: np.random.Generator) -> list[Body]:
    colour = tinted(WOODS[random.integers(len(WOODS))], random)
    radius, high, rails = random.uniform(0.025, 0.055), random.uniform(1.1, 1.5), int(random.integers(2, 5))
    corners = [(0.0, 0.8 * place.depth), (0.0, 0.0), (place.width, 0.0), (place.width, 0.8 * place.depth)]
    things = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        spans = max(2, round(np.hypot(x1 - x0, y1 - y0) / random.uniform(2.2, 3.2)))
        at = [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in np.linspace(0, 1, spans + 1)]
        for start, end in pairwise(at):
            thing = _Thing()
            thing.bar((*start, 0.0), (*start, high), 1.5 * radius, colour)
            for share in np.linspace(0.35, 0.95, rails):
                thing.bar((*start, share * high), (*end, share * high), radius, colour)
            things.append(thing)
    makers = random.choice(4, place.clutter * int(random.integers(0, 4)))
    things.extend((_heap, _bucket, _barrow, _trough)[index](place, random) for index in makers)
    return [thing.body() for thing in things]


def _trough(place: Place, random: np.random.Generator) -> _Thing:
    x, y = _by_wall(place, random, 0.7)
    colour, thing = tinted(_THINGS[random.integers(len(_THINGS))], random), _Thing()
    thing.span((x - 0.5, y, 0.3), (x + 0.5, y, 0.3), (0.2, 0.3, 0.3), (0.2, 0.3, 0.3), colour)
    water = thing.add((x, y, 0.56), (0.6, 0.22, 0.02))
    thing.pieces.append(Piece(water, water, (96, 110, 120), 0.4, round=False))
    return thing
