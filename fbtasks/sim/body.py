"""Bodies made of ellipsoids, and of what spans from one to another: all that is drawn of horses, persons and things."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fbtasks.sim.projection import Array
from fbtasks.sim.stage import Colour


@dataclass(frozen=True, slots=True)
class Paint:
    """How the pieces of a body are drawn.

    Attributes:
        bones: `[m, 2]`, the ellipsoids between which each piece spans.
        colours: `[m, 3]`, red, green, blue.
        ahead: `[m]`, metres by which a piece is taken to be nearer when the order of drawing is found.
        bright: `[m]`, whether it throws an infrared lamp's light straight back.
        round: `[m]`, whether it is large enough for light and shade of its own.
        used: the ellipsoids that any piece spans from or to.
        group: `[m]`, pieces of one group are drawn one after another and share light and shade, as one limb.
    """

    bones: NDArray[np.intp]
    colours: Array
    ahead: Array
    bright: NDArray[np.bool_]
    round: NDArray[np.bool_]
    used: NDArray[np.intp]
    group: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Body:
    """A body at one moment.

    Attributes:
        points: `[n, 3]`, the middles of its ellipsoids in the place, metres.
        shapes: `[n, 3, 3]`; the columns of each are its half axes, metres.
        paint: see there.
    """

    points: Array
    shapes: Array
    paint: Paint


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a `Paint`: from which ellipsoid to which, by their names."""

    start: str
    end: str
    colour: Colour
    ahead: float = 0.0
    bright: bool = False
    round: bool = True
    group: int = 0


def paint(names: list[str], pieces: list[Piece]) -> Paint:
    """The pieces as arrays; `names` are those of the ellipsoids in the order of their arrays."""
    at = {name: index for index, name in enumerate(names)}
    bones = np.array([(at[piece.start], at[piece.end]) for piece in pieces], np.intp)
    return Paint(
        bones=bones,
        used=np.unique(bones),
        colours=np.array([piece.colour for piece in pieces], float),
        ahead=np.array([piece.ahead for piece in pieces]),
        bright=np.array([piece.bright for piece in pieces]),
        round=np.array([piece.round for piece in pieces]),
        group=np.array([piece.group for piece in pieces], np.intp),
    )


GROUND_CONTACT = 0.85
"""An ellipsoid sinks into the ground by no more than the rest of its half height."""


def placed(points: Array, shapes: Array, turn: Array, origin: Array, drawn: Paint) -> Body:
    """The body whose `points` and `shapes` are in its own axes, turned and moved, nothing of it below the ground.

    Args:
        turn: `[3, 3]`, from the body's axes (forwards, sideways, up) to the place's, with the body's size in it.
    """
    world = points @ turn.T + origin
    axes = turn @ shapes
    reach = np.sqrt(np.einsum("nk,nk->n", axes[:, 2], axes[:, 2]))
    np.maximum(world[:, 2], GROUND_CONTACT * reach, out=world[:, 2])
    return Body(world, axes, drawn)


def heading_turn(heading: float, size: float) -> Array:
    """From forwards, sideways, up to the place's axes, `size` metres long each."""
    c, s = np.cos(heading), np.sin(heading)
    return size * np.array([(c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)])
