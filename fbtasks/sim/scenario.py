"""A story before one camera, as a TOML file: who is there, what each does from when to when, what the camera suffers.

`docs/scenarios.md` tells the format with a whole example.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import time
from importlib.resources import files
from itertools import pairwise
from math import pi, radians
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin
from zlib import crc32

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from fbtasks.errors import ConfigError
from fbtasks.naming import nearest
from fbtasks.sim.places import place
from fbtasks.sim.stage import Colour, Light, Look, Place, PlaceKind

HorseDoes = Literal[
    "stands",
    "grazes",
    "walks",
    "trots",
    "bolts",
    "paces",
    "lies_sternal",
    "lies_lateral",
    "rolls",
    "struggles",
    "colics",
    "away",
]
PersonDoes = Literal["stands", "walks", "stoops", "away"]
Suffers = Literal["shake", "dirt", "door", "covered", "frozen", "silent"]

COATS: dict[str, tuple[Colour, Colour]] = {
    "bay": ((122, 66, 36), (34, 26, 24)),
    "dark bay": ((74, 46, 32), (24, 20, 20)),
    "chestnut": ((150, 80, 42), (128, 66, 34)),
    "black": ((42, 38, 38), (22, 20, 22)),
    "grey": ((176, 174, 170), (112, 110, 110)),
    "white": ((222, 218, 210), (196, 190, 182)),
    "palomino": ((196, 152, 92), (228, 214, 186)),
    "dun": ((170, 138, 98), (58, 46, 38)),
    "roan": ((148, 118, 110), (62, 48, 46)),
}
CLOTHES: dict[str, tuple[Colour, Colour]] = {
    "green": ((64, 98, 62), (44, 46, 58)),
    "blue": ((52, 78, 132), (58, 52, 46)),
    "red": ((160, 50, 46), (40, 42, 52)),
    "brown": ((112, 84, 60), (52, 48, 44)),
    "dark": ((48, 50, 58), (34, 34, 38)),
}
FACING = {"right": 0.0, "viewer": 90.0, "left": 180.0, "back": 270.0}
STRENGTHS: dict[str, float] = {"shake": 0.004, "dirt": 0.6, "door": 0.4}
"""What a disturbance without a `strength` has; those that are not here have none."""


def _seconds(value: object) -> object:
    if isinstance(value, time):
        return value.hour * 3600.0 + value.minute * 60.0 + value.second + value.microsecond / 1e6
    if isinstance(value, str):
        parts = value.split(":")
        if len(parts) != 3 or not all(part.isdigit() for part in parts):
            raise ValueError("write seconds, or a time as 07:30:00")
        return int(parts[0]) * 3600.0 + int(parts[1]) * 60.0 + int(parts[2])
    return value


def _heading(value: object) -> object:
    if isinstance(value, str):
        if value not in FACING:
            raise ValueError(f"write degrees or one of {', '.join(FACING)}{nearest(value, FACING)}")
        value = FACING[value]
    return radians(value) % (2 * pi) if isinstance(value, int | float) else value


def _known(what: str, colours: dict[str, tuple[Colour, Colour]]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in colours:
            raise ValueError(f"there is no {what} {name!r}{nearest(name, colours)}; there are {', '.join(colours)}")
        return name

    return AfterValidator(check)


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=366 * 86_400)]
"""From the start of the story; in the file a number, or a time such as 07:30:00, with or without quotes."""
Heading = Annotated[float, BeforeValidator(_heading)]
"""Radians; in the file degrees, or a word of `FACING`."""
Coat = Annotated[str, _known("coat", COATS)]
Clothes = Annotated[str, _known("colour of clothes", CLOTHES)]
Metres = tuple[float, float]


class Table(BaseModel):
    """Base of all tables of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class Span(Table):
    """Something that lasts."""

    start: Seconds = Field(alias="from")
    end: Seconds = Field(alias="to")

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.end <= self.start:
            raise ValueError("`to` must be later than `from`")
        return self

    def holds(self, t: float) -> bool:
        return self.start <= t < self.end


class Act(Span):
    """What somebody does for a while.

    Attributes:
        at: where, in metres from the left and from the back wall; default: where it is, or a fitting place.
        facing: where it looks meanwhile; default: as it comes.
    """

    does: str
    at: Metres | None = None
    facing: Heading | None = None


