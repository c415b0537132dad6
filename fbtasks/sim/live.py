"""Live cameras: films that a process of its own draws and encodes, a second ahead, while somebody watches.

A film that begins again is drawn once: its stretches, a key frame and what follows up to the next one, are kept and
sent again in every later round. Only stretches that are whole are kept, and only up to `KEPT_BYTES`.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from math import ceil
from multiprocessing.connection import Connection
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Self

from fbtasks.errors import ConfigError, FbtasksError
from fbtasks.sim import rtp
from fbtasks.sim.film import Film
from fbtasks.sim.rtp import CLOCK_HZ, H264, Codec, Description, Unit
from fbtasks.sim.studio import Draw, Drawn, Finished, Load, Loaded, Unload

log = logging.getLogger(__name__)

LEAD_S = 0.4
"""The first stretch that is drawn for somebody begins no earlier: its pictures shall be in time."""
KEPT_BYTES = 64_000_000
"""Of one camera: at 640x360 and ten pictures a second, half an hour by day and a quarter at night, which is noisier."""
WARN_S = 10.0


@dataclass(slots=True, eq=False)
class Stretch:
    """Pictures from a key frame to the next one, times counted from the first; they come one by one."""

    units: list[Unit] = field(default_factory=list)
    finished: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def coming(self) -> AsyncIterator[Unit]:
        """All of them, each as soon as it is there; for one reader."""
        for number in count():
            while number >= len(self.units):
                if self.finished:
                    return
                self.changed.clear()
                await self.changed.wait()
            yield self.units[number]

    def size(self) -> int:
        """Bytes."""
        return sum(unit.size() for unit in self.units)


@dataclass(slots=True, eq=False)
class Reel:
    """A film at one size and in one codec.

    Attributes:
        stretches: those that are being drawn and those that are kept, by the number of their first picture.
        kept: size of the latter, bytes.
    """

    number: int
    camera: str
    film: Film
    size: tuple[int, int]
    description: Description
    stretches: dict[int, Stretch] = field(default_factory=dict)
    kept: int = 0
    missed: int = 0
    warned_at: float = -WARN_S

    def take(self, drawn: Drawn) -> None:
        """A picture is ready."""
        stretch = self.stretches[drawn.first]
        ticks = round((drawn.number - drawn.first) * CLOCK_HZ / self.film.fps)
        stretch.units.append(rtp.unit(self.description.codec, ticks, ticks, drawn.nals))
        stretch.changed.set()

    def finish(self, finished: Finished) -> None:
        """A stretch is done; keeps it if it is whole, will be wanted again, and there is room."""
        stretch = self.stretches[finished.first]
        stretch.finished = True
        stretch.changed.set()
        if finished.missed or self.film.length_s is None or self.kept + stretch.size() > KEPT_BYTES:
            del self.stretches[finished.first]
        else:
            self.kept += stretch.size()
        self._warn(finished.missed)

    def _warn(self, missed: int) -> None:
        self.missed += missed
        if self.missed and monotonic() - self.warned_at > WARN_S:
            log.warning("camera %s: %d pictures left out, this machine is too slow", self.camera, self.missed)
            self.missed, self.warned_at = 0, monotonic()


class Studio:
    """The drawing process, seen from here; `async with`."""

    def __init__(self) -> None:
        self._reels: dict[int, Reel] = {}
        self._loading: dict[int, asyncio.Future[list[bytes]]] = {}
        self._numbers = count()
        self._ended = False

    async def __aenter__(self) -> Self:
        ours, its = socket.socketpair()
        with its:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "from fbtasks.sim import studio; studio.main()"),
                stdin=its.fileno(),
                start_new_session=True,  # a Ctrl-C is for this process; that one ends with the socket
            )
        self._connection: Connection[Load | Unload | Draw, Loaded | Drawn | Finished] = Connection(ours.detach())
        self._reader = Thread(target=self._read, args=(asyncio.get_running_loop(),), name="studio", daemon=True)
        self._reader.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()
        await asyncio.to_thread(self._reader.join)
        self._connection.close()

    async def load(self, camera: str, film: Film, size: tuple[int, int], codec: Codec) -> Reel:
        """Prepare a film.

        Raises:
            ConfigError: it cannot be told.
        """
        number = next(self._numbers)
        loading = self._loading[number] = asyncio.get_running_loop().create_future()
        self._send(Load(number, film, size, codec))
        reel = Reel(number, camera, film, size, Description(codec, await loading))
        self._reels[number] = reel
        return reel

    def unload(self, reel: Reel) -> None:
        """It is no longer needed; what is still read of it ends."""
        del self._reels[reel.number]
        self._send(Unload(reel.number))
        for stretch in reel.stretches.values():
            stretch.finished = True
            stretch.changed.set()

    def stretch(self, reel: Reel, first: int, pictures: int, due: float) -> Stretch:
        """Those pictures from number `first` on, due at `due` of the monotonic clock; drawn unless they are kept."""
        if first not in reel.stretches:
            reel.stretches[first] = Stretch()
            self._send(Draw(reel.number, first, pictures, due))
        return reel.stretches[first]

    def _send(self, message: Load | Unload | Draw) -> None:
        """They are few and small: the socket has room for them whatever the process is busy with."""
        if self._ended:
            raise FbtasksError("the process that draws the cameras ended; its last lines above say why")
        with suppress(BrokenPipeError):  # its reader will notice
            self._connection.send(message)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: the messages as they come."""
        with suppress(EOFError, OSError, RuntimeError):  # RuntimeError: the loop is closed
            while True:
                loop.call_soon_threadsafe(self._obey, self._connection.recv())
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._lost)

    def _obey(self, message: Loaded | Drawn | Finished) -> None:
        match message:
            case Loaded(reel=number, refusal=str(refusal)):
                self._loading.pop(number).set_exception(ConfigError(refusal))
            case Loaded(reel=number, sets=sets):
                self._loading.pop(number).set_result(sets)
            case Drawn() if message.reel in self._reels:
                self._reels[message.reel].take(message)
            case Finished() if message.reel in self._reels:
                self._reels[message.reel].finish(message)

    def _lost(self) -> None:
        """It has ended: whoever waits for it learns so when it asks for more."""
        self._ended = True
        for loading in self._loading.values():
            loading.set_exception(FbtasksError("the process that draws the cameras ended before it was ready"))
        for reel in self._reels.values():
            for stretch in reel.stretches.values():
                stretch.finished = True
                stretch.changed.set()


