"""From what somebody does, act by act, to how it moves: going there, lying down, rising and coming in made in between.

What a horse does between the lines of its story (a look around, a step while grazing, the next place on a walk) is left
to chance, and the chance to the seed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, hypot, pi, sin, tan
from zlib import crc32

import numpy as np

from fbtasks.errors import ConfigError
from fbtasks.sim.motion import (
    TURN_MIN_S,
    Floats,
    Gait,
    Motion,
    Mover,
    Spans,
    going_s,
    heading_of,
    turning_s,
)
from fbtasks.sim.scenario import Act, Horse, Metres, Person, PersonAct, Scenario
from fbtasks.sim.stage import Place

HORSE_GAIT = Gait((0.0, 0.3, 1.3, 3.4, 6.0), (0.0, 0.15, 0.4, 0.65, 0.9), (0.9, 1.1, 1.7, 2.5, 3.9))
"""A horse walks at 1.3 to 1.8 m/s with strides of about 1.7 m, trots at 3 to 4 with 2.5, canters with more."""
PERSON_GAIT = Gait((0.0, 0.3, 1.3), (0.0, 0.2, 0.5), (0.7, 0.9, 1.4))
STEP_M_S, WALK_M_S, TROT_M_S, BOLT_M_S = 0.5, 1.25, 3.2, 4.5
CALM_M_S2, HASTY_M_S2 = 0.8, 3.0
CALM_RAD_S, HASTY_RAD_S = 1.2, 3.0
AT_REST, EATING, RESTING = 0.7, 0.06, 0.5
"""How a horse carries its head."""
FLAT = 0.48 * pi
"""Roll of a horse that lies flat on its side."""
LIE_DOWN_S, RISE_S = (4.0, 7.0), (4.0, 6.5)
ROLL_OVER_S = 2.5
BODY_HALF = 0.75
"""Half of a horse's length, nose to tail, in its heights: how near its middle comes to a wall."""
SIDE = 0.3
"""Half of what a horse is wide when it lies at a wall, in its heights."""
CAST_ROLL, HEAVE_ROLL = 0.75 * pi, 0.15 * pi
"""How far a cast horse is over, and how much further or less while it heaves."""
HEAVE_S, HEAVE_STRIDES = 0.6, 0.75
"""One heave, and so many turns of the legs in it: they kick somewhat faster than once a second."""
HEAVES, FRESH_REST_S = (2, 6), (4.0, 12.0)
"""Heaves of one struggle, from and below; rests between two struggles of a fresh horse."""
TIRES_S, TIRED = 120.0, 5.0
"""A cast horse rests once longer for each so many seconds, up to so many times longer. Ours: some are told to thrash
until they are found, others to lie and wait."""
COLIC_DOWN_S, COLIC_UP_S = (20.0, 240.0), (15.0, 240.0)
"""How long a horse in colic stays down, and up. Ours, no count is published: 10 to 30 changes an hour."""
PERSON_HALF_M = 0.3
UNDER_CAMERA_M = 1.0
"""Nearer to the front a person is cut off by the picture's border, for the camera hangs above it."""
BESIDE_M = 0.9
"""From the middle of a horse to that of a person at its side."""
BLIND_FRONT_M = 3.0
"""So much of a paddock, before the camera, is too near to be seen well."""
OUTSIDE_M = 2.6
"""How far outside of its place somebody is out of the picture."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody's whole story.

    Attributes:
        motion: see there.
        present: when it is there at all.
        done: its acts, each with when it really began and ended, without going there.
    """

    motion: Motion
    present: Spans
    done: list[tuple[Act, float, float]]


@dataclass(frozen=True, slots=True)
class Ground:
    """Where somebody's middle may be: left, back, right, front, metres; and the way out."""

    left: float
    back: float
    right: float
    front: float
    outside: Metres

    def clamp(self, x: float, y: float) -> Metres:
        return min(max(x, self.left), self.right), min(max(y, self.back), self.front)


