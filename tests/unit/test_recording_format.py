"""The form of recorded results: what was kept comes back, and a torn block costs only itself."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.errors import BadMessage
from fbtasks.logic.recording_format import MAGIC, Block, Place, camera_of, pack, place, unpack
from fbtasks.wire import Silence, encode
from tests.results import lying, result, standing

MESSAGES = [encode(result(number * 0.2, [standing(), lying()], seq=number)) for number in range(6)]
BLOCKS = [pack(Place(1000 + number, number), [message]) for number, message in enumerate(MESSAGES)]
KEPT_BEFORE = base64.b64decode(
    "9WZiMUsAAADrLoW2ALi7rI0BAAAFAAAAm3jkGrpzjUHO1UR17c2QPw4ODAwIN0MFkFwOFUF1P1QQ6gtWBpgvmC7AfbE8qVIhAxjoUE8w"
    "MJxwhmAPFwYGHhcUT50942NPpMcA"
)
"""A block that an earlier build wrote."""


def messages(blocks: list[Block]) -> list[bytes]:
    return [message for block in blocks for message in block.messages]


@given(st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=5), max_size=5))
def test_what_was_kept_comes_back_in_order(kept: list[list[bytes]]) -> None:
    data = b"".join(pack(Place(number, 0), some) for number, some in enumerate(kept))
    blocks = list(unpack(data))
    assert [block.messages for block in blocks] == kept
    assert [block.until for block in blocks] == [Place(number, 0) for number in range(len(kept))]
    assert sum(block.size for block in blocks) == len(data)


@pytest.mark.parametrize("length", range(len(BLOCKS[1])))
def test_a_file_that_ends_within_a_block_lacks_only_that_block(length: int) -> None:
    assert messages(list(unpack(BLOCKS[0] + BLOCKS[1][:length]))) == MESSAGES[:1]


@pytest.mark.parametrize("length", range(1, len(BLOCKS[1])))
def test_a_block_after_a_torn_one_is_found(length: int) -> None:
    data = BLOCKS[0] + BLOCKS[1][:length] + BLOCKS[2] + BLOCKS[3]
    assert messages(list(unpack(data))) == [MESSAGES[0], MESSAGES[2], MESSAGES[3]]


@pytest.mark.parametrize("position", range(len(BLOCKS[1])))
def test_a_changed_byte_is_noticed(position: int) -> None:
    spoilt = bytearray(BLOCKS[1])
    spoilt[position] ^= 0x40
    assert messages(list(unpack(BLOCKS[0] + spoilt + BLOCKS[2]))) == [MESSAGES[0], MESSAGES[2]]


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert messages(list(unpack(data + BLOCKS[0])))[-1:] == MESSAGES[:1]
    list(unpack(MAGIC + data))


def test_single_results_take_little_more_than_many_together() -> None:
    alone = sum(map(len, BLOCKS))
    together = len(pack(Place(0, 0), MESSAGES))
    as_they_came = sum(map(len, MESSAGES))
    assert alone < 0.6 * as_they_came, (alone, as_they_came)
    assert together < alone


def test_what_an_earlier_build_wrote_can_be_read() -> None:
    [block] = unpack(KEPT_BEFORE)
    assert block.until == Place(1_708_000_000_000, 5)
    assert camera_of(block.messages[0]) == "box-3"


def test_places_follow_the_mailbox() -> None:
    assert place("1700000000000-12") == Place(1_700_000_000_000, 12)
    assert place("9-2") < place("10-1") < place("10-11")
    for wrong in ("", "7", "7-", "-7", "7-x", "7-1-1"):
        with pytest.raises(ValueError, match="identifier"):
            place(wrong)


def test_a_message_says_whose_it_is() -> None:
    silence = Silence(camera_id="box-9", at=1.0, last_captured_at=None)
    assert [camera_of(MESSAGES[0]), camera_of(encode(silence))] == ["box-3", "box-9"]
    with pytest.raises(BadMessage):
        camera_of(b"\xc1")