class LiveSource:
    """A film as a camera's source; see `open`."""

    def __init__(self, studio: Studio, reel: Reel) -> None:
        self._studio = studio
        self._reel = reel
        self._reshaping = asyncio.Lock()
        fps, length_s = reel.film.fps, reel.film.length_s
        self._stretch = max(1, round(fps))
        """Pictures from one key frame to the next: about a second."""
        self._round = None if length_s is None else max(1, round(length_s * fps))
        """Pictures of a whole round."""
        self._per_round = 0 if self._round is None else ceil(self._round / self._stretch)
        """Stretches of it; the last one may be shorter."""

    @classmethod
    async def open(cls, studio: Studio, camera: str, film: Film) -> Self:
        """Prepare everything but the pictures.

        Raises:
            ConfigError: the film cannot be told.
        """
        return cls(studio, await studio.load(camera, film, film.size, H264))

    @property
    def description(self) -> Description:
        return self._reel.description

    async def units(self, after: float) -> AsyncGenerator[Unit, None]:
        began, fps = monotonic() - after, self._reel.film.fps
        index = self._first_stretch(after)
        stretch = self._ask(index, began)
        while True:
            reel, following = self._reel, self._ask(index + 1, began)
            start = round(self._begin(index) * CLOCK_HZ / fps)
            async for unit in stretch.coming():
                yield unit.later(start)
            index += 1
            stretch = following if self._reel is reel else self._ask(index, began)

    async def reshape(self, *, size: tuple[int, int] | None = None, codec: Codec | None = None) -> None:
        async with self._reshaping:
            before = self._reel
            codec = codec or before.description.codec
            self._reel = await self._studio.load(before.camera, before.film, size or before.size, codec)
            self._studio.unload(before)

    def _ask(self, index: int, began: float) -> Stretch:
        begin = self._begin(index)
        first = begin if self._round is None else begin % self._round
        pictures = self._begin(index + 1) - begin
        return self._studio.stretch(self._reel, first, pictures, began + begin / self._reel.film.fps)

    def _begin(self, index: int) -> int:
        """Number of the first picture of a stretch, counted over all rounds; each round begins with a stretch."""
        if self._round is None:
            return index * self._stretch
        rounds, index = divmod(index, self._per_round)
        return rounds * self._round + index * self._stretch

    def _first_stretch(self, after: float) -> int:
        """The first one that begins later than `after` seconds, and in time for being drawn unless it is kept."""
        fps = self._reel.film.fps
        pictures = int(after * fps)
        earlier = pictures // self._stretch if self._round is None else pictures // self._round * self._per_round
        for index in count(earlier):
            begin = self._begin(index)
            kept = self._round is not None and begin % self._round in self._reel.stretches
            if begin / fps >= after + (0 if kept else LEAD_S):
                return index
        raise AssertionError("stretches never end")
