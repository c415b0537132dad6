"""The drawing process: draws and encodes the pictures of all live cameras, so that sending never waits for either.

It is asked for stretches of a film, a key frame each, a little before they are due, and sends each picture as soon as
it is ready. What is due first is drawn first. A picture that can no longer be in time is left out before it is encoded,
so that what is sent can always be decoded. The process ends when its asker does.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic

import numpy as np

from fbtasks.errors import ConfigError
from fbtasks.sim.encoder import Encoder
from fbtasks.sim.film import Film
from fbtasks.sim.rtp import CLOCK_HZ, Codec, nal_units

LATE_S = 0.2
"""A picture whose drawing cannot begin earlier than so long after it is due is left out."""


@dataclass(frozen=True, slots=True)
class Load:
    """Prepare a film; `reel` is the number that the answers bear."""

    reel: int
    film: Film
    size: tuple[int, int]
    codec: Codec


@dataclass(frozen=True, slots=True)
class Unload:
    """Forget a reel, and what has been asked of it."""

    reel: int


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw `count` pictures from number `first` on, which is due at `due` of the monotonic clock."""

    reel: int
    first: int
    count: int
    due: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A reel is prepared, and its parameter sets are these; or it cannot be, and why."""

    reel: int
    sets: list[bytes]
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """Picture `number` of the stretch that begins with `first`, encoded."""

    reel: int
    first: int
    number: int
    nals: list[bytes]


@dataclass(frozen=True, slots=True)
class Finished:
    """A stretch is done; `missed` of its pictures are left out."""

    reel: int
    first: int
    missed: int


class _Reel:
    """A film with its encoder."""

    def __init__(self, load: Load) -> None:
        self.fps = load.film.fps
        self.drawn_at = 0.0
        self._shoot = load.film.opened(load.size)
        self._encoder = Encoder(load.codec, load.size, self.fps)
        self._encoded = 0
        self._shoot(0)  # what stands still is drawn with the first picture, which must not make that one late

    def nals(self, number: int, *, key: bool) -> list[bytes]:
        """The picture of that number, none while the camera sends nothing."""
        picture = self._shoot(number)
        if picture is None:
            return []
        self._encoded += 1
        return nal_units(self._encoder.encode(picture, round(self._encoded * CLOCK_HZ / self.fps), key=key))


@dataclass(slots=True)
class _Stretch:
    """What is left of a `Draw`."""

    asked: Draw
    fps: float
    done: int = 0
    missed: int = 0
    begun: bool = False

    @property
    def due(self) -> float:
        """When its next picture is due."""
        return self.asked.due + self.done / self.fps


class _Studio:
    """Works off what it is asked for."""

    def __init__(self, connection: "Connection[object, Load | Unload | Draw]") -> None:
        self._connection = connection
        self._reels: dict[int, _Reel] = {}
        self._stretches: list[_Stretch] = []

    def run(self) -> None:
        """Until the asker is gone."""
        while True:
            while not self._stretches or self._connection.poll():
                self._obey(self._connection.recv())
            self._work(self._next(monotonic()))

    def _next(self, now: float) -> _Stretch:
        """What is due first; of what is late, that of the camera which waits longest, so that each gets its share."""
        return min(self._stretches, key=lambda one: (max(one.due, now), self._reels[one.asked.reel].drawn_at))

    def _obey(self, message: Load | Unload | Draw) -> None:
        match message:
            case Load():
                self._connection.send(self._loaded(message))
            case Unload(reel=reel):
                self._reels.pop(reel, None)
                self._stretches = [one for one in self._stretches if one.asked.reel != reel]
            case Draw():
                self._stretches.append(_Stretch(message, self._reels[message.reel].fps))

    def _loaded(self, load: Load) -> Loaded:
        try:
            self._reels[load.reel] = _Reel(load)
        except ConfigError as error:
            return Loaded(load.reel, [], str(error))
        return Loaded(load.reel, _parameter_sets(load))

    def _work(self, stretch: _Stretch) -> None:
        asked, number = stretch.asked, stretch.asked.first + stretch.done
        reel = self._reels[asked.reel]
        if monotonic() > stretch.due + LATE_S:
            stretch.missed += 1
        else:
            reel.drawn_at = monotonic()
            if nals := reel.nals(number, key=not stretch.begun):
                stretch.begun = True
                self._connection.send(Drawn(asked.reel, asked.first, number, nals))
        stretch.done += 1
        if stretch.done == asked.count:
            self._stretches.remove(stretch)
            self._connection.send(Finished(asked.reel, asked.first, stretch.missed))


def _parameter_sets(load: Load) -> list[bytes]:
    """As they come with every key frame: they depend on the size and the encoder, not on the picture."""
    width, height = load.size
    black = np.zeros((height, width, 3), np.uint8)
    return load.codec.parameter_sets(
        nal_units(Encoder(load.codec, load.size, load.film.fps).encode(black, 0, key=True))
    )


def main() -> None:
    """Serve the process that has started this one, over the socket that it gave as standard input."""
    with suppress(EOFError, ConnectionError):  # the asker is gone
        _Studio(Connection(os.dup(0))).run()
