"""What goes wrong with a simulated camera, on command.

A command is a line of words: in `fbtasks sim fault URL COMMAND`, or in the body of an RTSP request `SET_PARAMETER` for
the camera, where a colon may stand after the first word (RFC 2326, 10.9). `RtspServer.set_fault` takes them as values.

    stall                       sends no pictures, answers requests
    mute                        takes connections and requests, answers nothing, sends nothing
    freeze                      sends one and the same picture, again and again
    drop SHARE                  so many of the packets are lost, 0 to 1
    corrupt SHARE               so many of the packets have a few wrong bytes
    slow KBIT_S                 a link of so many kilobits a second; after two seconds of backlog pictures are left out
    refuse closed|401|404       every request ends the connection, or is answered so
    clear [WHICH]               ends that fault, or all above
    disconnect                  closes the connections that are open now
    jump SECONDS                time stamps go on so much later, or earlier if negative
    size WIDTHxHEIGHT           pictures of another size, in the same stream; not of a file
    codec h264|h265             another codec, for which the connections are closed; not of a file
    password basic|digest USER PASSWORD     from now on; `password none` asks for none
"""

import random
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal
from urllib.parse import urlsplit

from fbtasks.errors import ConfigError
from fbtasks.sim.access import Password
from fbtasks.sim.rtp import CODECS, HEADER_SIZE, Codec

_WRONG_BYTES = 3
"""In each packet that is corrupted."""
_SIZE = re.compile(r"(\d+)x(\d+)")


@dataclass(frozen=True, slots=True)
class Stall:
    """Sends no pictures, answers requests."""


@dataclass(frozen=True, slots=True)
class Mute:
    """Answers nothing and sends nothing."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Sends one picture, its next key frame, again and again."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Loses a share of its packets."""

    share: float


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Damages a share of its packets."""

    share: float


@dataclass(frozen=True, slots=True)
class Slow:
    """Hangs on a thin link."""

    kbit_s: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """Does not want to be watched."""

    how: Literal["closed", "401", "404"]


@dataclass(frozen=True, slots=True)
class Clear:
    """Ends a lasting fault, by its name, or all."""

    which: str | None = None


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Closes the connections that are open now."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Time stamps go on elsewhere."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reshape:
    """Pictures of another size (width, height), or in another codec."""

    size: tuple[int, int] | None = None
    codec: Codec | None = None


@dataclass(frozen=True, slots=True)
class Protect:
    """Asks for a password from now on, or for none."""

    password: Password | None


Lasting = Stall | Mute | Freeze | Drop | Corrupt | Slow | Refuse
Fault = Lasting | Clear | Disconnect | Jump | Reshape | Protect

LASTING: dict[str, type[Lasting]] = {
    kind.__name__.lower(): kind for kind in (Stall, Mute, Freeze, Drop, Corrupt, Slow, Refuse)
}


def damaged(packets: Sequence[bytes], drop: Drop | None, corrupt: Corrupt | None) -> list[bytes]:
    """What arrives of RTP packets."""
    arrived = [packet for packet in packets if drop is None or random.random() >= drop.share]
    if corrupt is None:
        return arrived
    return [_with_wrong_bytes(packet) if random.random() < corrupt.share else packet for packet in arrived]


def _with_wrong_bytes(packet: bytes) -> bytes:
    """The header is spared: a packet with a wrong number would only be lost."""
    wrong = bytearray(packet)
    for _ in range(_WRONG_BYTES):
        wrong[random.randrange(HEADER_SIZE, len(wrong))] ^= random.randrange(1, 256)
    return bytes(wrong)


def parse(command: str) -> Fault:
    """The fault that a command asks for; see the top of this module.

    Raises:
        ConfigError: there is no such command, or its words are wrong.
    """
    name, *words = command.split() or [""]
    make = _COMMANDS.get(name.rstrip(":"))
    if make is None:
        raise ConfigError(f"no fault {name!r}; there are: {', '.join(_COMMANDS)}")
    try:
        return make(*words)
    except (TypeError, ValueError, KeyError):
        raise ConfigError(f"{command!r} is not understood; see `fbtasks sim fault --help`") from None


def parse_size(word: str) -> tuple[int, int]:
    """Width and height of `640x360`.

    Raises:
        ValueError: it is none that can be encoded.
    """
    match = _SIZE.fullmatch(word)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(64 <= side <= 4096 and side % 2 == 0 for side in size):
        raise ValueError("write an even width and height between 64 and 4096, as 640x360")
    return size


def _number(word: str) -> float:
    number = float(word)
    if not isfinite(number):
        raise ValueError(word)
    return number


def _share(word: str) -> float:
    share = _number(word)
    if not 0 <= share <= 1:
        raise ValueError(word)
    return share


def _positive(word: str) -> float:
    number = _number(word)
    if not number > 0:
        raise ValueError(word)
    return number


def _refuse(how: Literal["closed", "401", "404"]) -> Refuse:
    if how not in ("closed", "401", "404"):
        raise ValueError(how)
    return Refuse(how)


def _clear(which: str | None = None) -> Clear:
    if which is not None and which not in LASTING:
        raise ValueError(which)
    return Clear(which)


def _size(word: str) -> Reshape:
    return Reshape(size=parse_size(word))


def _password(scheme: Literal["basic", "digest", "none"], user: str = "", password: str = "") -> Protect:
    if scheme == "none":
        return Protect(None)
    if scheme not in ("basic", "digest") or not user or not password:
        raise ValueError(scheme)
    return Protect(Password(scheme, user, password))


_COMMANDS: dict[str, Callable[..., Fault]] = {
    "stall": Stall,
    "mute": Mute,
    "freeze": Freeze,
    "drop": lambda share: Drop(_share(share)),
    "corrupt": lambda share: Corrupt(_share(share)),
    "slow": lambda kbit_s: Slow(_positive(kbit_s)),
    "refuse": _refuse,
    "clear": _clear,
    "disconnect": Disconnect,
    "jump": lambda seconds: Jump(_number(seconds)),
    "size": _size,
    "codec": lambda name: Reshape(codec=CODECS[name]),
    "password": _password,
}


def send(url: str, command: str, timeout_s: float = 60.0) -> None:
    """Tell the server of a camera, in whatever process it is, what happens to the camera.

    Raises:
        ConfigError: nothing answers there, or the command was refused, and why.
    """
    parts, body = urlsplit(url), command.encode()
    head = [f"SET_PARAMETER {url} RTSP/1.0", "CSeq: 1", "Content-Type: text/parameters", f"Content-Length: {len(body)}"]
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 554), timeout_s) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
            with connection.makefile("rb") as answer:
                status, size = answer.readline().decode("latin-1").strip(), 0
                while line := answer.readline().strip():
                    name, _, value = line.partition(b":")
                    size = int(value) if name.lower() == b"content-length" else size
                reason = answer.read(size).decode()
    except TimeoutError:  # another size or codec takes a slow machine its time
        raise ConfigError(f"{url} did not answer within {timeout_s:g} s: is its machine too busy?") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"no simulated camera answers at {url} ({error}): is `fbtasks sim serve` running?") from None
    if not status.startswith("RTSP/1.0 200"):
        raise ConfigError(reason or f"the camera answered {status!r}")