def ground(place: Place, half: float, share: tuple[float, float] = (0.0, 1.0)) -> Ground:
    """The ground for somebody who reaches `half` metres around her middle, in a part of the width, from and to.

    In a paddock it ends where the picture does: one that grazes out of view all day would be no story.
    """
    low, high, front = 0.0, place.width, place.depth - min(half, 0.42 * place.depth)
    outside = (place.width / 2, place.depth + OUTSIDE_M)
    if place.kind == "paddock":
        front = place.depth - BLIND_FRONT_M
        seen = (place.mount.y - front) * tan(place.mount.field / 2) + half / 2
        low, high = max(low, place.mount.x - seen), min(high, place.mount.x + seen)
        outside = (place.width + OUTSIDE_M, front)
    width = high - low
    half_x = min(half, 0.42 * width * (share[1] - share[0]))
    left, right = low + share[0] * width + half_x, low + share[1] * width - half_x
    return Ground(float(left), min(half, 0.42 * place.depth), float(right), float(front), outside)


def horse_actor(scenario: Scenario, place: Place, index: int) -> Actor:
    """The story of the horse of that number.

    Raises:
        ConfigError: an act is too short for what must come before it.
    """
    horse, count = scenario.horses[index], len(scenario.horses)
    # In a paddock each has its own part: horses keep their distance, and drawn ones would walk through each other.
    share = (index / count, (index + 1) / count) if place.kind == "paddock" else (0.0, 1.0)
    return _HorsePlayer(scenario, place, horse, ground(place, BODY_HALF * horse.height, share)).play()


def person_actor(scenario: Scenario, place: Place, index: int, where: Callable[[str, float], Floats]) -> Actor:
    """The story of the person of that number; `where` tells a horse's row of motion at a time. Raises as above."""
    person = scenario.persons[index]
    free = ground(place, PERSON_HALF_M)
    free = replace(free, front=min(free.front, place.depth - UNDER_CAMERA_M))
    return _PersonPlayer(scenario, place, person, free, where).play()


class _Player(ABC):
    """Plays the acts of one actor into a motion."""

    gait: Gait
    speed = WALK_M_S

    def __init__(self, scenario: Scenario, place: Place, who: Horse | Person, free: Ground) -> None:
        self.scenario = scenario
        self.place = place
        self.who = who
        self.free = free
        self.chance = np.random.default_rng([scenario.seed, crc32(who.id.encode())])
        self.present: Spans = []
        self.done: list[tuple[Act, float, float]] = []

    def play(self) -> Actor:
        acts = self.acts()
        self.mover = Mover(self.gait, **self.first(acts[0]))
        self.home = self.mover["x"], self.mover["y"], self.mover["heading"]
        self.came: float | None = None if acts[0].does == "away" else 0.0
        for number, act in enumerate(acts):
            self.perform(act, first=number == 0, last=number == len(acts) - 1)
        if self.came is not None:
            self.present.append((self.came, self.scenario.length_s))
        self.closes()
        return Actor(self.mover.motion(), self.present, self.done)

    def acts(self) -> Sequence[Act]:
        """All acts, from 0 to the end without a gap."""
        filled: list[Act] = []
        until = 0.0
        for act in self.who.acts:
            if act.start > until:
                filled.append(self.idle(until, act.start))
            filled.append(act)
            until = act.end
        if until < self.scenario.length_s:
            filled.append(self.idle(until, self.scenario.length_s))
        return filled

    @abstractmethod
    def idle(self, start: float, end: float) -> Act:
        """What it does outside of its acts."""

    def first(self, act: Act) -> dict[str, float]:
        """The row of the motion with which the story begins."""
        x, y = self.free.outside if act.does == "away" else self.goal(act) or self.anywhere()
        heading = act.facing if act.facing is not None else float(self.chance.choice([0.0, pi]))
        return {"x": x, "y": y, "heading": heading}

    def goal(self, act: Act) -> Metres | None:
        """Where the act happens, if that is said."""
        return self.free.clamp(*act.at) if act.at is not None else None

    def perform(self, act: Act, *, first: bool, last: bool) -> None:
        if act.does == "away":
            self.leave(act)
            return
        if last and self.scenario.loops and not first:
            x, y, heading = self.home
            act = act.model_copy(update={"at": (x, y), "facing": heading if act.facing is None else act.facing})
        if not first:
            self.come(act)
        began = self.mover.now
        self.do(act)
        self.mover.stay(act.end)
        if self.mover.now > act.end + 1e-6:
            raise self.too_short(act)
        self.done.append((act, began, self.mover.now))

    def leave(self, act: Act) -> None:
        if self.came is not None:
            self.to_feet()
            self.go(*self.free.outside)
            if self.mover.now > act.end:
                raise self.too_short(act)
            self.present.append((self.came, self.mover.now))
            self.came = None
        self.done.append((act, self.mover.now, act.end))
        self.mover.stay(act.end)

    def come(self, act: Act) -> None:
        """Get to where the act happens."""
        goal = self.goal(act)
        if self.came is None:
            self.came = self.mover.now
            goal = goal or self.anywhere()
        if goal is not None and hypot(goal[0] - self.mover["x"], goal[1] - self.mover["y"]) > 0.05:
            self.to_feet()
            self.go(*goal)
        if act.facing is not None and self.mover["down"] == 0:
            self.mover.turn(act.facing, CALM_RAD_S)

    def do(self, act: Act) -> None:
        getattr(self, act.does)(act)

    @abstractmethod
    def to_feet(self) -> None:
        """Be upright, fit to go."""

    def closes(self) -> None:
        if not self.scenario.loops:
            return
        motion = self.mover.motion()
        apart = motion.rows[-1, :6] - motion.rows[0, :6]
        apart[2] = sin(apart[2] / 2)
        if self.came is not None and np.abs(apart).max() > 0.2:
            raise ConfigError(
                f"{self.scenario.name}: {self.who.id} does not end as it began, but the story loops; "
                "let its last act be one in which it stands"
            )

    def go(self, x: float, y: float, speed: float | None = None) -> None:
        """Turn there and go there."""
        way = np.array([(self.mover["x"], self.mover["y"]), (x, y)])
        self.mover.turn(heading_of(way[1] - way[0]), CALM_RAD_S)
        self.mover.follow(way, speed or self.speed, CALM_M_S2)

    def going_s(self, x: float, y: float) -> float:
        """Seconds that `go` takes."""
        way = np.array([(self.mover["x"], self.mover["y"]), (x, y)])
        turn = turning_s(heading_of(way[1] - way[0]) - self.mover["heading"], CALM_RAD_S)
        return turn + going_s(way, self.speed, CALM_M_S2)

    def anywhere(self) -> Metres:
        free = self.free
        return float(self.chance.uniform(free.left, free.right)), float(self.chance.uniform(free.back, free.front))

    def stands(self, act: Act) -> None:
        self.mover.stay(act.end)

    def walks(self, act: Act) -> None:
        """From place to place, with short rests."""
        while True:
            x, y = self.anywhere()
            if self.mover.now + self.going_s(x, y) > act.end:
                break
            self.go(x, y)
            self.mover.stay(min(act.end, self.mover.now + float(self.chance.uniform(0.5, 6.0))))

    def too_short(self, act: Act) -> ConfigError:
        return ConfigError(
            f"{self.scenario.name}: {self.who.id} {act.does} from {act.start:g} to {act.end:g} s, which is "
            f"{self.mover.now - act.end:.1f} s too short for getting there, lying down, rising or leaving"
        )


