"""Coded pictures in RTP: H.264 (RFC 6184) and H.265 (RFC 7798), their description in SDP, and sender reports."""

import struct
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

CLOCK_HZ = 90_000
PAYLOAD_TYPE = 96
MAX_PAYLOAD = 1400
"""Bytes; fits an Ethernet frame, as cameras send it."""
HEADER_SIZE = 12
_START_CODE = b"\x00\x00\x01"
_NTP_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP counts from, to 1970."""
_SENDER_REPORT, _SOURCE_DESCRIPTION, _CNAME = 200, 202, 1


@dataclass(frozen=True, slots=True)
class Codec:
    """How one codec's NAL units look, and how they travel.

    Attributes:
        name: as in settings and commands.
        rtp_name: as in SDP.
        to_byte_stream: the bitstream filter that gives them start codes, and every key frame its parameter sets.
        header: size of a NAL unit's header, bytes.
        fragment: type of a fragmentation unit.
        sets: types of the parameter sets, each with its name in SDP.
        keys: types of which a key frame's slices are.
    """

    name: str
    rtp_name: str
    to_byte_stream: str
    header: int
    fragment: int
    sets: dict[int, str]
    keys: range

    def kind(self, nal: bytes) -> int:
        """The type of a NAL unit."""
        return nal[0] & 0x1F if self.header == 1 else nal[0] >> 1 & 0x3F

    def is_key(self, nals: Iterable[bytes]) -> bool:
        """Whether decoding can begin with the picture."""
        return any(self.kind(nal) in self.keys for nal in nals)

    def parameter_sets(self, nals: Iterable[bytes]) -> list[bytes]:
        """What the decoder must know before the first picture: one NAL unit for each of `sets`, or fewer."""
        found = {self.kind(nal): nal for nal in nals}
        return [found[kind] for kind in self.sets if kind in found]

    def payloads(self, nal: bytes) -> Iterator[bytes]:
        """The NAL unit itself, or its fragments (RFC 6184, 5.8; RFC 7798, 4.4.3) when it is too large for a packet."""
        if len(nal) <= MAX_PAYLOAD:
            yield nal
            return
        kind, body = self.kind(nal), nal[self.header :]
        if self.header == 1:
            indicator = bytes([nal[0] & 0xE0 | self.fragment])
        else:
            indicator = bytes([nal[0] & 0x81 | self.fragment << 1, nal[1]])
        step = MAX_PAYLOAD - len(indicator) - 1
        for start in range(0, len(body), step):
            first, last = start == 0, start + step >= len(body)
            yield indicator + bytes([first << 7 | last << 6 | kind]) + body[start : start + step]


H264 = Codec("h264", "H264", "h264_mp4toannexb", 1, 28, {7: "sps", 8: "pps"}, range(5, 6))
H265 = Codec("h265", "H265", "hevc_mp4toannexb", 2, 49, {32: "vps", 33: "sps", 34: "pps"}, range(16, 22))
CODECS = {codec.name: codec for codec in (H264, H265)}


@dataclass(frozen=True, slots=True)
class Description:
    """What a client has to know of a stream before it comes: the codec, and all its parameter sets in order."""

    codec: Codec
    sets: Sequence[bytes]

    def sdp(self) -> str:
        """The session's description (RFC 8866)."""
        lines = [
            *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=fbtasks simulated stable", "c=IN IP4 0.0.0.0", "t=0 0"),
            *("a=control:*", "a=range:npt=now-", f"m=video 0 RTP/AVP {PAYLOAD_TYPE}"),
            f"a=rtpmap:{PAYLOAD_TYPE} {self.codec.rtp_name}/{CLOCK_HZ}",
            f"a=fmtp:{PAYLOAD_TYPE} {self._format()}",
            "a=control:video",
        ]
        return "\r\n".join(lines) + "\r\n"

    def _format(self) -> str:
        sets = [b64encode(part).decode() for part in self.sets]
        if self.codec is H265:
            names = self.codec.sets.values()
            return ";".join(f"sprop-{name}={value}" for name, value in zip(names, sets, strict=True))
        profile = self.sets[0][1:4].hex()
        return f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={','.join(sets)}"


@dataclass(frozen=True, slots=True)
class Unit:
    """One coded picture.

    Attributes:
        due: when it is sent, in ticks of `CLOCK_HZ` from the start.
        shown: its time stamp, in the same ticks; later than `due` only around B-frames.
        key: whether decoding can begin here.
        payloads: of its RTP packets.
    """

    due: int
    shown: int
    key: bool
    payloads: Sequence[bytes]

    def later(self, ticks: int) -> "Unit":
        """The same picture at another time."""
        return Unit(self.due + ticks, self.shown + ticks, self.key, self.payloads)

    def size(self) -> int:
        """Of its payloads, bytes."""
        return sum(map(len, self.payloads))


def unit(codec: Codec, due: int, shown: int, nals: Sequence[bytes]) -> Unit:
    """The picture that these NAL units make up."""
    return Unit(due, shown, codec.is_key(nals), [payload for nal in nals for payload in codec.payloads(nal)])


def nal_units(stream: bytes) -> list[bytes]:
    """The NAL units of a byte stream (ITU-T H.264 and H.265, annex B), without start codes."""
    return [part.rstrip(b"\x00") for part in stream.split(_START_CODE)[1:]]


def packets(payloads: Sequence[bytes], timestamp: int, sequence: int, source: int) -> list[bytes]:
    """The RTP packets of one picture, numbered from `sequence`; the last one bears the marker."""
    last, stamp = len(payloads) - 1, timestamp & 0xFFFFFFFF
    return [
        struct.pack(
            "!BBHII",
            0x80,
            PAYLOAD_TYPE | (0x80 if number == last else 0),
            (sequence + number) & 0xFFFF,
            stamp,
            source,
        )
        + payload
        for number, payload in enumerate(payloads)
    ]


def sender_report(source: int, timestamp: int, at: float, packets_sent: int, octets_sent: int) -> bytes:
    """RTCP (RFC 3550, 6.4.1 and 6.5): the picture with `timestamp` is of the unix time `at`; and who says so."""
    seconds = int(at)
    report = struct.pack(
        "!BBHIIIIII",
        0x80,
        _SENDER_REPORT,
        6,
        source,
        (seconds + _NTP_EPOCH) & 0xFFFFFFFF,
        int((at - seconds) * 2**32),
        timestamp & 0xFFFFFFFF,
        packets_sent & 0xFFFFFFFF,
        octets_sent & 0xFFFFFFFF,
    )
    name = b"fbtasks"
    # Two zero bytes end the item and fill up to a multiple of four.
    item = struct.pack("!BB", _CNAME, len(name)) + name + b"\x00" * (4 - (len(name) + 2) % 4)
    return report + struct.pack("!BBHI", 0x81, _SOURCE_DESCRIPTION, 1 + len(item) // 4, source) + item
