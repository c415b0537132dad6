"""The messages between the stages: what goes in comes out, and nothing from outside raises more than `BadMessage`."""

import math
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fbtasks.detections import Boxes
from fbtasks.errors import BadMessage, UnknownVersion
from fbtasks.wire import (
    MAX_FRAME_BYTES,
    MAX_RESULT_BYTES,
    VERSION,
    Frame,
    Result,
    Silence,
    decode_frame,
    decode_mailed,
    decode_result,
    encode,
)
from tests.results import lying, result, silence, standing

FRAME: dict[str, Any] = {
    "v": VERSION,
    "camera_id": "box-3",
    "seq": 7,
    "captured_at": 1_700_000_000.25,
    "sent_at": 1_700_000_000.5,
    "width": 1280,
    "height": 720,
    "scale": 0.5,
    "pad_x": 0,
    "pad_y": 140,
    "jpeg": b"\xff\xd8picture\xff\xd9",
}
RESULT: dict[str, Any] = msgspec.structs.asdict(result(0.0, [standing(), lying()]))
SILENCE: dict[str, Any] = msgspec.structs.asdict(silence(20.0, 8.0, reason="no answer"))

camera_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
times = st.floats(0, 1e11)
sides = st.integers(1, 65_535)
frames = st.builds(
    Frame,
    camera_id=camera_ids,
    seq=st.integers(0, 2**63),
    captured_at=times,
    sent_at=times,
    width=sides,
    height=sides,
    scale=st.floats(1.0, 100.0),
    pad_x=st.integers(0, 4096),
    pad_y=st.integers(0, 4096),
    jpeg=st.binary().map(memoryview),
)


@st.composite
def boxes(draw: st.DrawFn) -> Boxes:
    count = draw(st.integers(0, 20))
    corners = draw(arrays.arrays(np.float32, (count, 2, 2), elements=st.floats(0, 65_535, width=32)))
    corners.sort(axis=1)
    return Boxes(
        corners.reshape(count, 4),
        draw(arrays.arrays(np.float32, count, elements=st.floats(0, 1, width=32))),
        draw(arrays.arrays(np.int32, count, elements=st.integers(0, 79))),
    )


def packed(plain: dict[str, Any], **changes: Any) -> bytes:
    """A message written by another program, with some fields changed or, for None, left out."""
    changed = {name: value for name, value in (plain | changes).items() if value is not None}
    return msgspec.msgpack.encode(changed)


@given(frames)
def test_a_frame_comes_out_as_it_went_in(frame: Frame) -> None:
    assert decode_frame(encode(frame)) == frame


@given(frames, boxes())
def test_a_result_comes_out_as_it_went_in(frame: Frame, seen: Boxes) -> None:
    names = {number: f"class {number}" for number in range(80)}
    sent = Result.of(frame, seen, names=names, model_id="m", taken_at=1.0, inferred_at=2.0)
    got = decode_result(encode(sent))
    assert got == sent
    back = got.boxes()
    np.testing.assert_array_equal(back.xyxy, seen.xyxy)
    np.testing.assert_array_equal(back.confidence, seen.confidence)
    np.testing.assert_array_equal(back.class_id, seen.class_id)
    assert got.names.keys() == set(seen.class_id.tolist())


@given(camera_ids, times, st.none() | times, st.text(max_size=200))
def test_a_silence_comes_out_as_it_went_in(camera_id: str, at: float, last: float | None, reason: str) -> None:
    sent = Silence(camera_id=camera_id, at=at, last_captured_at=last, reason=reason)
    assert decode_mailed(encode(sent)) == sent


def test_a_mailbox_holds_results_of_earlier_builds_and_silences() -> None:
    earlier = {name: value for name, value in RESULT.items() if name != "blind"}
    old = decode_mailed(packed(earlier))
    assert isinstance(old, Result)
    assert old.blind == ""
    assert isinstance(decode_mailed(packed(SILENCE)), Silence)
    assert isinstance(decode_mailed(packed(RESULT, kind="of another program")), Result)


def test_a_silence_is_refused_where_a_result_is_due() -> None:
    with pytest.raises(BadMessage):
        decode_result(packed(SILENCE))


def test_that_a_picture_shows_nothing_goes_from_the_frame_to_the_result() -> None:
    frame = decode_frame(packed(FRAME, blind="covered"))
    nothing = Boxes(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))
    assert Result.of(frame, nothing, names={}, model_id="m", taken_at=1.0, inferred_at=2.0).blind == "covered"


def test_the_picture_is_a_view_into_the_message() -> None:
    message = packed(FRAME)
    assert decode_frame(message).jpeg.obj is message


