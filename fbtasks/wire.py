"""The two messages between the stages, as MessagePack maps; any language can write them.

A message carries its version as `v`. Unknown fields are ignored, so a field may be added without a new version; a
changed meaning takes a new one. A reader refuses what it does not know with `BadMessage`; the queue goes on.
"""

import re
from typing import Annotated, TypeVar

import msgspec
import numpy as np

from fbtasks.detections import Boxes
from fbtasks.errors import BadMessage, UnknownVersion
from fbtasks.frame import Letterbox

VERSION = 1
MAX_FRAME_BYTES = 4 * 1024 * 1024
MAX_RESULT_BYTES = 256 * 1024
CAMERA_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

MAX_SIDE = 65_535
"""Pixels: the widest and highest that a JPEG can be."""

# `\Z`, for `$` would let a line break through at the end.
CameraId = Annotated[str, msgspec.Meta(pattern=rf"^{CAMERA_ID.pattern}\Z")]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]
Border = Annotated[int, msgspec.Meta(ge=0, le=MAX_SIDE)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class _Versioned(msgspec.Struct):
    v: int


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One letterboxed picture of one camera, on its way to the GPU worker.

    Attributes:
        camera_id: letters, digits, `_`, `.`, `-`; 64 at most.
        seq: number of the frame, counted by the producer; rises within one run of it.
        captured_at: when the picture was taken from the stream, in unix seconds.
        sent_at: when the producer sent it, in unix seconds.
        width, height: of the source picture, in pixels.
        scale, pad_x, pad_y: the letterbox, see `fbtasks.frame.Letterbox`.
        jpeg: the encoded picture at the model's input size; a view into the message, not a copy.
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
    v: int = VERSION

    @property
    def letterbox(self) -> Letterbox:
        return Letterbox(self.width, self.height, self.scale, self.pad_x, self.pad_y)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the model saw in one frame, before NMS, on its way to the logic.

    Attributes:
        camera_id, seq, captured_at, sent_at, width, height: the frame's.
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
            xyxy=boxes.xyxy.astype("<f4").tobytes(),
            confidence=boxes.confidence.astype("<f4").tobytes(),
            class_id=boxes.class_id.astype("<i4").tobytes(),
            names={number: names[number] for number in np.unique(boxes.class_id).tolist()},
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


M = TypeVar("M", Frame, Result)

_encoder = msgspec.msgpack.Encoder()
_versioned = msgspec.msgpack.Decoder(_Versioned)
_frame = msgspec.msgpack.Decoder(Frame)
_result = msgspec.msgpack.Decoder(Result)


def encode(message: Frame | Result) -> bytes:
    """The message as bytes."""
    return _encoder.encode(message)


def decode_frame(data: bytes) -> Frame:
    """The frame in `data`; its `jpeg` is a view into `data`.

    Raises:
        UnknownVersion: a well-formed message of another version.
        BadMessage: anything else that is no frame.
    """
    frame = _decode(data, _frame, MAX_FRAME_BYTES)
    if min(frame.letterbox.resized) < 1:
        raise BadMessage(f"a scale of {frame.scale:g} leaves nothing of {frame.width}x{frame.height} pixels")
    return frame


def decode_result(data: bytes) -> Result:
    """The result in `data`; its arrays are checked by `Result.boxes`.

    Raises:
        UnknownVersion: a well-formed message of another version.
        BadMessage: anything else that is no result.
    """
    return _decode(data, _result, MAX_RESULT_BYTES)


def _decode(data: bytes, decoder: "msgspec.msgpack.Decoder[M]", limit: int) -> M:
    """The version is read first: a message of another one may well lack today's fields, and that is not its fault."""
    if len(data) > limit:
        raise BadMessage(f"message of {len(data)} bytes, at most {limit} are read")
    try:
        version = _versioned.decode(data).v
        if version != VERSION:
            raise UnknownVersion(f"version {version}, this build reads {VERSION}")
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(str(error)) from error
