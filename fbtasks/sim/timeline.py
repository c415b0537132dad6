"""The story of one camera at any second: who is where and how, what the camera suffers, and what truly happened.

Everything is settled when the timeline is made; asking changes nothing, and may be done in any order.
"""

from dataclasses import dataclass
from math import pi
from typing import Literal

import numpy as np

from fbtasks.sim.acts import Actor, gaps, horse_actor, person_actor
from fbtasks.sim.motion import CHANNELS, INDEX, Floats, Spans
from fbtasks.sim.scenario import Disturbance, Horse, Person, Scenario, Suffers
from fbtasks.sim.stage import BODY_LENGTHS_PER_HEIGHT, Conditions, HorsePose, PersonPose, Placed, TruePosture

EventKind = Literal[
    "lying",
    "lateral",
    "rolling",
    "cast",
    "colic",
    "bolting",
    "trotting",
    "pacing",
    "absent",
    "person",
    "shake",
    "dirt",
    "door",
    "covered",
    "frozen",
    "silent",
]
LIES = 0.97
"""A horse that is so far down lies; one that is less than the rest of it down stands; between, neither."""
HARD = 0.5
"""Of effort, from which a horse struggles."""
BREATH_S = 5.0
"""A resting horse breathes 8 to 16 times a minute."""
DOOR_S, DIRT_S = 2.0, 8.0
"""A door opens and dirt grows within so many seconds."""
NOISE = {"day": 4.0, "dusk": 6.0, "infrared": 5.0}
BODY = [INDEX[channel] for channel in CHANNELS if channel != "head"]
ACTED: dict[str, EventKind] = {
    "rolls": "rolling",
    "struggles": "cast",
    "colics": "colic",
    "bolts": "bolting",
    "trots": "trotting",
    "paces": "pacing",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that truly happened.

    Attributes:
        kind: `lying` from lying on the ground to the first moment of rising; `absent` a horse that is out of its place;
            `person` from coming in to having left. What the camera suffers is named as in the scenario.
        who: the horse or person; empty when it is the camera.
        start, end: seconds of the story.
    """

    kind: EventKind
    who: str
    start: float
    end: float

    @property
    def length_s(self) -> float:
        return self.end - self.start


class Timeline:
    """The story of one scenario.

    Raises:
        ConfigError: an act is too short for what must come before it, or a story that loops does not close.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.place = scenario.built_place()
        self._horses = {horse.id: horse_actor(scenario, self.place, i) for i, horse in enumerate(scenario.horses)}
        self._persons = {
            person.id: person_actor(scenario, self.place, i, lambda who, t: self._horses[who].motion.at(t))
            for i, person in enumerate(scenario.persons)
        }

    def placed(self, t: float) -> list[Placed]:
        """Everybody who is in the place at `t`."""
        t = self._story_time(t)
        horses = [(horse, self._horses[horse.id]) for horse in self.scenario.horses]
        persons = [(person, self._persons[person.id]) for person in self.scenario.persons]
        return [
            *(self._horse(horse, actor, t) for horse, actor in horses if _within(actor.present, t)),
            *(_person(person, actor, t) for person, actor in persons if _within(actor.present, t)),
        ]

    def conditions(self, t: float) -> Conditions:
        """What the camera has to see through at `t`."""
        t = self._story_time(t)
        light, brightness = self.scenario.light, self.scenario.brightness
        for span in self.scenario.lights:
            if span.holds(t):
                light, brightness = span.light, span.brightness
        return Conditions(
            light=light,
            brightness=brightness,
            shake=self._suffered("shake", t, 0.0),
            dirt=self._suffered("dirt", t, DIRT_S),
            door=self._suffered("door", t, DOOR_S),
            noise=NOISE[light],
            covered=self._disturbed("covered", t) is not None,
        )

    def sends(self, t: float) -> bool:
        """Whether the camera sends anything at `t`."""
        return self._disturbed("silent", self._story_time(t)) is None

    def frozen(self, t: float) -> bool:
        """Whether the camera repeats an old picture at `t`."""
        return self._disturbed("frozen", self._story_time(t)) is not None

    def shown(self, t: float) -> float:
        """The time whose picture the camera sends at `t`: an earlier one while it is frozen."""
        t = self._story_time(t)
        disturbance = self._disturbed("frozen", t)
        return disturbance.start if disturbance is not None else t

    def events(self) -> list[Event]:
        """What truly happens in the story, once through, in the order in which it begins."""
        found: list[Event] = []
        for who, actor in self._horses.items():
            found += [Event("lying", who, *span) for span in actor.motion.spans("down", LIES)]
            found += [Event(ACTED[act.does], who, start, end) for act, start, end in actor.done if act.does in ACTED]
            found += [Event("lateral", who, start, end) for act, start, end in actor.done if act.does == "lies_lateral"]
            found += [Event("absent", who, *span) for span in gaps(actor.present, self.scenario.length_s)]
        for who, actor in self._persons.items():
            found += [Event("person", who, *span) for span in actor.present]
        found += [Event(span.what, "", span.start, span.end) for span in self.scenario.disturbances]
        return sorted(found, key=lambda event: (event.start, event.kind, event.who))

    def faster_than(self, body_lengths_per_s: float) -> list[Event]:
        """When each horse truly moves at that speed or faster, as events of `bolting`."""
        found = []
        for horse in self.scenario.horses:
            metres_per_s = body_lengths_per_s * BODY_LENGTHS_PER_HEIGHT * horse.height
            spans = self._horses[horse.id].motion.spans("speed", metres_per_s)
            found += [Event("bolting", horse.id, *span) for span in spans]
        return found

    def struggles(self) -> dict[str, Spans]:
        """When each horse thrashes about on the ground, from the first to the last such moment of each time."""
        return {who: actor.motion.spans("effort", HARD) for who, actor in self._horses.items()}

    def lively(self) -> Spans:
        """When somebody moves more than the head, and when what the camera suffers or sees by changes."""
        found: Spans = []
        for actor in (*self._horses.values(), *self._persons.values()):
            moves = (np.diff(actor.motion.rows[:, BODY], axis=0) != 0).any(axis=1)
            found += zip(actor.motion.times[:-1][moves].tolist(), actor.motion.times[1:][moves].tolist(), strict=True)
            found += [(mark, mark) for span in actor.present for mark in span]
        for span in self.scenario.disturbances:
            changes_s = span.end - span.start if span.what == "shake" else DIRT_S
            found += [(span.start - DIRT_S, span.start + changes_s), (span.end - changes_s, span.end)]
        found += [(mark, mark) for span in self.scenario.lights for mark in (span.start, span.end)]
        return found

    def _story_time(self, t: float) -> float:
        return t % self.scenario.length_s if self.scenario.loops else min(max(t, 0.0), self.scenario.length_s)

    def _horse(self, horse: Horse, actor: Actor, t: float) -> Placed:
        row = actor.motion.at(t)
        down = _value(row, "down")
        pose = HorsePose(
            down=down,
            roll=_value(row, "roll"),
            head=_value(row, "head"),
            strides=_value(row, "strides"),
            pace=_value(row, "pace"),
            # Whole breaths in the story, so that it may loop.
            breath=t * max(1, round(self.scenario.length_s / BREATH_S)) / self.scenario.length_s,
            thrash=_value(row, "effort"),
        )
        return _placed(horse, row, pose, _posture(down))

    def _disturbed(self, what: Suffers, t: float) -> Disturbance | None:
        return next((span for span in self.scenario.disturbances if span.what == what and span.holds(t)), None)

    def _suffered(self, what: Suffers, t: float, ramp_s: float) -> float:
        """How strong it is: grows and ends within `ramp_s`."""
        span = self._disturbed(what, t)
        if span is None:
            return 0.0
        if ramp_s == 0:
            return span.amount
        return span.amount * min(1.0, (t - span.start) / ramp_s, (span.end - t) / ramp_s)


def _person(person: Person, actor: Actor, t: float) -> Placed:
    row = actor.motion.at(t)
    pose = PersonPose(_value(row, "strides"), _value(row, "pace"), _value(row, "effort"))
    return _placed(person, row, pose, "standing")


def _placed(who: Horse | Person, row: Floats, pose: HorsePose | PersonPose, posture: TruePosture) -> Placed:
    return Placed(
        id=who.id,
        look=who.look,
        x=_value(row, "x"),
        y=_value(row, "y"),
        heading=_value(row, "heading") % (2 * pi),
        pose=pose,
        posture=posture,
        speed=_value(row, "speed"),
    )


def _value(row: Floats, channel: str) -> float:
    return float(row[INDEX[channel]])


def _posture(down: float) -> TruePosture:
    if down >= LIES:
        return "lying"
    return "standing" if down <= 1 - LIES else "between"


def _within(spans: Spans, t: float) -> bool:
    return any(start <= t <= end for start, end in spans)