class _PersonPlayer(_Player):
    gait = PERSON_GAIT
    speed = 1.2

    def __init__(
        self, scenario: Scenario, place: Place, who: Person, free: Ground, where: Callable[[str, float], Floats]
    ) -> None:
        super().__init__(scenario, place, who, free)
        self.where = where

    def idle(self, start: float, end: float) -> Act:
        return PersonAct(start=start, end=end, does="away")

    def goal(self, act: Act) -> Metres | None:
        if not isinstance(act, PersonAct) or act.beside is None:
            return super().goal(act)
        x, y, heading = self.where(act.beside, act.start)[:3].tolist()
        # On the side towards the viewer, where she is seen.
        side = pi / 2 if cos(heading) >= 0 else -pi / 2
        return self.free.clamp(x + BESIDE_M * cos(heading + side), y + BESIDE_M * sin(heading + side))

    def to_feet(self) -> None:
        if self.mover["effort"] > 0:
            self.mover.change(1.0, effort=0.0)

    def stoops(self, act: Act) -> None:
        """Bends down, and up again for a moment now and then."""
        while self.mover.now + 4.0 < act.end:
            self.mover.change(1.0, effort=float(self.chance.uniform(0.7, 1.0)))
            self.mover.stay(min(act.end - 2.0, self.mover.now + float(self.chance.uniform(3.0, 9.0))))
            self.mover.change(1.0, effort=0.1)
        self.to_feet()


