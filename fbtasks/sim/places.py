"""Places as they are found in stables, each with its camera where one would be hung; every seed another one.

    box     3.5 to 4.5 m square; camera above the front wall, 2.7 to 3.2 m high, looking 0.62 to 0.74 down,
            turned up to 0.25 and moved up to 0.6 m aside, field 1.45 to 1.65
    aisle   3.4 to 4.4 m wide, 9 to 11 m long; camera at its near end, 2.7 to 3.2 m high, looking 0.36 to 0.48 down
    paddock 10 to 14 m wide, 8 to 10 m deep; camera 2.5 to 4 m before it, 3.2 to 4.2 m high, looking 0.30 to 0.40 down

Every camera is tilted by up to 0.03. Colours, boards, straw, windows and all that stands about follow the seed too.
"""

from math import atan2
from random import Random

from fbtasks.sim.stage import Mount, Place, PlaceKind


def place(kind: PlaceKind, seed: int = 0) -> Place:
    """The place of that kind and seed: always the same."""
    random = Random(f"{kind} {seed}")
    return {"box": _box, "aisle": _aisle, "paddock": _paddock}[kind](random, seed)


def _box(random: Random, seed: int) -> Place:
    width, depth = random.uniform(3.5, 4.5), random.uniform(3.5, 4.5)
    aside = random.uniform(-0.6, 0.6)
    # From aside it looks back to the middle, more or less.
    yaw = -atan2(aside, depth) + random.uniform(-0.12, 0.12)
    mount = Mount(
        x=width / 2 + aside, y=depth + random.uniform(0.5, 1.0), z=random.uniform(2.7, 3.2), yaw=yaw,
        pitch=random.uniform(0.62, 0.74), roll=random.uniform(-0.03, 0.03), field=random.uniform(1.45, 1.65),
    )  # fmt: skip
    return Place("box", width, depth, mount, seed)


def _aisle(random: Random, seed: int) -> Place:
    width, depth = random.uniform(3.4, 4.4), random.uniform(9.0, 11.0)
    aside = random.uniform(-0.8, 0.8)
    mount = Mount(
        x=width / 2 + aside, y=depth + random.uniform(0.0, 0.6), z=random.uniform(2.7, 3.2),
        yaw=-atan2(aside, depth / 2), pitch=random.uniform(0.36, 0.48), roll=random.uniform(-0.03, 0.03),
        field=random.uniform(0.95, 1.25),
    )  # fmt: skip
    return Place("aisle", width, depth, mount, seed)


def _paddock(random: Random, seed: int) -> Place:
    width, depth = random.uniform(10.0, 14.0), random.uniform(8.0, 10.0)
    aside = random.uniform(-2.0, 2.0)
    mount = Mount(
        x=width / 2 + aside, y=depth + random.uniform(2.5, 4.0), z=random.uniform(3.2, 4.2),
        yaw=-atan2(aside, depth), pitch=random.uniform(0.30, 0.40), roll=random.uniform(-0.03, 0.03),
        field=random.uniform(0.85, 1.10),
    )  # fmt: skip
    return Place("paddock", width, depth, mount, seed)
