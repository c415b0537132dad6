"""A camera that many clients watch: every picture goes out when it is due, to all of them, through its faults."""

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from time import time
from typing import Protocol, TypeVar

from fbtasks.sim import rtp
from fbtasks.sim.access import Password
from fbtasks.sim.faults import (
    LASTING,
    Clear,
    Corrupt,
    Disconnect,
    Drop,
    Fault,
    Freeze,
    Jump,
    Lasting,
    Mute,
    Protect,
    Refuse,
    Reshape,
    Slow,
    Stall,
    damaged,
)
from fbtasks.sim.rtp import CLOCK_HZ, Description, Unit
from fbtasks.sim.source import Source

log = logging.getLogger(__name__)

REPORT_S = 5.0
"""Between sender reports (RFC 3550, 6.2)."""
LATE_S = 2.0
"""A picture that is later is left out, with all up to the next key frame: the process was stopped or starved."""
SLOW_BACKLOG_S = 2.0
"""A slow link holds so much; then pictures are left out up to the next key frame."""

L = TypeVar("L", Stall, Mute, Freeze, Drop, Corrupt, Slow, Refuse)


class Packets:
    """What goes out at one time, framed for an RTSP connection at most once for each channel number."""

    def __init__(self, packets: Sequence[bytes]) -> None:
        self.datagrams = packets
        self._framed: dict[int, bytes] = {}

    def interleaved(self, channel: int) -> bytes:
        """As within an RTSP connection (RFC 2326, 10.12)."""
        if channel not in self._framed:
            parts = []
            for packet in self.datagrams:
                parts += [b"$", channel.to_bytes(1, "big"), len(packet).to_bytes(2, "big"), packet]
            self._framed[channel] = b"".join(parts)
        return self._framed[channel]


class Viewer(Protocol):
    """Where a client gets its pictures. Nothing here waits: who cannot take them is closed."""

    def send_media(self, packets: Packets) -> None: ...

    def send_report(self, packets: Packets) -> None: ...

    def close(self) -> None: ...


