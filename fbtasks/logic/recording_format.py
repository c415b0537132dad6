"""The form in which a camera's results are kept: blocks one after another, each whole or worthless.

    magic 4 | length 4 | checksum 4 | milliseconds 8 | number 4 | deflated MessagePack list of messages

All numbers are little-endian and without sign; the checksum (CRC-32) covers what follows it, `length` is that of the
last field. Milliseconds and number are the place in the mailbox up to which the block reaches, so blocks that two
processes append in turn, and may append out of turn, are put back into the order of the decisions.

A block is one commit of one task, most often a single result. Nothing is held back to make larger ones, so a crash
costs nothing; a preset dictionary gives back most of what larger ones would save (measured, three boxes: 284 bytes as
they came, 115 alone with the dictionary, 89 in blocks of 50). A file may end, or have in its midst, a block that was
torn by a crash or a full disk: the reader goes on at the next whole one.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from fbtasks.errors import BadMessage

MAGIC = b"\xf5fb1"
"""Its first byte is none that text or MessagePack often holds; the last is the version of the form."""
MAX_BLOCK_BYTES = 256 * 1024 * 1024
"""Of messages in one block: as many and as long as a task can take at once."""
_HEADER = struct.Struct("<4sIIQI")
_COVERED = struct.Struct("<QI")
_DICTIONARY = (
    b"\x86\xa9camera_id\xa5box-1\xa2at\xcbA\xda\xb0last_captured_at\xcbA\xda\xa6reason\xa0\xa4kind\xa7silence\xa1v\x01"
    b"\xaehorse_standing\xa5sheep\xa3cow\xa3dog\xa6person\xabhorse_lying\xa5horse\xa8covered\xa6frozen\xa5black"
    b"\x8f\xa9camera_id\xa5box-1\xa3seq\xce\x00\xabcaptured_at\xcbA\xda\xa7sent_at\xcbA\xda\xa8taken_at\xcbA\xda"
    b"\xabinferred_at\xcbA\xda\xa5width\xcd\x07\x80\xa6height\xcd\x048\xa8model_id\xb1yolo11n-\xa4xyxy\xc4\x10"
    b"\xaaconfidence\xc4\x04\xa8class_id\xc4\x04\x11\x00\x00\x00\xa5names\x81\x11\xa5horse\xa5blind\xa0\xa1v\x01"
)
"""What messages look like, for the compressor. Part of the form: change it and no recorded file can be read."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[bytes])
_PLACE = re.compile(r"(\d+)-(\d+)")


class Place(NamedTuple):
    """A place in a camera's mailbox; later results have higher ones.

    Attributes:
        milliseconds: unix time of the Redis that the mailbox is on.
        number: tells results of one millisecond apart.
    """

    milliseconds: int
    number: int


class Block(NamedTuple):
    """Results that were decided on together.

    Attributes:
        until: the place in the mailbox before which they lay.
        messages: as they were pushed, oldest first.
        size: bytes of the block in its file.
    """

    until: Place
    messages: list[bytes]
    size: int


def place(identifier: str) -> Place:
    """The place that a stream identifier such as `1700000000000-3` names.

    Raises:
        ValueError: it is none.
    """
    match = _PLACE.fullmatch(identifier)
    if match is None:
        raise ValueError(f"{identifier!r} is no identifier of a stream")
    return Place(int(match[1]), int(match[2]))


def pack(until: Place, messages: Sequence[bytes]) -> bytes:
    """A block, to be appended to a file with one write."""
    deflate = zlib.compressobj(
        6, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY
    )
    body = deflate.compress(_encoder.encode(messages)) + deflate.flush()
    return _HEADER.pack(MAGIC, len(body), _checksum(until, body), *until) + body


def unpack(data: bytes) -> Iterator[Block]:
    """The whole blocks in the bytes of a file, in their order there; what else is between them is passed over."""
    offset = data.find(MAGIC)
    while offset >= 0:
        block = _block_at(data, offset)
        if block is not None:
            yield block
        offset = data.find(MAGIC, offset + (block.size if block else 1))


def camera_of(message: bytes) -> str:
    """Whose message it is.

    Raises:
        BadMessage: it does not say.
    """
    try:
        return _owned.decode(message).camera_id
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(str(error)) from error


class _Owned(msgspec.Struct):
    camera_id: str


_owned = msgspec.msgpack.Decoder(_Owned)


def _block_at(data: bytes, offset: int) -> Block | None:
    """The block that begins at `offset`, None when no whole one does."""
    begin = offset + _HEADER.size
    if begin > len(data):
        return None
    _, length, checksum, *reached = _HEADER.unpack_from(data, offset)
    body, until = data[begin : begin + length], Place(*reached)
    if len(body) != length or _checksum(until, body) != checksum:
        return None
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, _DICTIONARY)
    try:
        messages = _decoder.decode(inflate.decompress(body, MAX_BLOCK_BYTES))
    except (zlib.error, msgspec.DecodeError):
        return None
    return Block(until, messages, _HEADER.size + length)


def _checksum(until: Place, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_COVERED.pack(*until)))
