"""Cameras on loopback as real ones are: an RTSP server (RFC 2326) for any number of them, on one port.

`rtsp://127.0.0.1:<port>/<camera>`, H.264 or H.265 in RTP, within the RTSP connection (interleaved) or in UDP. A session
belongs to its connection and ends with it, or when nothing has been heard of the client for the session's time. What a
camera suffers (`faults.py`) is asked for with `set_fault`, or from outside with `SET_PARAMETER`, which no fault and no
password stands before.

Own code, because faults have to be put into every layer of it. `aio-rtsp-toolkit` serves files too, but sent one
picture in 250 twice (a time-out races with the hand over from its reading thread; seen with numbered pictures).
"""

import asyncio
import logging
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fbtasks.errors import ConfigError, FbtasksError
from fbtasks.naming import nearest
from fbtasks.sim.camera import Camera, Packets
from fbtasks.sim.faults import Fault, Mute, Refuse, parse
from fbtasks.sim.source import Source

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
SESSION_S = 60.0
BACKLOG_BYTES = 2_000_000
"""So much may wait for a client beside what the kernel holds; one that reads too slowly for that is dropped."""
UDP_ATTEMPTS = 100
"""Each with another port: the one above it may be taken."""
MAX_BODY = 4096
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
_CHANNELS = re.compile(r"interleaved=(\d+)-(\d+)")
_CLIENT_PORTS = re.compile(r"client_port=(\d+)-(\d+)")
_NO_RTSP = (ValueError, asyncio.LimitOverrunError)
"""What reading a request raises when it is none."""
_GONE = (ConnectionError, asyncio.IncompleteReadError, TimeoutError)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: str

    @property
    def camera(self) -> str:
        """`box-1` of `rtsp://127.0.0.1:8554/box-1/video`."""
        return urlsplit(self.url).path.strip("/").partition("/")[0]


