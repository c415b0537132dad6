"""A client that sees what goes over the wire: answers as they are, packets one by one."""

import socket
import struct
import time
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import urlsplit

from tests.ports import LOOPBACK

MEDIA, REPORTS = 0, 1


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Packet:
    """An RTP packet, and when it came."""

    at: float
    data: bytes

    @property
    def marker(self) -> bool:
        return bool(self.data[1] & 0x80)

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.data[2:4], "big")

    @property
    def timestamp(self) -> int:
        return int.from_bytes(self.data[4:8], "big")

    @property
    def payload(self) -> bytes:
        return self.data[12:]


class RtspClient:
    """One connection to one camera."""

    def __init__(self, url: str, timeout_s: float = 5.0, receive_buffer: int | None = None) -> None:
        self._url = url
        parts = urlsplit(url)
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(timeout_s)
        self._socket.connect((parts.hostname, parts.port))
        self._buffer = b""
        self._numbered = 0
        self._udp: list[socket.socket] = []
        self._timeout_s = timeout_s
        self.last_at = 0.0
        self.headers: dict[str, str] = {}
        """Of every request."""
        self.waiting: list[tuple[int, Packet]] = []
        """Packets that came while an answer was awaited, with their channels."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._socket, *self._udp):
            each.close()

    def request(self, method: str, body: str = "", **headers: str) -> Answer:
        """Send a request and wait for its answer."""
        self._numbered += 1
        lines = [f"{method} {self._url} RTSP/1.0", f"CSeq: {self._numbered}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in {**self.headers, **headers}.items()]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        while self._peek() == b"$":
            self.waiting.append(self._interleaved())
        head, _, rest = self._until(b"\r\n\r\n").decode().partition("\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest.split("\r\n"))
        }
        assert fields["cseq"] == str(self._numbered)
        return Answer(int(head.split()[1]), fields, self._exactly(int(fields["content-length"])).decode())

    def watch(self, *, udp: bool = False) -> "RtspClient":
        """Set up and play."""
        transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
        if udp:
            self._udp = _udp_pair(self._timeout_s)
            first, second = (each.getsockname()[1] for each in self._udp)
            transport = f"RTP/AVP;unicast;client_port={first}-{second}"
        answer = self.request("SETUP", Transport=transport)
        assert answer.status == 200, answer
        self.headers["Session"] = answer.headers["session"].partition(";")[0]
        assert self.request("PLAY").status == 200
        return self

    def packet(self, channel: int = MEDIA) -> Packet:
        """The next packet of that channel.

        Raises:
            TimeoutError: none came.
            ConnectionError: the server has closed the connection.
        """
        if self._udp:
            data = self._udp[channel].recv(65_536)
            return Packet(time.monotonic(), data)
        while True:
            came_on, packet = self.waiting.pop(0) if self.waiting else self._interleaved()
            if came_on == channel:
                return packet

    def read_on(self) -> NoReturn:
        """Read until that fails as `packet` does; `last_at` tells when the last packet came."""
        while True:
            self.last_at = self.packet().at

    def pictures(self, count: int) -> list[list[Packet]]:
        """The packets of the next pictures, from the start of one on."""
        pictures: list[list[Packet]] = [[]]
        while len(pictures) <= count:
            packet = self.packet()
            pictures[-1].append(packet)
            if packet.marker:
                pictures.append([])
        return pictures[:count]

    def _interleaved(self) -> tuple[int, Packet]:
        head = self._exactly(4)
        assert head[:1] == b"$", head
        channel, size = struct.unpack("!BH", head[1:])
        data = self._exactly(size)
        return channel, Packet(time.monotonic(), data)

    def _peek(self) -> bytes:
        self._fill(1)
        return self._buffer[:1]

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._fill(len(self._buffer) + 1)
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        self._fill(size)
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionError("closed by the server")
            self._buffer += data


def _udp_pair(timeout_s: float) -> list[socket.socket]:
    pair = []
    for _ in range(2):
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        each.bind((LOOPBACK, 0))
        each.settimeout(timeout_s)
        pair.append(each)
    return pair