class HorseAct(Act):
    """See `Act`. Outside of its acts a horse stands."""

    does: HorseDoes


class PersonAct(Act):
    """See `Act`. Outside of her acts a person is not there.

    Attributes:
        beside: a horse that she goes to, instead of `at`.
    """

    does: PersonDoes
    beside: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.at is not None and self.beside is not None:
            raise ValueError("say `at` or `beside`, not both")
        return self


class Being(Table):
    """A horse or a person."""

    id: str = Field(min_length=1, max_length=64)
    acts: Sequence[Act] = ()


class Horse(Being):
    """A horse and its acts."""

    coat: Coat = "bay"
    height: float = Field(1.6, ge=0.7, le=2.0, description="of the withers, metres")
    markings: int | None = Field(None, ge=0, description="seed of blaze, socks and patches; default: from the id")
    acts: Sequence[HorseAct] = ()

    @property
    def look(self) -> Look:
        main, dark = COATS[self.coat]
        markings = crc32(self.id.encode()) if self.markings is None else self.markings
        return Look(self.height, main, dark, markings)


class Person(Being):
    """A person and her acts."""

    clothes: Clothes = "green"
    height: float = Field(1.75, ge=1.0, le=2.1, description="metres")
    acts: Sequence[PersonAct] = ()

    @property
    def look(self) -> Look:
        main, dark = CLOTHES[self.clothes]
        return Look(self.height, main, dark, crc32(self.id.encode()))


class LightSpan(Span):
    """Other light for a while."""

    light: Light
    brightness: float = Field(1.0, gt=0, le=2)


class Disturbance(Span):
    """What the camera suffers for a while.

    Attributes:
        strength: of a shake: standard deviation as a share of the width; of dirt: 0 to 1; of a door: share of the width
            that it hides. The others have none.
    """

    what: Suffers
    strength: float | None = Field(None, gt=0, le=1)

    @model_validator(mode="after")
    def _has_strength(self) -> Self:
        if self.strength is not None and self.what not in STRENGTHS:
            raise ValueError(f"{self.what!r} has no strength")
        return self

    @property
    def amount(self) -> float:
        return self.strength if self.strength is not None else STRENGTHS.get(self.what, 1.0)


class MountTable(Table):
    """The camera's place where it shall not be the usual one; metres and degrees."""

    x: float | None = Field(None, ge=-30, le=30)
    y: float | None = Field(None, ge=-30, le=30)
    z: float | None = Field(None, gt=0, le=30)
    yaw: float | None = Field(None, ge=-90, le=90)
    pitch: float | None = Field(None, ge=-30, le=90)
    roll: float | None = Field(None, ge=-30, le=30)
    field: float | None = Field(None, ge=10, le=150)

    @property
    def changes(self) -> dict[str, float]:
        given = self.model_dump(exclude_none=True)
        return {name: value if name in ("x", "y", "z") else radians(value) for name, value in given.items()}


class PlaceTable(Table):
    """Where the story happens."""

    kind: PlaceKind
    seed: int = Field(0, ge=0)


class CameraTable(Table):
    """The camera's picture, and where it hangs."""

    width: int = Field(640, ge=64, le=3840)
    height: int = Field(360, ge=64, le=2160)
    fps: float = Field(10.0, ge=0.1, le=60)
    mount: MountTable = MountTable()


