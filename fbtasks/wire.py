"""The messages between the stages, as MessagePack maps; any language can write them.

A frame goes to the GPU worker. A result goes into its camera's mailbox, and so does a silence, known by its `kind`.

A message carries its version as `v`. Unknown fields are ignored, so a field may be added without a new version; a
changed meaning takes a new one. A reader refuses what it does not know with `BadMessage`; the queue goes on.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np

from fbtasks.detections import Boxes
from fbtasks.errors import BadMessage, UnknownVersion
from fbtasks.frame import Letterbox

VERSION = 1
MAX_FRAME_BYTES = 4 * 1024 * 1024
MAX_RESULT_BYTES = 256 * 1024
MAX_REASON = 200
CAMERA_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

MAX_SIDE = 65_535
"""Pixels: the widest and highest that a JPEG can be."""

# `\Z`, for `$` would let a line break through at the end.
CameraId = Annotated[str, msgspec.Meta(pattern=rf"^{CAMERA_ID.pattern}\Z")]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]
Border = Annotated[int, msgspec.Meta(ge=0, le=MAX_SIDE)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]


class _Head(msgspec.Struct):
    v: int
    kind: Any = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One letterboxed picture of one camera, on its way to the GPU worker.

    Attributes:
        camera_id: letters, digits, `_`, `.`, `-`; 64 at most.
        seq: number of the frame, counted by the producer; rises within one run of it.
        captured_at: when the picture was taken from the stream, in unix seconds.
        sent_at: when the producer sent it, in unix seconds.
        width, height: of the source picture, in pixels.
        scale, pad_x, pad_y: the letterbox, see `fbtasks.frame.Letterbox`.
        jpeg: the encoded picture at the model's input size, or smaller by needless border (see `fbtasks.frame`); a
            view into the message, not a copy.
        blind: why the picture shows nothing of the box, as `black`, `covered`, `frozen`; empty when it does.
    """

    camera_id: CameraId
    seq: Count
    captured_at: Seconds
    sent_at: Seconds
    width: Pixels
    height: Pixels
    scale: Annotated[float, msgspec.Meta(gt=0, le=1e4)]
    pad_x: Border
    pad_y: Border
    jpeg: memoryview
    blind: Reason = ""
    v: int = VERSION

    @property
    def letterbox(self) -> Letterbox:
        return Letterbox(self.width, self.height, self.scale, self.pad_x, self.pad_y)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the model saw in one frame, before NMS, on its way to the logic.

    Attributes:
        camera_id, seq, captured_at, sent_at, width, height, blind: the frame's.
        taken_at: when the GPU worker took the frame from the list, in unix seconds.
        inferred_at: when the model had run, in unix seconds.
        model_id: which model saw it.
        xyxy: little-endian float32 `[n, 4]`, in pixels of the source picture.
        confidence: little-endian float32 `[n]`.
        class_id: little-endian int32 `[n]`.
        names: names of those class numbers that occur.
    """

    camera_id: CameraId
    seq: Count
    captured_at: Seconds
    sent_at: Seconds
    taken_at: Seconds
    inferred_at: Seconds
    width: Pixels
    height: Pixels
    model_id: str
    xyxy: bytes
    confidence: bytes
    class_id: bytes
    names: dict[int, str]
    blind: Reason = ""
    v: int = VERSION

    @classmethod
    def of(
        cls, frame: Frame, boxes: Boxes, *, names: dict[int, str], model_id: str, taken_at: float, inferred_at: float
    ) -> "Result":
        """The result for `frame`, with `boxes` in source pixels."""
        return cls(
            camera_id=frame.camera_id,
            seq=frame.seq,
            captured_at=frame.captured_at,
            sent_at=frame.sent_at,
            taken_at=taken_at,
            inferred_at=inferred_at,
            width=frame.width,
            height=frame.height,
            model_id=model_id,
            xyxy=boxes.xyxy.astype("<f4", copy=False).tobytes(),
            confidence=boxes.confidence.astype("<f4", copy=False).tobytes(),
            class_id=boxes.class_id.astype("<i4", copy=False).tobytes(),
            names={number: names[number] for number in sorted(set(boxes.class_id.tolist()))},
            blind=frame.blind,
        )

    def boxes(self) -> Boxes:
        """The boxes as arrays.

        Raises:
            BadMessage: the three arrays do not belong together, or hold a number that is not possible.
        """
        if len(self.confidence) % 4:
            raise BadMessage(f"confidence has {len(self.confidence)} bytes, not a multiple of 4")
        count = len(self.confidence) // 4
        if len(self.xyxy) != 16 * count or len(self.class_id) != 4 * count:
            raise BadMessage(
                f"{count} confidences, but {len(self.xyxy)} bytes of boxes and {len(self.class_id)} of classes"
            )
        boxes = Boxes(
            np.frombuffer(self.xyxy, "<f4").reshape(count, 4),
            np.frombuffer(self.confidence, "<f4"),
            np.frombuffer(self.class_id, "<i4"),
        )
        _check(boxes, self.names)
        return boxes


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was seen of a camera for a while; from beat's sweep to the logic, through the camera's mailbox.

    Attributes:
        camera_id: as in a frame.
        at: now, by the camera's clock: capture time of its last picture, and the seconds since it was decided on; unix
            seconds of the logic's machine where there has been no picture.
        last_captured_at: capture time of the last result that the logic had taken; None before the first. Tells a
            silence that a picture has ended meanwhile.
        reason: what the health reports say of it, in a few words; may be empty.
    """

    camera_id: CameraId
    at: Seconds
    last_captured_at: Seconds | None
    reason: Reason = ""
    kind: Literal["silence"] = "silence"
    v: int = VERSION


