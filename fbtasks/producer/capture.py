"""OpenCV's FFmpeg capture: what has to be set before the first one, and one open stream."""

import os
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from fbtasks.errors import CameraError
from fbtasks.producer.stream import GLANCE, SOFTWARE, Facts, Fit, Grey, Picture, Size

FFMPEG_QUIET = "-8"
GLANCE_SAMPLES = 7
"""Pixels across a cell of a glance that are looked at: of 1920 every fourth, in a tenth of the time of all of them."""
_SILENT = 0
_GREEN = 1
_HARDWARE = {
    cv2.VIDEO_ACCELERATION_D3D11: "d3d11",
    cv2.VIDEO_ACCELERATION_VAAPI: "vaapi",
    cv2.VIDEO_ACCELERATION_MFX: "mfx",
}


def prepare(transport: str) -> None:
    """Set up OpenCV for the whole process; before the first `Stream`, for it reads all this once.

    - The RTSP transport can be given in no other way; set without one, the options mean UDP.
    - No frames are read ahead to estimate the rate, twenty else: two seconds at 10 a second, for which every connection
      waits, and by which its first pictures are old.
    - OpenCV's own lock around FFmpeg is taken off: with it one camera that does not answer holds up all others.
    - FFmpeg and OpenCV are silenced: at their talkative levels both print URLs with the password in them.
    - Pictures are resized in the camera's thread: one thread a camera is parallel enough.
    """
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{transport}|fpsprobesize;0"
    os.environ["OPENCV_FFMPEG_IS_THREAD_SAFE"] = "1"
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = FFMPEG_QUIET
    for talkative in ("OPENCV_FFMPEG_DEBUG", "OPENCV_VIDEOCAPTURE_DEBUG"):
        os.environ.pop(talkative, None)
    cv2.utils.logging.setLogLevel(_SILENT)
    cv2.setNumThreads(1)


class Stream:
    """An open stream; see `stream.VideoStream`."""

    has_picture = True

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._picture: Picture | None = None
        self._retrieved = False
        kind = int(capture.get(cv2.CAP_PROP_HW_ACCELERATION))
        self.decoder = SOFTWARE if kind <= 0 else _HARDWARE.get(kind, f"hardware {kind}")

    @classmethod
    def open(cls, url: str, open_timeout_s: float, read_timeout_s: float) -> Self:
        """Connect, with decoding in hardware where this build of OpenCV can, else in software.

        Raises:
            CameraError: it did not work within `open_timeout_s`; OpenCV does not tell why.
        """
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, _parameters(open_timeout_s, read_timeout_s))
        # Where the time was up while FFmpeg still looked at the stream, OpenCV has it open and no picture ever comes.
        if not capture.isOpened() or not capture.get(cv2.CAP_PROP_FRAME_WIDTH):
            raise CameraError("cannot be opened")
        return cls(capture)

    def grab(self) -> bool:
        """Wait for the next frame and decode it; `False` when there is none or it is damaged."""
        self._retrieved = False
        return self._capture.grab()

    def picture(self, fit: Fit | None = None) -> Picture | None:
        if not self._retrieved:
            good, picture = self._capture.retrieve(self._picture)
            if not good or picture.ndim != 3 or not picture.size:
                return None
            self._picture = picture.astype(np.uint8, copy=False)
            self._retrieved = True
        return self._picture

    @property
    def size(self) -> Size:
        assert self._picture is not None, "there was no picture yet"
        height, width = self._picture.shape[:2]
        return width, height

    def glance(self) -> Grey | None:
        picture = self.picture()
        if picture is None:
            return None
        return small(picture[..., _GREEN])

    def facts(self) -> Facts:
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        letters = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
        codec = letters.decode("ascii", "replace").strip("\0 ")
        return Facts("opencv", self.decoder, _CODECS.get(codec, codec), self.size, fps if 0 < fps <= 240 else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.release()


def small(brightness: Grey) -> Grey:
    """A glance at a picture, of its brightness or the colour that comes nearest to it."""
    step = max(1, brightness.shape[1] // (GLANCE[0] * GLANCE_SAMPLES))
    some = np.ascontiguousarray(brightness[::step, ::step])
    return cv2.resize(some, GLANCE, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


_CODECS = {"avc1": "h264", "H264": "h264", "hvc1": "hevc", "hev1": "hevc", "HEVC": "hevc"}


def _parameters(open_timeout_s: float, read_timeout_s: float) -> list[int]:
    """One decoder thread, for each more adds a frame of latency."""
    wanted = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: round(open_timeout_s * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: round(read_timeout_s * 1000),
        cv2.CAP_PROP_N_THREADS: 1,
        cv2.CAP_PROP_HW_ACCELERATION: cv2.VIDEO_ACCELERATION_ANY,
    }
    return [number for pair in wanted.items() for number in pair]