class Scenario(Table):
    """One story of one camera.

    Attributes:
        seed: of all chance in it.
        length_s: how long it lasts.
        loops: it ends as it began, and begins again.
        light, brightness: outside of `lights`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    seed: int = Field(0, ge=0)
    length_s: Annotated[Seconds, Field(gt=0)]
    loops: bool = False
    place: PlaceTable
    camera: CameraTable = CameraTable()
    light: Light = "day"
    brightness: float = Field(1.0, gt=0, le=2)
    lights: list[LightSpan] = []
    disturbances: list[Disturbance] = []
    horses: list[Horse] = []
    persons: list[Person] = []

    @model_validator(mode="after")
    def _fits(self) -> Self:
        faults = _twice([being.id for _, being in self._beings()])
        for where, being in self._beings():
            for number, act in enumerate(being.acts):
                faults += [f"{where}.acts[{number}].{fault}" for fault in self._faults_of(act)]
            faults += _disordered(f"{where}.acts", being.acts)
        faults += _disordered("lights", self.lights)
        faults += [
            f"{name}[{index}].to: is after the end of the story"
            for name, spans in (("lights", self.lights), ("disturbances", self.disturbances))
            for index, span in enumerate(spans)
            if span.end > self.length_s
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def built_place(self) -> Place:
        """The place with the camera as the file has it."""
        usual = place(self.place.kind, self.place.seed)
        return replace(usual, mount=replace(usual.mount, **self.camera.mount.changes))

    def _beings(self) -> list[tuple[str, Being]]:
        """Everybody in it, each with the place in the file."""
        return [
            *((f"horses[{index}]", horse) for index, horse in enumerate(self.horses)),
            *((f"persons[{index}]", person) for index, person in enumerate(self.persons)),
        ]

    def _faults_of(self, act: Act) -> list[str]:
        faults = []
        if act.end > self.length_s:
            faults.append("to: is after the end of the story")
        here = place(self.place.kind, self.place.seed)
        if act.at is not None and not (0 <= act.at[0] <= here.width and 0 <= act.at[1] <= here.depth):
            faults.append(f"at: is outside of the place, which is {here.width:.1f} m wide and {here.depth:.1f} m deep")
        if isinstance(act, PersonAct) and act.beside is not None:
            horses = [horse.id for horse in self.horses]
            if act.beside not in horses:
                faults.append(f"beside: there is no horse {act.beside!r}{nearest(act.beside, horses)}")
        return faults


def _twice(ids: list[str]) -> list[str]:
    return [f"id {name!r} is used twice" for name in sorted({name for name in ids if ids.count(name) > 1})]


def _disordered(where: str, spans: Sequence[Span]) -> list[str]:
    return [
        f"{where}[{index}].from: begins before the one above it ends"
        for index, (before, after) in enumerate(pairwise(spans), 1)
        if after.start < before.end
    ]


def load_scenario(path: Path) -> Scenario:
    """The scenario in the file.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong; every fault is named with its place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return read_scenario(text, str(path))


def read_scenario(text: str, where: str) -> Scenario:
    """The scenario in `text`; `where` names it in faults. Raises as `load_scenario`."""
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: is no TOML: {error}") from None
    except ValidationError as error:
        lines = [line for fault in error.errors() for line in _explain(fault)]
        raise ConfigError("\n".join(f"{where}: {line}" for line in lines)) from None


def find_scenario(name: str) -> Scenario:
    """The scenario of that name that comes with the package, or the one in the file of that name.

    Raises:
        ConfigError: as `load_scenario`; or there is neither.
    """
    if name in shipped():
        return read_scenario(_FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8"), name)
    if not Path(name).is_file():
        raise ConfigError(
            f"there is no scenario {name!r}{nearest(name, shipped())}; give a file, or one of {shipped()}"
        )
    return load_scenario(Path(name))


def shipped() -> list[str]:
    """Names of the scenarios that come with the package."""
    return sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.name.endswith(".toml"))


_FOLDER = files("fbtasks.sim") / "scenarios"


def _explain(fault: ErrorDetails) -> list[str]:
    """One line for each fault in it, with the place in the file first."""
    path, message = _dotted(fault["loc"]), fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = f"unknown key{nearest(str(fault['loc'][-1]), _keys_at(fault['loc'][:-1]))}"
    elif fault["type"] == "literal_error":
        message += nearest(str(fault["input"]), re.findall("'([^']*)'", message))
    return [f"{path}: {message}"] if path else message.splitlines()


def _dotted(path: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Scenario
    for part in path:
        if isinstance(part, str):
            model = _table(model.model_fields[part].annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _table(annotation: Any) -> type[BaseModel]:
    """The table behind an annotation such as `CameraTable` or `list[Horse]`."""
    if get_origin(annotation) in (list, Sequence):
        annotation = get_args(annotation)[0]
    table: type[BaseModel] = annotation
    return table