def _check(boxes: Boxes, names: dict[int, str]) -> None:
    if not (np.abs(boxes.xyxy) <= MAX_SIDE).all():
        raise BadMessage("a box is not finite or lies outside of any picture")
    if not ((boxes.confidence >= 0) & (boxes.confidence <= 1)).all():
        raise BadMessage("a confidence is not between 0 and 1")
    if (boxes.xyxy[:, 2:] < boxes.xyxy[:, :2]).any():
        raise BadMessage("a box ends before it begins")
    unnamed = set(boxes.class_id.tolist()) - names.keys()
    if unnamed:
        raise BadMessage(f"no name for class {min(unnamed)}")


M = TypeVar("M", Frame, Result, Silence, _Head)

_encoder = msgspec.msgpack.Encoder()
_head = msgspec.msgpack.Decoder(_Head)
_frame = msgspec.msgpack.Decoder(Frame)
_result = msgspec.msgpack.Decoder(Result)
_silence = msgspec.msgpack.Decoder(Silence)


def encode(message: Frame | Result | Silence) -> bytes:
    """The message as bytes."""
    return _encoder.encode(message)


def decode_frame(data: bytes) -> Frame:
    """The frame in `data`; its `jpeg` is a view into `data`.

    Raises:
        UnknownVersion: a well-formed message of another version.
        BadMessage: anything else that is no frame.
    """
    _checked_head(data, MAX_FRAME_BYTES)
    frame = _decode(data, _frame)
    if min(frame.letterbox.resized) < 1:
        raise BadMessage(f"a scale of {frame.scale:g} leaves nothing of {frame.width}x{frame.height} pixels")
    return frame


def decode_result(data: bytes) -> Result:
    """The result in `data`; its arrays are checked by `Result.boxes`.

    Raises:
        UnknownVersion: a well-formed message of another version.
        BadMessage: anything else that is no result.
    """
    _checked_head(data, MAX_RESULT_BYTES)
    return _decode(data, _result)


def decode_mailed(data: bytes) -> Result | Silence:
    """The result or silence in `data`, a message of a mailbox.

    Raises:
        UnknownVersion: a well-formed message of another version.
        BadMessage: anything else that is neither.
    """
    head = _checked_head(data, MAX_RESULT_BYTES)
    return _decode(data, _silence) if head.kind == "silence" else _decode(data, _result)


def _checked_head(data: bytes, limit: int) -> _Head:
    """The version is read first: a message of another one may well lack today's fields, and that is not its fault."""
    if len(data) > limit:
        raise BadMessage(f"message of {len(data)} bytes, at most {limit} are read")
    head = _decode(data, _head)
    if head.v != VERSION:
        raise UnknownVersion(f"version {head.v}, this build reads {VERSION}")
    return head


def _decode(data: bytes, decoder: "msgspec.msgpack.Decoder[M]") -> M:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(str(error)) from error
