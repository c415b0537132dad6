"""FFmpeg through PyAV: what OpenCV's wheel cannot, decoding in hardware and of key frames alone.

Packets are taken from the stream by themselves, so that those which nobody needs never reach the decoder, and the
decoder is ours: one that turns out not to work gives way to the next kind without a new connection to the camera.
"""

from collections.abc import Iterator
from functools import cache
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast

import av
import numpy as np
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fbtasks.errors import CameraError
from fbtasks.producer.capture import small
from fbtasks.producer.keyframes import Decode, KeyFrames
from fbtasks.producer.stream import SOFTWARE, Facts, Fit, Grey, Picture, Size

READ_SLICE_S = 0.7
"""Longest wait for a packet in one `grab`: whoever wants to stop waits no longer."""
KINDS = ("cuda", "vaapi", "videotoolbox", "d3d11va")
"""Hardware that FFmpeg's own decoders can use, the most usual first."""
QSV = "qsv"
"""Intel's has decoders of its own."""
_FROM_HARDWARE = frozenset({"nv12", "p010le", "p016le"})
"""How pictures come back from it; no decoder in software gives these."""
_GIVES_UP_AFTER = 50
"""Packets from a key frame on without a picture, and a decoder does not work."""


@cache
def hardware() -> tuple[str, ...]:
    """The kinds of hardware that can be opened on this machine. Whether one decodes is known with its first picture."""
    codec = av.Codec("h264", "r")
    found = []
    for kind in KINDS:
        if kind in hwdevices_available():
            try:
                HWAccel(kind).create(codec)
            except (FFmpegError, OSError, NotImplementedError, RuntimeError):
                continue
            found.append(kind)
    if QSV in hwdevices_available() and _qsv_opens():
        found.append(QSV)
    return tuple(found)


def _qsv_opens() -> bool:
    """Its decoders open without any device, so the device is asked for by itself."""
    try:
        HWAccel(QSV).create(av.Codec("h264_qsv", "r"))
    except (FFmpegError, OSError, NotImplementedError, RuntimeError, ValueError):
        return False
    return True


