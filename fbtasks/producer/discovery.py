"""Finding ONVIF cameras on the network, and asking them for their streams.

WSDiscovery makes and reads the messages of the search; the socket is ours, for the search has to leave by an interface
that can be chosen. onvif-zeep-async talks to the cameras. Both come with the extra `onvif`.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

from fbtasks.errors import CameraError, ConfigError

MULTICAST = "239.255.255.250"
PORT = 3702
DATAGRAM = 65_535
HOPS = 1
REPEAT_S = 0.5
"""UDP loses datagrams: the question is asked twice, as SOAP-over-UDP says."""
ASK_WITHIN_S = 15.0
_SCOPE = re.compile(r"^onvif://www\.onvif\.org/(name|hardware|location)/(.+)$")


@dataclass(frozen=True)
class Device:
    """A device that answered the search.

    Attributes:
        host: its address.
        service: URL of its device service.
        name: what it calls itself: name and hardware; empty when it does not say.
    """

    host: str
    service: str
    name: str = ""


@dataclass(frozen=True)
class StreamUrl:
    """One of a camera's streams.

    Attributes:
        profile: the camera's name for it.
        url: RTSP, without user and password.
        codec: as the camera names it, such as H264.
        width, height: pixels; 0 where it does not say.
        fps: frames per second at most; 0 where it does not say.
    """

    profile: str
    url: str
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0


def need_onvif() -> None:
    """Raise `ConfigError` without the packages that speak ONVIF."""
    if find_spec("onvif") is None or find_spec("wsdiscovery") is None:
        raise ConfigError("looking for cameras needs ONVIF: pip install 'fbtasks[onvif]'")


def search(seconds: float, interface: str | None = None, host: str | None = None, port: int = PORT) -> list[Device]:
    """The devices that answer within so many seconds, in order of their address.

    Args:
        interface: address of the network card to search by; default: as the system likes.
        host: ask this address alone, where multicast does not get through.

    Raises:
        CameraError: the network does not take the question.
    """
    from wsdiscovery import QName  # noqa: PLC0415 - an extra
    from wsdiscovery.actions import constructProbe  # noqa: PLC0415
    from wsdiscovery.message import createSOAPMessage  # noqa: PLC0415

    kind = QName("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter", "dn")
    question = constructProbe([kind], [])
    message = createSOAPMessage(question).encode()
    found: dict[str, Device] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
            if interface is not None:
                asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            for answer in _answers(asker, message, (host or MULTICAST, port), seconds):
                found |= {device.service: device for device in devices(answer, question.getMessageId())}
        except OSError as error:
            raise CameraError(f"the search cannot be sent: {error.strerror or error}; see --interface") from None
    return sorted(found.values(), key=lambda device: (device.host, device.service))


def _answers(asker: socket.socket, message: bytes, address: tuple[str, int], seconds: float) -> Iterable[bytes]:
    began = monotonic()
    asked = 0
    while (passed := monotonic() - began) < seconds:
        if asked < 2 and passed >= asked * REPEAT_S:
            asker.sendto(message, address)
            asked += 1
        asker.settimeout(max(0.01, min(seconds - passed, REPEAT_S)))
        with suppress(TimeoutError, ConnectionRefusedError):
            yield asker.recv(DATAGRAM)


def devices(answer: bytes, question_id: str) -> list[Device]:
    """What an answer to the question of that id names; none of one that is damaged, or answers another."""
    from wsdiscovery.message import parseSOAPMessage  # noqa: PLC0415 - an extra

    if b"<!DOCTYPE" in answer:  # no SOAP has one; in it grow XML's bombs
        return []
    try:
        envelope = parseSOAPMessage(answer, "")
        if envelope is None or envelope.getRelatesTo() != question_id:
            return []
        return [device for match in envelope.getProbeResolveMatches() if (device := _device(match)) is not None]
    except (AttributeError, IndexError, ValueError):
        return []


def _device(match: Any) -> Device | None:
    services = [
        url for url in match.getXAddrs() if urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname
    ]
    if not services:
        return None
    # Of several addresses the first is as good as any; link-local ones lead nowhere.
    service = next((url for url in services if not str(urlsplit(url).hostname).startswith("169.254.")), services[0])
    scopes = [_SCOPE.match(str(scope.getValue())) for scope in match.getScopes()]
    told = {matched[1]: unquote(matched[2]) for matched in scopes if matched is not None}
    name = " ".join(dict.fromkeys(told[kind] for kind in ("name", "hardware") if kind in told))
    return Device(str(urlsplit(service).hostname), service, "".join(filter(str.isprintable, name)))


def streams(device: Device, user: str | None, password: str | None) -> list[StreamUrl]:
    """The streams that a camera offers.

    Raises:
        CameraError: it refuses, or does not answer as ONVIF wants it.
    """
    logging.getLogger("onvif").setLevel(logging.CRITICAL)
    return asyncio.run(_within(device, user, password))


async def _within(device: Device, user: str | None, password: str | None) -> list[StreamUrl]:
    from aiohttp import ClientError  # noqa: PLC0415 - an extra
    from onvif.exceptions import ONVIFError  # noqa: PLC0415
    from zeep.exceptions import Error as ZeepError  # noqa: PLC0415

    try:
        async with asyncio.timeout(ASK_WITHIN_S):
            return await _streams(device, user, password)
    except TimeoutError:
        raise CameraError(f"{device.host}: no answer within {ASK_WITHIN_S:.0f} s") from None
    except (ONVIFError, ZeepError) as error:
        raise CameraError(f"{device.host}: {_reason(error, user)}") from None
    except (ClientError, OSError, ValueError) as error:
        raise CameraError(f"{device.host}: does not answer as a camera would ({type(error).__name__})") from None


def _reason(error: Exception, user: str | None) -> str:
    """In a few words; what the library says may hold whole documents."""
    text = str(error)
    if re.search(r"auth|401|403|not ?permitted", text, re.IGNORECASE):
        return "user or password refused" if user else "wants a user and password, see --user"
    return "refuses: " + " ".join(text.split())[:120]


async def _streams(device: Device, user: str | None, password: str | None) -> list[StreamUrl]:
    from onvif import ONVIFCamera  # noqa: PLC0415 - an extra

    parts = urlsplit(device.service)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = f"https://{parts.hostname}" if parts.scheme == "https" else str(parts.hostname)
    # The clock of a camera is often wrong, and the password is sent with its time.
    camera = ONVIFCamera(address, port, user or "", password or "", adjust_time=True)
    try:
        await camera.update_xaddrs()
        media = await camera.create_media_service()
        wanted = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        found = []
        for profile in await media.GetProfiles():
            answer = await media.GetStreamUri({"StreamSetup": wanted, "ProfileToken": profile.token})
            found.append(_stream(profile, str(answer.Uri)))
        return found
    finally:
        await camera.close()


def _stream(profile: Any, url: str) -> StreamUrl:
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    video = getattr(profile, "VideoEncoderConfiguration", None)
    size, rate = getattr(video, "Resolution", None), getattr(video, "RateControl", None)
    return StreamUrl(
        profile=str(profile.Name or profile.token),
        url=bare,
        codec=str(getattr(video, "Encoding", None) or ""),
        width=int(getattr(size, "Width", 0) or 0),
        height=int(getattr(size, "Height", 0) or 0),
        fps=float(getattr(rate, "FrameRateLimit", 0) or 0),
    )