def test_a_message_of_another_program_is_read_and_its_unknown_fields_are_ignored() -> None:
    frame = decode_frame(packed(FRAME, gps=[52.5, 13.4]))
    assert (frame.camera_id, frame.letterbox.pad_y, bytes(frame.jpeg)) == ("box-3", 140, FRAME["jpeg"])


@pytest.mark.parametrize(
    ("decode", "plain"), [(decode_frame, FRAME), (decode_result, RESULT), (decode_mailed, SILENCE)]
)
def test_a_message_cut_anywhere_is_refused(decode: Any, plain: dict[str, Any]) -> None:
    message = packed(plain)
    decode(message)
    for length in range(len(message)):
        with pytest.raises(BadMessage):
            decode(message[:length])


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    for decode in (decode_frame, decode_result, decode_mailed):
        with pytest.raises(BadMessage):
            decode(data)


@given(st.data())
def test_a_message_with_changed_bytes_is_read_or_refused(data: st.DataObject) -> None:
    decode, plain = data.draw(
        st.sampled_from([(decode_frame, FRAME), (decode_mailed, RESULT), (decode_mailed, SILENCE)])
    )
    message = bytearray(packed(plain))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadMessage):
        decoded = decode(bytes(message))
        if isinstance(decoded, Result):
            decoded.boxes()
        elif isinstance(decoded, Frame):
            decoded.letterbox.to_source(np.zeros((1, 4), np.float32))


def test_a_deeply_nested_message_is_refused() -> None:
    with pytest.raises(BadMessage):
        decode_frame(b"\x81\xa1x" + b"\x91" * 100_000)


@pytest.mark.parametrize("version", [0, 2, 2**40])
def test_another_version_is_named_whatever_else_the_message_holds(version: int) -> None:
    for data in (packed(FRAME, v=version), packed({"v": version, "picture": "as in later days"})):
        with pytest.raises(UnknownVersion, match=f"version {version}, this build reads {VERSION}"):
            decode_frame(data)


def test_a_message_without_a_version_is_refused() -> None:
    with pytest.raises(BadMessage, match="`v`"):
        decode_frame(packed(FRAME, v=None))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("captured_at", math.nan),
        ("captured_at", math.inf),
        ("captured_at", -1.0),
        ("sent_at", 1e300),
        ("scale", math.nan),
        ("scale", 0.0),
        ("scale", 1e-9),
        ("width", 0),
        ("height", 65_536),
        ("pad_x", -1),
        ("pad_y", 2**63),
        ("seq", -1),
        ("seq", 1.5),
        ("jpeg", "text"),
        ("camera_id", ""),
        ("camera_id", "box 3"),
        ("camera_id", "box-3\n"),
        ("camera_id", "../state"),
        ("camera_id", "x" * 65),
    ],
)
def test_an_impossible_frame_is_refused(field: str, value: Any) -> None:
    with pytest.raises(BadMessage):
        decode_frame(packed(FRAME, **{field: value}))


def test_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadMessage):
        decode_frame(packed(FRAME).replace(b"box-3", b"\xff\xfe\xfd\xfc\xfb"))


def test_oversized_messages_are_refused_unread() -> None:
    with pytest.raises(BadMessage, match="bytes, at most"):
        decode_frame(packed(FRAME, jpeg=b"x" * MAX_FRAME_BYTES))
    with pytest.raises(BadMessage, match="bytes, at most"):
        decode_result(packed(RESULT, xyxy=b"x" * MAX_RESULT_BYTES))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"xyxy": b""}, "bytes of boxes"),
        ({"class_id": b"\0" * 4}, "of classes"),
        ({"confidence": b"\0" * 7}, "not a multiple of 4"),
        ({"xyxy": np.full((2, 4), np.nan, "<f4").tobytes()}, "not finite"),
        ({"xyxy": np.full((2, 4), np.inf, "<f4").tobytes()}, "not finite"),
        ({"xyxy": np.full((2, 4), 1e30, "<f4").tobytes()}, "outside of any picture"),
        ({"xyxy": np.array([[5, 0, 4, 1]] * 2, "<f4").tobytes()}, "ends before it begins"),
        ({"confidence": np.array([0.5, 1.5], "<f4").tobytes()}, "not between 0 and 1"),
        ({"confidence": np.array([0.5, np.nan], "<f4").tobytes()}, "not between 0 and 1"),
        ({"names": {1: "horse"}}, "no name for class"),
    ],
)
def test_impossible_boxes_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadMessage, match=reason):
        decode_result(packed(RESULT, **changes)).boxes()
