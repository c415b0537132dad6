"""What the horses of the demonstration do, second by second; every script ends as it began and can be looped."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sin

import numpy as np
from numpy.typing import NDArray

from fbtasks.sim.horse import Pose

LOOP_S = 60.0
LIES_DOWN_AT_S, LIES_AT_S, RISES_AT_S, STANDS_AT_S = 6.0, 9.0, 42.0, 44.0
"""box-1: when the horse starts to lie down, lies, starts to rise, stands."""
BOLTS_AT_S, CALM_AT_S = 14.0, 36.0
"""box-2: when the horse starts to bolt and when it walks again."""
ROUNDS = 7
"""How often it goes to and fro in one loop."""
GALLOP_TO_WALK = 5.0
"""How many times faster a bolting horse is than a walking one."""
WALKING_PACE, GALLOPING_PACE = 0.4, 0.9
STRIDES_PER_ROUND = 12.0
TURN_SHARE = 0.06
"""Share of one way, wall to wall, in which the horse slows down and turns."""


Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a horse is at one time, and how.

    Attributes:
        across: 0 at the left end of its way, 1 at the right end.
        facing: 1 to the right, -1 to the left, between the two while it turns.
        pose: see there.
    """

    across: float
    facing: float
    pose: Pose


Script = Callable[[float], Moment]
"""From seconds to what the horse does then."""


def lies_down(t: float) -> Moment:
    """Stands, lies down, stays down, rises."""
    t %= LOOP_S
    at = np.array(t)
    down = (_ramp(at, LIES_DOWN_AT_S, LIES_AT_S) - _ramp(at, RISES_AT_S, STANDS_AT_S)).item()
    return Moment(0.5, 1.0, Pose(down=down, strides=0.0, pace=0.0, breath=t / 4))


def bolts(t: float) -> Moment:
    """Walks to and fro, bolts, calms down."""
    t %= LOOP_S
    gallop = _gallop(np.array(t)).item()
    rounds = float(np.interp(t, _TIMES, _ROUNDS_MADE))
    across, facing = _to_and_fro(rounds % 1.0)
    pace = WALKING_PACE + gallop * (GALLOPING_PACE - WALKING_PACE)
    return Moment(across, facing, Pose(down=0.0, strides=rounds * STRIDES_PER_ROUND, pace=pace, breath=t / 3))


def lying_at(t: float) -> bool:
    """Whether the horse of `lies_down` is lying at `t`; neither while it gets down nor while it rises."""
    return LIES_AT_S <= t % LOOP_S < RISES_AT_S


def bolting_at(t: float) -> bool:
    """Whether the horse of `bolts` is bolting at `t`."""
    return BOLTS_AT_S + 1 <= t % LOOP_S < CALM_AT_S - 1


def _ramp(t: Times, start: float, end: float) -> Times:
    """0 before `start`, 1 after `end`, a smooth rise between."""
    share = np.clip((t - start) / (end - start), 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share))


def _gallop(t: Times) -> Times:
    """0 while the horse of `bolts` walks, 1 while it gallops."""
    return _ramp(t, BOLTS_AT_S, BOLTS_AT_S + 1) - _ramp(t, CALM_AT_S - 1, CALM_AT_S)


def _to_and_fro(phase: float) -> tuple[float, float]:
    """Place across and facing at `phase` of one round, 0 to 1: there in the first half, back in the second."""
    back = phase >= 0.5
    way = 2 * phase - 1 if back else 2 * phase
    # The turn is half before the wall and half after it, so that the sine is continuous over both ways.
    turn = sin(pi / 2 * min(1.0, way / TURN_SHARE, (1 - way) / TURN_SHARE))
    return (1 - way if back else way), (-turn if back else turn)


_TIMES = np.linspace(0.0, LOOP_S, 1201)
_SPEEDS = 1 + (GALLOP_TO_WALK - 1) * _gallop(_TIMES)
_ROUNDS_MADE = ROUNDS * np.concatenate([[0.0], np.cumsum(_SPEEDS[1:])]) / _SPEEDS[1:].sum()