class Camera:
    """One camera. Its clock runs whether anybody watches or not; its pictures are made only for somebody.

    A viewer gets pictures from the next key frame on, at the same time as all others.

    Attributes:
        name: by which it is asked for.
        password: what a client must know, None for everybody.
        failed: is given the error with which the source ends, if it does.
        began_at: when its clock began, unix seconds.
    """

    def __init__(self, name: str, source: Source, failed: "asyncio.Future[None]") -> None:
        self.name = name
        self._failed = failed
        self.password: Password | None = None
        self._source = source
        self._clock = asyncio.get_running_loop().time
        self._began, self.began_at = self._clock(), time()
        self._viewers: dict[Viewer, bool] = {}
        """Whether it has had a key frame yet."""
        self._playing: asyncio.Task[None] | None = None
        self._faults: dict[type[Lasting], Lasting] = {}
        self._ssrc, self._sequence = random.getrandbits(32), random.getrandbits(16)
        self._stamp_offset = random.getrandbits(32)
        self._packets_sent = self._octets_sent = 0
        self._next_report = 0.0
        self._link_free, self._congested = 0.0, False
        self._still: Unit | None = None

    @property
    def description(self) -> Description:
        """Of the stream as it is at present."""
        return self._source.description

    def fault(self, kind: type[L]) -> L | None:
        """The lasting fault of that kind, if the camera has it."""
        fault = self._faults.get(kind)
        return fault if isinstance(fault, kind) else None

    async def set_fault(self, fault: Fault) -> None:
        """Let it happen; a lasting fault takes the place of the last one of its kind.

        Raises:
            ConfigError: this camera cannot have it.
        """
        match fault:
            case Clear(which=None):
                self._faults.clear()
            case Clear(which=str(which)):
                self._faults.pop(LASTING[which], None)
            case Disconnect():
                self.disconnect()
            case Jump(seconds=seconds):
                self._stamp_offset += round(seconds * CLOCK_HZ)
            case Protect(password=password):
                self.password = password
            case Reshape(size=size, codec=codec):
                await self._reshape(size, codec)
            case Stall() | Mute() | Freeze() | Drop() | Corrupt() | Slow() | Refuse():
                self._faults[type(fault)] = fault

    def join(self, viewer: Viewer) -> None:
        """Send it everything from the next key frame on."""
        self._viewers.setdefault(viewer, False)
        if self._playing is None:
            self._playing = asyncio.create_task(self._play(), name=f"camera {self.name}")
            self._playing.add_done_callback(self._tell_failure)

    def leave(self, viewer: Viewer) -> None:
        """Send it nothing more."""
        self._viewers.pop(viewer, None)
        if not self._viewers and self._playing is not None:
            self._playing.cancel()
            self._playing = None

    def disconnect(self) -> None:
        """Close the connections of all viewers."""
        for viewer in list(self._viewers):
            viewer.close()

    async def _reshape(self, size: tuple[int, int] | None, codec: rtp.Codec | None) -> None:
        before = self.description.codec
        await self._source.reshape(size=size, codec=codec)
        if self.description.codec is not before:
            self.disconnect()

    async def _play(self) -> None:
        while True:
            async with aclosing(self._source.units(self._clock() - self._began)) as units:
                async for unit in units:
                    late = self._clock() - self._began - unit.due / CLOCK_HZ
                    if late > LATE_S:
                        log.warning("camera %s is %.1f s late and goes on with the present", self.name, late)
                        break
                    if late < 0:
                        await asyncio.sleep(-late)
                    self._send(unit)

    def _tell_failure(self, playing: "asyncio.Task[None]") -> None:
        if not playing.cancelled() and (error := playing.exception()) and not self._failed.done():
            self._failed.set_exception(error)

    def _send(self, unit: Unit) -> None:
        unit = self._frozen(unit)
        timestamp = unit.shown + self._stamp_offset
        packets = rtp.packets(unit.payloads, timestamp, self._sequence, self._ssrc)
        # Counted whatever becomes of them: what is lost is lost behind the camera.
        self._sequence += len(packets)
        self._packets_sent += len(packets)
        self._octets_sent += unit.size()
        now = self._clock()
        if self.fault(Stall) or self.fault(Mute) or not self._link_takes(unit, now):
            return
        arriving = Packets(damaged(packets, self.fault(Drop), self.fault(Corrupt)))
        report = self._report(unit, timestamp, now) if now >= self._next_report else None
        if self._link_free > now:
            asyncio.get_running_loop().call_at(self._link_free, self._deliver, arriving, report, unit.key)
        else:
            self._deliver(arriving, report, unit.key)

    def _frozen(self, unit: Unit) -> Unit:
        """The picture, or in its place the one at which the camera froze."""
        if self.fault(Freeze) is None:
            self._still = None
        elif self._still is None and unit.key:
            self._still = unit
        return unit if self._still is None else replace(self._still, due=unit.due, shown=unit.shown)

    def _link_takes(self, unit: Unit, now: float) -> bool:
        """Whether the link has room for the picture; puts it on the link."""
        slow = self.fault(Slow)
        free = max(self._link_free, now)
        if slow is None:
            self._congested = False
        elif free - now > SLOW_BACKLOG_S:
            self._congested = True
        elif unit.key:
            self._congested = False
        if not self._congested:
            self._link_free = free + (unit.size() / 125 / slow.kbit_s if slow else 0.0)
        return not self._congested

    def _report(self, unit: Unit, timestamp: int, now: float) -> Packets:
        self._next_report = now + REPORT_S
        at = self.began_at + unit.shown / CLOCK_HZ
        return Packets([rtp.sender_report(self._ssrc, timestamp, at, self._packets_sent, self._octets_sent)])

    def _deliver(self, packets: Packets, report: Packets | None, key: bool) -> None:
        for viewer, begun in list(self._viewers.items()):
            if not begun and not key:
                continue
            self._viewers[viewer] = True
            if report is not None:
                viewer.send_report(report)
            viewer.send_media(packets)