class PyAvStream:
    """An open stream; see `stream.VideoStream`."""

    def __init__(self, container: InputContainer, key_frames: KeyFrames, *, loop_filter: bool) -> None:
        if not container.streams.video:
            raise CameraError("gives no video")
        self._container = container
        self._video = container.streams.video[0]
        self._packets = self._demuxed()
        self._key_frames = key_frames
        self._loop_filter = loop_filter
        self._kinds = [*hardware(), SOFTWARE]
        self._context = self._next_decoder()
        self._proven = SOFTWARE
        self._frame: VideoFrame | None = None
        self._lost = True
        """Nothing can be decoded before the next key frame."""
        self._without_picture = 0

    @classmethod
    def open(
        cls,
        url: str,
        open_timeout_s: float,
        *,
        transport: str = "tcp",
        decode: Decode = "all",
        fps: float = 5.0,
        skip_loop_filter: bool = False,
    ) -> Self:
        """Connect.

        Args:
            open_timeout_s: for the answer, and once more for the first frames.
            decode, fps: see `KeyFrames`.

        Raises:
            CameraError: it did not work. FFmpeg's own message is not passed on: it holds the URL with its password.
        """
        options = {"fpsprobesize": "0"}  # as in `capture.prepare`
        options |= {"rtsp_transport": transport} if url.startswith("rtsp") else {}
        try:
            container = av.open(url, options=options, timeout=(open_timeout_s, READ_SLICE_S))
        except (FFmpegError, OSError, ValueError):
            raise CameraError("cannot be opened") from None
        try:
            return cls(container, KeyFrames(decode, fps, monotonic()), loop_filter=not skip_loop_filter)
        except BaseException:
            container.close()
            raise

    @property
    def decoder(self) -> str:
        return f"{self._proven}, key frames only" if self._key_frames.alone else self._proven

    @property
    def has_picture(self) -> bool:
        return self._frame is not None

    def grab(self) -> bool:
        """Wait for the next picture, or packet that is left out, at most for about `READ_SLICE_S`."""
        self._frame = None
        deadline = monotonic() + READ_SLICE_S
        while monotonic() < deadline:
            packet = self._read()
            if packet is None or packet.size == 0:
                return False
            if packet.is_keyframe:
                self._key_frames.came(monotonic())
            elif self._key_frames.alone:
                # What lies between must not be decoded on its own later either.
                lost, self._lost = self._lost, True
                return not (lost and self._without_picture) and not self._key_frames.absent(monotonic())
            if self._decode(packet):
                return True
        return False

    def picture(self, fit: Fit | None = None) -> Picture | None:
        frame = self._frame
        if frame is None:
            return None
        width, height = fit(frame.width, frame.height) if fit else (frame.width, frame.height)
        try:
            drawn = frame.reformat(max(1, width), max(1, height), "bgr24", interpolation="FAST_BILINEAR")
        except (FFmpegError, OSError, ValueError):
            return None
        return cast(Picture, drawn.to_ndarray())

    @property
    def size(self) -> Size:
        assert self._frame is not None, "there was no picture yet"
        return self._frame.width, self._frame.height

    def glance(self) -> Grey | None:
        frame = self._frame
        if frame is None or frame.format.components[0].bits != 8 or frame.format.is_rgb:
            return None
        brightness: Any = frame.planes[0]
        rows = np.frombuffer(brightness, np.uint8).reshape(-1, brightness.line_size)[: frame.height, : frame.width]
        return small(rows)

    def facts(self) -> Facts:
        rate = self._video.average_rate or self._video.guessed_rate
        fps = float(rate) if rate and 0 < rate <= 240 else None
        return Facts("pyav", self.decoder, self._video.codec_context.name, self.size, fps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frame = None
        self._container.close()

    def _read(self) -> "Packet[VideoStream] | None":
        """The next packet; None when none came in time, or the stream has ended."""
        try:
            return next(self._packets, None)
        except (FFmpegError, OSError):
            # A time-out ends the iterator, not the connection.
            self._packets = self._demuxed()
            return None

    def _demuxed(self) -> "Iterator[Packet[VideoStream]]":
        return self._container.demux(self._video)

    def _decode(self, packet: "Packet[VideoStream]") -> bool:
        """Whether the packet gave a picture."""
        if self._lost and not packet.is_keyframe:
            return False
        self._lost = False
        frames: list[VideoFrame] = []
        try:
            frames = self._context.decode(packet)
            if self._key_frames.alone:
                # A decoder may hold a picture back until it knows the next one.
                frames += self._context.decode(None)
                self._context.flush_buffers()
        except (FFmpegError, OSError):
            self._failed()
            return False
        if not frames:
            self._failed(damaged=False)
            return False
        self._frame = frames[-1]
        self._without_picture = 0
        if self._proven == SOFTWARE and self._kind != SOFTWARE:
            self._proven = self._kind if self._frame.format.name in _FROM_HARDWARE else SOFTWARE
        return True

    def _failed(self, *, damaged: bool = True) -> None:
        """A picture did not come; a kind of hardware that never gave one is given up."""
        self._without_picture += 1
        hopeless = damaged or self._without_picture >= _GIVES_UP_AFTER
        if hopeless and self._kind != SOFTWARE and self._proven == SOFTWARE:
            self._context = self._next_decoder()
            self._lost = True

    def _next_decoder(self) -> VideoCodecContext:
        """A decoder of the next kind that can be opened at all; software always can."""
        told = self._video.codec_context
        while True:
            self._kind = self._kinds.pop(0)
            name = f"{told.name}_{QSV}" if self._kind == QSV else told.name
            accelerated = self._kind not in (QSV, SOFTWARE)
            try:
                accelerator = HWAccel(self._kind, allow_software_fallback=False) if accelerated else None
                context = cast(VideoCodecContext, av.CodecContext.create(name, "r", accelerator))
                context.extradata = told.extradata
                context.thread_count = 1
                context.options = {} if self._loop_filter else {"skip_loop_filter": "all"}
                context.open()
            except (FFmpegError, OSError, ValueError, NotImplementedError, RuntimeError):
                if self._kind == SOFTWARE:
                    raise CameraError(f"its video ({told.name}) cannot be decoded") from None
                continue
            return context