@dataclass(frozen=True, slots=True)
class _Response:
    status: str
    headers: Mapping[str, str]
    body: str = ""

    def encoded(self, request: _Request, session: str | None) -> bytes:
        headers = {"CSeq": request.headers.get("cseq", "0"), **self.headers}
        if session is not None:
            headers["Session"] = session
        body = self.body.encode()
        lines = [f"RTSP/1.0 {self.status}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _status(status: str) -> _Response:
    return _Response(status, {})


_NOT_NOW = _status("455 Method Not Valid in This State")


class Interleaved:
    """A viewer within its RTSP connection."""

    def __init__(self, connection: "_Connection", channels: tuple[int, int]) -> None:
        self._connection = connection
        self._media, self._reports = channels

    def send_media(self, packets: Packets) -> None:
        self._connection.write(packets.interleaved(self._media))

    def send_report(self, packets: Packets) -> None:
        self._connection.write(packets.interleaved(self._reports))

    def close(self) -> None:
        self._connection.abort()


class Datagrams:
    """A viewer that gets its pictures in UDP."""

    def __init__(
        self, connection: "_Connection", ports: "_UdpPorts", client: str, client_ports: tuple[int, int]
    ) -> None:
        self._connection = connection
        self._ports = ports
        self._media, self._reports = (client, client_ports[0]), (client, client_ports[1])

    def send_media(self, packets: Packets) -> None:
        self._ports.media.send(packets, self._media)

    def send_report(self, packets: Packets) -> None:
        self._ports.reports.send(packets, self._reports)

    def close(self) -> None:
        self._connection.abort()


class _UdpPort(asyncio.DatagramProtocol):
    """One of the server's UDP ports; what comes in is only told to whom it may concern."""

    def __init__(self) -> None:
        self.listeners: dict[tuple[str, int], Callable[[], None]] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (heard := self.listeners.get(addr)) is not None:
            heard()

    def send(self, packets: Packets, to: tuple[str, int]) -> None:
        for packet in packets.datagrams:
            self.transport.sendto(packet, to)


@dataclass(frozen=True, slots=True)
class _UdpPorts:
    """For RTP and, one above, for RTCP; of all cameras and clients."""

    media: _UdpPort
    reports: _UdpPort
    first: int

    @classmethod
    async def open(cls) -> "_UdpPorts":
        for _ in range(UDP_ATTEMPTS):
            with suppress(OSError):
                return await cls._open(_free_even_port())
        raise FbtasksError("no two UDP ports in a row are free on this machine: end what holds so many")

    @classmethod
    async def _open(cls, first: int) -> "_UdpPorts":
        loop = asyncio.get_running_loop()
        _, media = await loop.create_datagram_endpoint(_UdpPort, local_addr=(LOOPBACK, first))
        try:
            _, reports = await loop.create_datagram_endpoint(_UdpPort, local_addr=(LOOPBACK, first + 1))
        except OSError:
            media.transport.close()
            raise
        return cls(media, reports, first)

    def close(self) -> None:
        self.media.transport.close()
        self.reports.transport.close()


def _free_even_port() -> int:
    """RTP's port is even (RFC 3550, 11)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1]) & ~1


class RtspServer:
    """Serves every source as the camera of that name. To be made in a running event loop.

    Args:
        sources: by the camera's name.
        session_s: after how much silence a client is taken for gone.
    """

    def __init__(self, sources: Mapping[str, Source], *, session_s: float = SESSION_S) -> None:
        self.session_s = session_s
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cameras = {name: Camera(name, source, self._failed) for name, source in sources.items()}
        self._connections: dict[_Connection, asyncio.Task[Any]] = {}
        self._port = 0

    @property
    def port(self) -> int:
        """On which it listens."""
        return self._port

    def url(self, camera: str) -> str:
        """Where to watch a camera that asks for no password."""
        return f"rtsp://{LOOPBACK}:{self._port}/{camera}"

    async def run(self, port: int, stop: asyncio.Event, ready: Callable[[], object] = lambda: None) -> None:
        """Serve until `stop`, then close all connections; `ready` is called as soon as clients can connect.

        Raises:
            ConfigError: the port is taken.
            FbtasksError: a source cannot go on, or there are no UDP ports.
        """
        self.udp = await _UdpPorts.open()
        try:
            await self._listen(port, stop, ready)
        finally:
            self.udp.close()

    async def _listen(self, port: int, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        try:
            server = await asyncio.start_server(self._connected, LOOPBACK, port)
        except OSError as error:
            raise ConfigError(f"port {port} cannot be listened on: {error.strerror}; choose another") from None
        self._port = server.sockets[0].getsockname()[1]
        try:
            ready()
            await _first(stop, self._failed)
        finally:
            server.close()
            for connection in list(self._connections):
                connection.abort()
            await asyncio.gather(*self._connections.values())

    async def set_fault(self, camera: str, fault: Fault) -> None:
        """Let it happen to the camera.

        Raises:
            ConfigError: there is no such camera, or it cannot have that fault.
        """
        if camera not in self.cameras:
            raise ConfigError(f"there is no camera {camera!r}{nearest(camera, self.cameras)}")
        await self.cameras[camera].set_fault(fault)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.serve()
        finally:
            del self._connections[connection]


async def _first(stop: asyncio.Event, failed: "asyncio.Future[None]") -> None:
    """Wait for either; raises what has failed."""
    stopped = asyncio.create_task(stop.wait())
    either: list[asyncio.Future[Any]] = [stopped, failed]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if failed.done():
        failed.result()


class _Connection:
    """One client: its requests, and what it watches."""

    def __init__(self, server: RtspServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._nonce = secrets.token_hex(16)
        self._session: str | None = None
        self._camera: Camera | None = None
        self._viewer: Interleaved | Datagrams | None = None
        self._reports_from: tuple[str, int] | None = None
        self._silence: asyncio.Timeout | None = None
        self._answers: dict[str, Callable[[_Request, Camera], _Response]] = {
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "PAUSE": self._pause,
            "TEARDOWN": self._teardown,
        }

    async def serve(self) -> None:
        """Answer requests until the client goes away, falls silent or talks no RTSP."""
        try:
            async with asyncio.timeout(self._server.session_s) as self._silence:
                while (request := await self._next_request()) is not None:
                    await self._handle(request)
        except (*_GONE, *_NO_RTSP):
            pass  # with which the connection ends
        finally:
            self._end_session()
            self._writer.close()

    def write(self, data: bytes) -> None:
        """Send without waiting; a client that leaves too much unread is dropped."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > BACKLOG_BYTES:
            log.warning("a client of camera %s reads too slowly and is dropped", self._camera and self._camera.name)
            self.abort()
            return
        self._writer.write(data)

    def abort(self) -> None:
        """End the connection at once, whatever is still to be sent."""
        self._end_session()
        self._writer.transport.abort()

    def _heard(self) -> None:
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(asyncio.get_running_loop().time() + self._server.session_s)

    async def _next_request(self) -> _Request | None:
        """The next request, None after the last; the receiver's reports between are skipped."""
        first = await self._reader.readexactly(1)
        while first == b"$":
            channel_and_size = await self._reader.readexactly(3)
            await self._reader.readexactly(int.from_bytes(channel_and_size[1:], "big"))
            self._heard()
            first = await self._reader.readexactly(1)
        text = (first + await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = text.rstrip().split("\r\n")
        method, _, rest = start.partition(" ")
        url, _, version = rest.partition(" ")
        size = 0
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", "0"))
        if not version.startswith("RTSP/") or not 0 <= size <= MAX_BODY:
            return None
        body = (await self._reader.readexactly(size)).decode("latin-1")
        self._heard()
        return _Request(method, url, headers, body)

    async def _handle(self, request: _Request) -> None:
        camera = self._server.cameras.get(request.camera)
        if request.method == "SET_PARAMETER":
            self._answer(request, await self._set_parameter(request))
        elif camera is not None and camera.fault(Mute):
            pass
        elif camera is not None and camera.fault(Refuse) == Refuse("closed"):
            self.abort()
        else:
            self._answer(request, self._response(request, camera))
            if request.method == "TEARDOWN":
                self._end_session()

    def _answer(self, request: _Request, response: _Response) -> None:
        session = None if self._session is None else f"{self._session};timeout={round(self._server.session_s)}"
        self.write(response.encoded(request, session))
        if request.method == "PLAY" and response.status.startswith("200") and self._camera and self._viewer:
            self._camera.join(self._viewer)  # not before its answer is on the way

    async def _set_parameter(self, request: _Request) -> _Response:
        try:
            for line in filter(None, map(str.strip, request.body.splitlines())):
                await self._server.set_fault(request.camera, parse(line))
        except ConfigError as error:
            return _Response("451 Parameter Not Understood", {"Content-Type": "text/plain"}, str(error))
        return _status("200 OK")

    def _response(self, request: _Request, camera: Camera | None) -> _Response:
        answer = self._answers.get(request.method)
        if request.method in ("OPTIONS", "GET_PARAMETER"):
            return _Response("200 OK", {"Public": METHODS})
        if answer is None:
            return _status("501 Not Implemented")
        if camera is None or camera.fault(Refuse) == Refuse("404"):
            return _status("404 Not Found")
        if not self._is_admitted(request, camera):
            challenge = camera.password.challenge(self._nonce) if camera.password else 'Basic realm="closed"'
            return _Response("401 Unauthorized", {"WWW-Authenticate": challenge})
        if request.headers.get("session", "").partition(";")[0] not in ("", self._session):
            return _status("454 Session Not Found")
        return answer(request, camera)

    def _is_admitted(self, request: _Request, camera: Camera) -> bool:
        if camera.fault(Refuse):
            return False
        authorization = request.headers.get("authorization", "")
        return camera.password is None or camera.password.admits(authorization, request.method, self._nonce)

    def _describe(self, request: _Request, camera: Camera) -> _Response:
        headers = {"Content-Type": "application/sdp", "Content-Base": f"{request.url.rstrip('/')}/"}
        return _Response("200 OK", headers, camera.description.sdp())

    def _setup(self, request: _Request, camera: Camera) -> _Response:
        if self._viewer is not None:
            return _status("459 Aggregate Operation Not Allowed")
        for wanted in request.headers.get("transport", "").split(","):
            if (transport := self._transport(wanted.strip())) is not None:
                self._camera, self._session = camera, secrets.token_hex(8)
                return _Response("200 OK", {"Transport": transport})
        return _status("461 Unsupported Transport")

    def _transport(self, wanted: str) -> str | None:
        """Prepare what the client asks for; the transport as it will be, None when it cannot be."""
        profile, _, _ = wanted.partition(";")
        if profile == "RTP/AVP/TCP":
            match = _CHANNELS.search(wanted)
            media, reports = (int(match[1]), int(match[2])) if match else (0, 1)
            if max(media, reports) > 255:
                return None
            self._viewer = Interleaved(self, (media, reports))
            return f"{profile};unicast;interleaved={media}-{reports}"
        match = _CLIENT_PORTS.search(wanted)
        if profile not in ("RTP/AVP", "RTP/AVP/UDP") or "multicast" in wanted or match is None:
            return None
        ports = int(match[1]), int(match[2])
        if not all(0 < port <= 65_535 for port in ports):
            return None
        client = self._writer.get_extra_info("peername")[0]
        self._viewer = Datagrams(self, self._server.udp, client, ports)
        self._reports_from = (client, ports[1])
        self._server.udp.reports.listeners[self._reports_from] = self._heard
        first = self._server.udp.first
        return f"{profile};unicast;client_port={ports[0]}-{ports[1]};server_port={first}-{first + 1}"

    def _play(self, request: _Request, camera: Camera) -> _Response:
        return _Response("200 OK", {"Range": "npt=now-"}) if self._watches(camera) else _NOT_NOW

    def _pause(self, request: _Request, camera: Camera) -> _Response:
        if not self._watches(camera) or self._viewer is None:
            return _NOT_NOW
        camera.leave(self._viewer)
        return _status("200 OK")

    def _teardown(self, request: _Request, camera: Camera) -> _Response:
        return _status("200 OK") if self._watches(camera) else _NOT_NOW

    def _watches(self, camera: Camera) -> bool:
        return self._viewer is not None and self._camera is camera

    def _end_session(self) -> None:
        if self._camera is not None and self._viewer is not None:
            self._camera.leave(self._viewer)
        if self._reports_from is not None:
            self._server.udp.reports.listeners.pop(self._reports_from, None)
        self._session = self._camera = self._viewer = self._reports_from = None
