"""Random nights of a stable, as scenarios: the same for the same kind and seed.

How long a horse rests at a stretch follows what is published: about an hour, then up, is normal, and big sleepers need
two (Coho); of 24 h a horse lies 2.7 to 27 % (PMC8002676), 30 to 40 minutes of it in deep sleep (UC Davis). That healthy
horses roll before they rise is counted (Raabymagle and Ladewig, 2006); how often, and how often everything else
happens, is ours.

An *eventful* night holds a few things that somebody should hear of; a *busy* one most of what the rules are for, some
of it twice, before cameras that suffer more and computers that forget; a *quiet* one nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np

from fbtasks.sim.scenario import (
    CLOTHES,
    COATS,
    Disturbance,
    Horse,
    HorseAct,
    HorseDoes,
    LightSpan,
    Person,
    PersonAct,
    PlaceTable,
    Scenario,
    Suffers,
)

NightKind = Literal["eventful", "busy", "quiet"]
Happening = Literal[
    "long_lying", "bolting", "rolling", "cast", "visit", "led_out", "silent", "covered", "frozen", "door_open"
]
HAPPENINGS: tuple[Happening, ...] = (
    "long_lying",
    "bolting",
    "rolling",
    "cast",
    "visit",
    "led_out",
    "silent",
    "covered",
)
IN_BOX: frozenset[Happening] = frozenset({"cast", "led_out"})
"""What happens to a horse in a box alone."""
IN_PADDOCK: frozenset[Happening] = frozenset({"bolting"})
BUSY_BOX: tuple[Happening, ...] = (
    *("led_out", "led_out", "led_out", "long_lying", "long_lying", "visit", "visit", "cast"),
    *("rolling", "silent", "covered", "frozen", "door_open"),
)
BUSY_PADDOCK: tuple[Happening, ...] = (
    *("bolting", "bolting", "bolting", "long_lying", "long_lying", "visit", "visit"),
    *("rolling", "silent", "covered", "frozen", "door_open"),
)
"""What a busy night draws from, none twice: what only one kind of place has is in it more often, to be counted."""
TO_CAMERA: frozenset[Happening] = frozenset({"silent", "covered", "frozen", "door_open"})
BOX_SHARE, BUSY_BOX_SHARE = 0.7, 0.4
BUSY_HORSES = (1, 1, 1, 2, 3)
"""Of a busy paddock, one of these: where two share it, neither has the room to gallop."""
ENDLESS_SHARE = 0.35
"""Of the long bouts of lying in busy nights."""
COLIC_SHARE = 0.4
"""Of busy nights, those in which one horse has colic for a while."""
ROLLS_FIRST, ROLLS_LAST = 0.3, 0.3
"""Shares of the bouts of lying that begin, and that end, with a roll or two. Ours."""
NAMES = ("Luna", "Nero", "Stella")
ON_ITS_FEET: frozenset[HorseDoes] = frozenset({"stands", "grazes", "walks"})
LYING_DOWN_S = 8.5
"""At most, before an act that is done lying; see `fbtasks.sim.acts`."""
SPARE_S = 25.0
"""Getting somewhere, lying down or rising is done within so many seconds: no act is too short for it."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How long things last: seconds from, to. Shorter ones make a night that is over sooner.

    Attributes:
        length_s: of the night.
        lying: a normal bout, shorter than the first alert even with the rest of its hour.
        long_lying, endless_lying: a bout that somebody should hear of; one that should raise the alarm.
        up: between two bouts.
        awake: one piece of standing or grazing.
        brief: a disturbance that no rule should mind.
        outage: of the camera, one that somebody should hear of.
        hidden: a door that stands open before the camera.
        visit, away, trouble: of a person, of a horse that is led out, of rolling, struggling and bolting.
        long_away: in a busy night.
        cast: a horse at the wall, until it is freed or frees itself, at most for as long as it would else have stood.
        colic: down and up, without rest, and what is left of the acts that it begins and ends in.
        few_rolls: a healthy horse's, when it has lain down or before it rises.
        happenings, many: how many in an eventful night, and in a busy one.
    """

    length_s: float = 8 * 3600.0
    lying: tuple[float, float] = (8 * 60.0, 45 * 60.0)
    long_lying: tuple[float, float] = (70 * 60.0, 150 * 60.0)
    endless_lying: tuple[float, float] = (185 * 60.0, 215 * 60.0)
    up: tuple[float, float] = (30 * 60.0, 120 * 60.0)
    awake: tuple[float, float] = (4 * 60.0, 25 * 60.0)
    brief: tuple[float, float] = (2.0, 12.0)
    outage: tuple[float, float] = (60.0, 600.0)
    hidden: tuple[float, float] = (60.0, 900.0)
    visit: tuple[float, float] = (180.0, 900.0)
    away: tuple[float, float] = (20 * 60.0, 45 * 60.0)
    long_away: tuple[float, float] = (29 * 60.0, 60 * 60.0)
    trouble: tuple[float, float] = (25.0, 90.0)
    cast: tuple[float, float] = (4 * 60.0, 25 * 60.0)
    colic: tuple[float, float] = (25 * 60.0, 60 * 60.0)
    few_rolls: tuple[float, float] = (11.0, 30.0)
    happenings: tuple[int, int] = (3, 5)
    many: tuple[int, int] = (8, 10)

    def faster(self, factor: float) -> "Habits":
        """The same night in a `factor`-th of the time. What takes legs and not patience stays as it is."""
        patient = (
            *("lying", "long_lying", "endless_lying", "up", "awake", "visit", "away", "long_away", "hidden"),
            *("cast", "colic"),
        )
        scaled: dict[str, Any] = {name: tuple(side / factor for side in getattr(self, name)) for name in patient}
        return replace(self, length_s=self.length_s / factor, **scaled)


@dataclass(frozen=True, slots=True)
class Night:
    """A night, and when everything in the stable's computer was started anew.

    Attributes:
        restarts: seconds of the story.
        losses: those of them at which what the logic remembered was lost.
    """

    scenario: Scenario
    restarts: tuple[float, ...]
    losses: frozenset[float] = frozenset()


def night(kind: NightKind, seed: int, habits: Habits | None = None) -> Night:
    """A night of that kind."""
    return _NightWriter(kind, seed, habits or Habits()).written()


class _NightWriter:
    def __init__(self, kind: NightKind, seed: int, habits: Habits) -> None:
        self.name = f"{kind}-{seed}"
        self.seed = seed
        self.habits = habits
        self.busy = kind == "busy"
        number = ("quiet", "eventful", "busy").index(kind)
        self.chance = np.random.default_rng([seed, number])
        # What came later has its own, so that nothing else of a night depends on it.
        self.more = np.random.default_rng([seed, number, 1])
        in_box = self.chance.random() < (BUSY_BOX_SHARE if self.busy else BOX_SHARE)
        self.place = PlaceTable(kind="box" if in_box else "paddock", seed=int(self.chance.integers(10_000)))
        together = BUSY_HORSES if self.busy else (1, 2, 3)
        self.horses = 1 if in_box else together[int(self.chance.integers(len(together)))]
        in_pain = self.busy and self.more.random() < COLIC_SHARE
        self.in_pain = int(self.more.integers(self.horses)) if in_pain else None
        self.happenings: list[Happening] = []
        if self.busy:
            self.happenings = self._drawn(BUSY_BOX if in_box else BUSY_PADDOCK, self.habits.many)
        elif kind == "eventful":
            possible = [one for one in HAPPENINGS if one not in (IN_PADDOCK if in_box else IN_BOX)]
            self.happenings = self._drawn(possible, self.habits.happenings)

    def written(self) -> Night:
        to_horses = [one for one in self.happenings if one not in TO_CAMERA and one != "visit"]
        horses = [self._horse(index, to_horses[index :: self.horses]) for index in range(self.horses)]
        scenario = Scenario(
            name=self.name,
            seed=self.seed,
            length_s=self.habits.length_s,
            place=self.place,
            light="infrared",
            lights=self._lights(),
            disturbances=self._disturbances(),
            horses=horses,
            persons=self._visitors(horses[0].id),
        )
        count = int(self.chance.integers(0, 3)) + self.busy
        restarts = tuple(sorted((self.chance.uniform(0.05, 0.95, count) * self.habits.length_s).tolist()))
        losses = frozenset(self.chance.choice(restarts, 1).tolist()) if self.busy else frozenset()
        return Night(scenario, restarts, losses)

    def _drawn(self, possible: Sequence[Happening], between: tuple[int, int]) -> list[Happening]:
        least, most = between
        count = min(len(possible), int(self.chance.integers(least, most + 1)))
        return [possible[index] for index in self.chance.choice(len(possible), count, replace=False)]

    def between(self, span: tuple[float, float]) -> float:
        return float(self.chance.uniform(*span))

    def _horse(self, index: int, happenings: Sequence[Happening]) -> Horse:
        coat = str(self.chance.choice(sorted(COATS)))
        height = float(self.chance.uniform(1.4, 1.72))
        return Horse(id=NAMES[index], coat=coat, height=height, acts=_Rest(self, index, happenings).acts())

    def _visitors(self, horse: str) -> list[Person]:
        """One comes, looks after the horse, bends down now and then, goes; each in a part of the night of her own."""
        count = self.happenings.count("visit")
        part_s = 0.7 / max(count, 1) * self.habits.length_s
        return [
            self._visitor(horse, number, 0.1 * self.habits.length_s + number * part_s, part_s)
            for number in range(count)
        ]

    def _visitor(self, horse: str, number: int, begins: float, part_s: float) -> Person:
        start = (
            begins + self.between((0.0, 1.0 if number == 0 and self.happenings.count("visit") == 1 else 0.5)) * part_s
        )
        middle = start + SPARE_S + self.between(self.habits.visit)
        end = min(middle + SPARE_S, self.habits.length_s - SPARE_S)
        acts = [
            PersonAct(start=start, end=middle, does="stands", beside=horse),
            PersonAct(start=middle, end=end, does="stoops"),
        ]
        name = f"groom-{number + 1}" if number else "groom"
        return Person(id=name, clothes=str(self.chance.choice(sorted(CLOTHES))), acts=acts)

    def _lights(self) -> list[LightSpan]:
        length_s = self.habits.length_s
        dawn = self.between((0.85, 0.95)) * length_s
        return [LightSpan(start=dawn, end=length_s, light="dusk", brightness=0.8)]

    def _disturbances(self) -> list[Disturbance]:
        """Each in a piece of the night of its own, so that no two meet."""
        brief: list[Suffers] = ["shake", "shake", "shake", "door", "silent", "silent"]
        outages: tuple[Suffers, ...] = ("silent", "covered", "frozen")
        grave: list[Suffers] = [one for one in outages if one in self.happenings]
        wanted = [(one, self.habits.brief) for one in brief] + [(one, self.habits.outage) for one in grave]
        if "door_open" in self.happenings:
            wanted.append(("door", self.habits.hidden))
        piece_s = self.habits.length_s / len(wanted)
        found = []
        for place, index in enumerate(self.chance.permutation(len(wanted)).tolist()):
            what, lasts = wanted[index]
            length_s = min(self.between(lasts), 0.8 * piece_s)
            start = (place + self.between((0.05, 0.15))) * piece_s
            found.append(Disturbance(start=start, end=start + length_s, what=what))
        return found


class _Rest:
    """One horse's night: awake and lying in turn, and what happens to it while it is awake."""

    def __init__(self, night: _NightWriter, index: int, happenings: Sequence[Happening]) -> None:
        self.night = night
        self.colic = index == night.in_pain
        self.habits = night.habits
        self.between = night.between
        # In the first part, so that the long ones have their time.
        self.due = sorted((self.between((0.05, 0.45)) * self.habits.length_s, one) for one in happenings)
        self.written: list[HorseAct] = []
        self.now = 0.0

    def more(self, span: tuple[float, float]) -> float:
        return float(self.night.more.uniform(*span))

    def acts(self) -> list[HorseAct]:
        end = self.habits.length_s - SPARE_S
        while self.now < end:
            self._awake(min(end, self.now + self.between(self.habits.up)))
            self._lie(self.between(self.habits.lying))
        cut = [act for act in self.written if act.start < end - SPARE_S]
        last = cut[-1]
        cut[-1] = last.model_copy(update={"end": min(last.end, end)})
        if self.colic:
            cut = self._with_colic(cut)
        does = ["stands", *(act.does for act in cut), "stands"]
        bouts = zip(cut, does, does[2:], strict=False)
        return [piece for act, before, after in bouts for piece in self._with_rolls(act, before, after)]

    def _with_colic(self, acts: list[HorseAct]) -> list[HorseAct]:
        """In pain for a part of one of the times on its feet that are long enough."""
        least, _ = self.habits.colic
        up = [list(run) for on_its_feet, run in groupby(acts, lambda act: act.does in ON_ITS_FEET) if on_its_feet]
        long = [(run[0].start, run[-1].end) for run in up if run[-1].end - run[0].start >= least + SPARE_S]
        if not long:
            return acts
        low, high = long[int(self.night.more.integers(len(long)))]
        seconds = min(high - low, SPARE_S + self.more(self.habits.colic))
        wanted = low + self.more((0.0, high - low - seconds))
        # Whole acts, so that none is left that is too short.
        start = max(act.start for act in acts if act.start <= wanted)
        stop = min(act.end for act in acts if act.end >= wanted + seconds)
        pain = HorseAct(start=start, end=stop, does="colics")
        return [*(act for act in acts if act.end <= start), pain, *(act for act in acts if act.start >= stop)]

    def _with_rolls(self, act: HorseAct, before: str, after: str) -> list[HorseAct]:
        """A bout of lying with a roll or two at its beginning or its end, or as it is."""
        if act.does != "lies_sternal" or act.end - act.start < 4 * SPARE_S:
            return [act]
        first, last = act.start, act.end
        if before != "lies_lateral" and self._draws(ROLLS_FIRST):
            first += LYING_DOWN_S + self.more(self.habits.few_rolls)
        if after != "lies_lateral" and self._draws(ROLLS_LAST):
            last -= self.more(self.habits.few_rolls)
        pieces: list[tuple[float, float, HorseDoes]] = [
            (act.start, first, "rolls"), (first, last, act.does), (last, act.end, "rolls"),
        ]  # fmt: skip
        return [HorseAct(start=start, end=end, does=does) for start, end, does in pieces if end > start]

    def _draws(self, share: float) -> bool:
        return bool(self.night.more.random() < share)

    def _add(self, does: HorseDoes, seconds: float) -> None:
        self.written.append(HorseAct(start=self.now, end=self.now + seconds, does=does))
        self.now += seconds

    def _awake(self, until: float) -> None:
        while self.now < until:
            while self.due and self.due[0][0] <= self.now:
                self._happen(self.due.pop(0)[1])
            draw = self.night.chance.random()
            if draw < 0.15:
                self._add("walks", self.between((40.0, 90.0)))
            else:
                self._add("grazes" if draw < 0.5 else "stands", SPARE_S + self.between(self.habits.awake))

    def _happen(self, what: Happening) -> None:
        if what == "long_lying":
            grave = self.night.busy and self.night.chance.random() < ENDLESS_SHARE
            self._lie(self.between(self.habits.endless_lying if grave else self.habits.long_lying))
        elif what == "led_out":
            self._add("away", SPARE_S + self.between(self.habits.long_away if self.night.busy else self.habits.away))
        elif what == "cast":
            self._cast()
            return
        else:
            does: dict[Happening, HorseDoes] = {"bolting": "bolts", "rolling": "rolls"}
            self._add(does[what], SPARE_S + self.between(self.habits.trouble))
        self._add("stands", SPARE_S + self.between(self.habits.awake))

    def _cast(self) -> None:
        """Until it stands again; together as long as other trouble with the standing after it."""
        both = SPARE_S + self.between(self.habits.trouble) + SPARE_S + self.between(self.habits.awake)
        down = min(both - SPARE_S, SPARE_S + self.more(self.habits.cast))
        self._add("struggles", down)
        self._add("stands", both - down)

    def _lie(self, seconds: float) -> None:
        """On the breast, and now and then flat on the side for a part of it."""
        if self.night.chance.random() < 0.5:
            self._add("lies_sternal", SPARE_S + seconds)
            return
        first, flat = self.between((0.3, 0.5)), self.between((0.1, 0.3))
        self._add("lies_sternal", SPARE_S + first * seconds)
        self._add("lies_lateral", SPARE_S + flat * seconds)
        self._add("lies_sternal", SPARE_S + (1 - first - flat) * seconds)
