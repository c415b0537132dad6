"""H.264 in RTP (RFC 6184), and the packets of a file in that form."""

import struct
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext

from fbtasks.errors import ConfigError

CLOCK_HZ = 90_000
PAYLOAD_TYPE = 96
MAX_PAYLOAD = 1400
"""Bytes; fits an Ethernet frame, as cameras send it."""
_START_CODE = b"\x00\x00\x01"
_SPS, _PPS, _FRAGMENT = 7, 8, 28


@dataclass(frozen=True, slots=True)
class Unit:
    """One picture: when it is due, in ticks of `CLOCK_HZ` from the start, and its NAL units."""

    due: int
    nals: list[bytes]


@dataclass(frozen=True, slots=True)
class Track:
    """A clip ready to be sent again and again.

    Attributes:
        units: in the order of decoding, which is that of showing.
        length: of one round, in ticks of `CLOCK_HZ`.
        sps, pps: the decoder's parameters.
    """

    units: list[Unit]
    length: int
    sps: bytes
    pps: bytes

    def sdp(self) -> str:
        """The session's description (RFC 8866)."""
        sets = ",".join(b64encode(part).decode() for part in (self.sps, self.pps))
        profile = self.sps[1:4].hex()
        lines = [
            *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=fbtasks drawn stable", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"),
            *(f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", f"a=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK_HZ}"),
            f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sets}",
            "a=control:video",
        ]
        return "\r\n".join(lines) + "\r\n"


def load(path: Path) -> Track:
    """Read a whole file of H.264 without B-frames.

    Raises:
        ConfigError: it holds no such video.
    """
    units = []
    with av.open(str(path)) as container:
        video = container.streams.video[0] if container.streams.video else None
        if video is None or video.codec_context.name != "h264" or video.time_base is None:
            raise ConfigError(f"{path} holds no H.264 video")
        ticks = CLOCK_HZ * video.time_base
        annex_b = BitStreamFilterContext("h264_mp4toannexb", video)
        for packet in container.demux(video):
            for plain in annex_b.filter(packet) if packet.size else []:
                if plain.pts is None or plain.pts != plain.dts:
                    raise ConfigError(f"{path} has B-frames; encode it without")
                units.append(Unit(round(plain.pts * ticks), nal_units(bytes(plain))))
        length = round((video.duration or 0) * ticks)
    sets = {nal[0] & 31: nal for unit in units[:1] for nal in unit.nals}
    if length <= 0 or not {_SPS, _PPS} <= sets.keys():
        raise ConfigError(f"{path} does not begin with a key frame, or does not say how long it is")
    return Track(units, length, sets[_SPS], sets[_PPS])


def nal_units(stream: bytes) -> list[bytes]:
    """The NAL units of a byte stream (ITU-T H.264, annex B), without start codes."""
    return [part.rstrip(b"\x00") for part in stream.split(_START_CODE)[1:]]


def packets(unit: Unit, timestamp: int, sequence: int, source: int) -> Iterator[bytes]:
    """The RTP packets of one picture, numbered from `sequence`; the last one bears the marker."""
    payloads = [payload for nal in unit.nals for payload in _payloads(nal)]
    for number, payload in enumerate(payloads):
        marker = 0x80 if number == len(payloads) - 1 else 0
        order, stamp = (sequence + number) & 0xFFFF, timestamp & 0xFFFFFFFF
        yield struct.pack("!BBHII", 0x80, marker | PAYLOAD_TYPE, order, stamp, source) + payload


def _payloads(nal: bytes) -> Iterator[bytes]:
    """The NAL unit itself, or its fragments (RFC 6184, 5.8) when it is too large for one packet."""
    if len(nal) <= MAX_PAYLOAD:
        yield nal
        return
    indicator, kind, body = nal[0] & 0xE0 | _FRAGMENT, nal[0] & 31, nal[1:]
    step = MAX_PAYLOAD - 2
    for start in range(0, len(body), step):
        first, last = start == 0, start + step >= len(body)
        yield bytes([indicator, first << 7 | last << 6 | kind]) + body[start : start + step]
