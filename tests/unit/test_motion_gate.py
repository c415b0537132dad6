"""What the motion gate takes for movement: a horse, and neither noise nor light."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from fbtasks.producer.capture import small
from fbtasks.producer.motion_gate import HOLD_S, LOOKS_PER_S, MotionGate

WIDTH, HEIGHT = 640, 360
HORSE = (200, 120)
SECOND = round(LOOKS_PER_S)
FPS = 25.0


def stall(at: float, *, horse_x: float = 200.0, noise: float = 0.0, light: float = 1.0) -> NDArray[np.uint8]:
    """Brightness of a stall with boards and a horse, under light of that strength."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    picture = 90 + 25 * np.sin(columns / 23) + 10 * np.sin(rows / 11)
    left, top = round(horse_x), 170
    picture[top : top + HORSE[1], left : left + HORSE[0]] = 60
    picture *= light
    if noise:
        picture += noise * np.random.default_rng(round(at * 1000)).standard_normal(picture.shape, np.float32)
    seen: NDArray[np.uint8] = np.clip(picture, 0, 255).astype(np.uint8)
    return seen


def looked(
    gate: MotionGate, begin: float, seconds: float, *, horse_x: float = 200.0, noise: float = 0.0
) -> list[float]:
    """When the picture was not still, at each look."""
    times = [begin + number / LOOKS_PER_S for number in range(round(seconds * LOOKS_PER_S))]
    open_at = []
    for at in times:
        gate.see(small(stall(at, horse_x=horse_x, noise=noise)), at)
        if not gate.is_still:
            open_at.append(at)
    return open_at


@pytest.mark.parametrize("noise", [0.0, 6.0, 15.0, 25.0])
def test_a_still_stall_is_still_whatever_the_noise(noise: float) -> None:
    gate = MotionGate(5.0)
    looked(gate, 0, HOLD_S + 0.2, noise=noise)
    assert not looked(gate, 10, 12, noise=noise)


def test_light_that_flickers_is_no_movement() -> None:
    gate = MotionGate(5.0)
    for number in range(30):
        at = number / LOOKS_PER_S
        gate.see(small(stall(at, noise=6.0, light=1.0 + 0.15 * (number % 3))), at)
    assert gate.is_still


@pytest.mark.parametrize("noise", [0.0, 6.0, 15.0])
def test_a_step_of_the_horse_is_seen_at_the_first_look(noise: float) -> None:
    gate = MotionGate(5.0)
    looked(gate, 0, HOLD_S + 1, noise=noise)
    assert gate.is_still
    assert gate.see(small(stall(10.0, horse_x=217, noise=noise)), 10.0), "a step of a twelfth of its length"
    assert not gate.is_still


def test_a_horse_that_moves_while_the_light_changes_is_seen() -> None:
    gate = MotionGate(5.0)
    looked(gate, 0, HOLD_S + 1)
    assert gate.see(small(stall(10.0, horse_x=230, light=1.15)), 10.0)


def test_a_slow_horse_is_seen_within_a_second() -> None:
    gate = MotionGate(5.0)
    looked(gate, 0, HOLD_S + 1, noise=6.0)
    woke = [
        number
        for number in range(2 * SECOND)
        if gate.see(small(stall(20 + number / SECOND, horse_x=200 + 3 * number, noise=6.0)), 20 + number / SECOND)
    ]
    assert woke
    assert woke[0] <= SECOND


def test_it_stays_open_for_a_while_after_the_last_movement() -> None:
    gate = MotionGate(5.0)
    looked(gate, 0, HOLD_S + 1)
    gate.see(small(stall(10.0, horse_x=230)), 10.0)
    still = looked(gate, 10.2, 2 * HOLD_S, horse_x=230)
    assert HOLD_S - 0.3 <= still[-1] - 10.0 <= HOLD_S + 1.3


@pytest.mark.parametrize("fps", [1.0, 2.0, 5.0, 12.0])
def test_it_looks_often_enough_to_see_movement_within_300_ms(fps: float) -> None:
    gate = MotionGate(fps)
    looks = [frame / FPS for frame in range(round(20 * FPS)) if gate.looks(frame / FPS)]
    assert max(later - earlier for earlier, later in pairwise(looks)) <= 0.25