class _HorsePlayer(_Player):
    gait = HORSE_GAIT
    who: Horse

    def idle(self, start: float, end: float) -> Act:
        return Act(start=start, end=end, does="stands")

    def first(self, act: Act) -> dict[str, float]:
        row = super().first(act) | {"head": AT_REST}
        if act.does == "grazes":
            row["head"] = EATING
        if act.does in ("lies_sternal", "lies_lateral"):
            row |= {"down": 1.0, "head": RESTING}
        return row

    def goal(self, act: Act) -> Metres | None:
        if act.does == "struggles" and act.at is None:
            return self.free.clamp(self.mover["x"], 0.0) if hasattr(self, "mover") else None
        return super().goal(act)

    def do(self, act: Act) -> None:
        if act.does == "struggles" and self.mover["down"] == 0:
            self.mover.turn(0.0 if cos(self.mover["heading"]) >= 0 else pi, CALM_RAD_S)
        if act.does in ("lies_sternal", "lies_lateral", "rolls", "struggles"):
            self.lie_down()
        else:
            self.to_feet()
        super().do(act)

    def lie_down(self) -> None:
        if self.mover["down"] == 0:
            self.mover.change(1.5, head=0.25)
            self.mover.change(float(self.chance.uniform(*LIE_DOWN_S)), down=1.0, head=RESTING)
        self.upright()

    def to_feet(self) -> None:
        if self.mover["down"] > 0:
            self.upright()
            y = self.free.clamp(self.mover["x"], self.mover["y"])[1]
            self.mover.change(float(self.chance.uniform(*RISE_S)), down=0.0, head=AT_REST, y=y)
        elif self.mover["head"] < RESTING:
            self.mover.change(0.8, head=AT_REST)

    def upright(self) -> None:
        """Lying, not on a side any more."""
        if self.mover["roll"] != 0 or self.mover["effort"] != 0:
            self.mover.change(ROLL_OVER_S, roll=0.0, effort=0.0, head=RESTING)

    def stands(self, act: Act) -> None:
        """Looks about now and then; at the end its head is as at first, so that a story may loop."""
        self._looks_about(act.end, 0.55, 0.85, AT_REST)

    def _looks_about(self, until: float, low: float, high: float, rest: float) -> None:
        if self.mover["head"] != rest:
            self.mover.change(1.0, head=rest)
        while True:
            wait, look = self.chance.uniform(5.0, 30.0), self.chance.uniform(2.0, 8.0)
            if self.mover.now + wait + look + 2.4 > until:
                break
            self.mover.stay(self.mover.now + wait)
            self.mover.change(1.2, head=float(self.chance.uniform(low, high)))
            self.mover.stay(self.mover.now + look)
            self.mover.change(1.2, head=rest)

    def grazes(self, act: Act) -> None:
        """Eats from the ground, a step at a time where there is room."""
        roomy = self.place.kind == "paddock"
        self.mover.change(1.2, head=EATING)
        while True:
            wait = self.chance.uniform(6.0, 18.0)
            if self.mover.now + wait + 12.0 > act.end:
                break
            self.mover.stay(self.mover.now + wait)
            if roomy and self.chance.random() < 0.7:
                self._grazing_step()
            elif self.chance.random() < 0.4:
                self.mover.change(1.2, head=AT_REST)
                self.mover.stay(self.mover.now + float(self.chance.uniform(1.0, 4.0)))
                self.mover.change(1.2, head=EATING)

    def _grazing_step(self) -> None:
        x, y, heading = self.mover["x"], self.mover["y"], self.mover["heading"]
        heading += float(self.chance.uniform(-0.5, 0.5))
        length = float(self.chance.uniform(0.4, 0.9))
        goal = x + length * cos(heading), y + length * sin(heading)
        if self.free.clamp(*goal) != goal:
            heading = heading_of((self.free.left + self.free.right - 2 * x, self.free.back + self.free.front - 2 * y))
            goal = x + length * cos(heading), y + length * sin(heading)
        self.mover.turn(heading, 0.8)
        self.mover.follow(np.array([(x, y), goal]), STEP_M_S, 0.5, head=EATING)

    def trots(self, act: Act) -> None:
        self._runs(act, TROT_M_S)

    def bolts(self, act: Act) -> None:
        self._runs(act, BOLT_M_S)

    def _runs(self, act: Act, speed: float) -> None:
        """Round after round along the fence, as a flat oval, until the act ends."""
        free = self.free
        middle = np.array([(free.left + free.right) / 2, (free.back + free.front) / 2])
        half = np.array([free.right - free.left, free.front - free.back]) / 2
        place = np.array([self.mover["x"], self.mover["y"]])
        angle = float(np.arctan2(*((place - middle) / half)[::-1]))
        rounds = speed * (act.end - act.start) / (2 * float(half.max())) / pi + 1
        sense = 1.0 if sin(angle - self.mover["heading"]) < 0 else -1.0
        angles = angle + sense * np.arange(0.0, 2 * pi * rounds, 0.02)
        oval = middle + half * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        if float(np.hypot(*(oval[0] - place))) > 0.2:
            self.mover.turn(heading_of(oval[0] - place), HASTY_RAD_S)
            self.mover.follow(np.array([place, oval[0]]), speed, HASTY_M_S2, act.end - TURN_MIN_S, head=0.8)
        self.mover.turn(heading_of(oval[1] - oval[0]), HASTY_RAD_S)
        self.mover.follow(oval, speed, HASTY_M_S2, act.end, head=0.8)

    def paces(self, act: Act) -> None:
        """To and fro along the front, as a horse that weaves or walks its box."""
        free = self.free
        ends = [(free.left, free.front), (free.right, free.front)]
        if self.mover["x"] > (free.left + free.right) / 2:
            ends.reverse()
        turn = 0
        while self.mover.now + self.going_s(*ends[turn % 2]) <= act.end:
            self.go(*ends[turn % 2])
            turn += 1

    def lies_sternal(self, act: Act) -> None:
        self._looks_about(act.end, 0.35, 0.65, RESTING)

    def lies_lateral(self, act: Act) -> None:
        self.mover.change(3.0, roll=float(self.chance.choice([-FLAT, FLAT])), head=0.05)
        self.mover.stay(act.end)

    def rolls(self, act: Act) -> None:
        """On its back and over, again and again, with short rests."""
        side = float(self.chance.choice([-1.0, 1.0]))
        while self.mover.now + 9.0 < act.end:
            self._roll(side)
            self.mover.stay(min(act.end, self.mover.now + float(self.chance.uniform(0.5, 3.0))))

    def _roll(self, side: float) -> None:
        self.mover.change(1.5, roll=side * FLAT, effort=0.4, head=0.2)
        self.mover.change(1.5, roll=side * pi, effort=0.8)
        self.mover.change(1.5, roll=side * FLAT)
        self.mover.change(1.5, roll=0.0, effort=0.0, head=RESTING)

    def struggles(self, act: Act) -> None:
        """Cast: on its back against the wall; heaves to get over in bursts, with ever longer rests."""
        wall, began = SIDE * self.who.height, self.mover.now
        self.mover.change(2.0, roll=CAST_ROLL, y=wall, head=0.1)
        while self.mover.now + 8.0 < act.end:
            for _ in range(int(self.chance.integers(*HEAVES))):
                self._heave()
            self.mover.change(0.6, effort=0.0, roll=CAST_ROLL)
            tired = 1 + min(TIRED, (self.mover.now - began) / TIRES_S)
            self.mover.stay(min(act.end - 1.0, self.mover.now + tired * float(self.chance.uniform(*FRESH_REST_S))))
        self.mover.change(0.5, effort=0.0)

    def _heave(self) -> None:
        for side in (1.0, -1.0):
            strides = self.mover["strides"] + HEAVE_STRIDES
            self.mover.change(HEAVE_S, effort=1.0, roll=CAST_ROLL + side * HEAVE_ROLL, strides=strides)

    def colics(self, act: Act) -> None:
        """Down and up again and again, without finding rest; rolls at times while it is down."""
        while self.mover.now + LIE_DOWN_S[1] + RISE_S[1] + 25.0 < act.end:
            self.lie_down()
            if self.chance.random() < 0.5:
                self._roll(float(self.chance.choice([-1.0, 1.0])))
            self.mover.stay(min(act.end - 10.0, self.mover.now + float(self.chance.uniform(*COLIC_DOWN_S))))
            self.to_feet()
            self.mover.stay(min(act.end, self.mover.now + float(self.chance.uniform(*COLIC_UP_S))))


def gaps(present: Spans, length_s: float) -> Spans:
    """When somebody who is there in `present` is not, from 0 to `length_s`."""
    marks = [0.0, *(mark for span in present for mark in span), length_s]
    return [(start, end) for start, end in list(pairwise(marks))[::2] if end > start]
