"""OpenCV's FFmpeg capture: what has to be set before the first one, and one open stream."""

import os
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.errors import CameraError

Picture = NDArray[np.uint8]
"""A decoded picture, `[height, width, 3]`, blue first."""

FFMPEG_QUIET = "-8"
_SILENT = 0
_HARDWARE = {
    cv2.VIDEO_ACCELERATION_D3D11: "d3d11",
    cv2.VIDEO_ACCELERATION_VAAPI: "vaapi",
    cv2.VIDEO_ACCELERATION_MFX: "mfx",
}


def prepare(transport: str) -> None:
    """Set up OpenCV for the whole process; before the first `Stream`, for it reads all this once.

    - The RTSP transport can be given in no other way; set without one, the options mean UDP.
    - OpenCV's own lock around FFmpeg is taken off: with it one camera that does not answer holds up all others.
    - FFmpeg and OpenCV are silenced: at their talkative levels both print URLs with the password in them.
    - Pictures are resized in the camera's thread: one thread a camera is parallel enough.
    """
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{transport}"
    os.environ["OPENCV_FFMPEG_IS_THREAD_SAFE"] = "1"
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = FFMPEG_QUIET
    for talkative in ("OPENCV_FFMPEG_DEBUG", "OPENCV_VIDEOCAPTURE_DEBUG"):
        os.environ.pop(talkative, None)
    cv2.utils.logging.setLogLevel(_SILENT)
    cv2.setNumThreads(1)


class Stream:
    """An open video stream. Use it in one thread only, the closing too: OpenCV crashes when closed during a read."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._picture: Picture | None = None

    @classmethod
    def open(cls, url: str, open_timeout_s: float, read_timeout_s: float) -> Self:
        """Connect, with decoding in hardware where this build of OpenCV can, else in software.

        Raises:
            CameraError: it did not work within `open_timeout_s`; OpenCV does not tell why.
        """
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, _parameters(open_timeout_s, read_timeout_s))
        if not capture.isOpened():
            raise CameraError("cannot be opened")
        return cls(capture)

    @property
    def decoder(self) -> str:
        """What really decodes: `software`, or the kind of hardware."""
        kind = int(self._capture.get(cv2.CAP_PROP_HW_ACCELERATION))
        return "software" if kind <= 0 else _HARDWARE.get(kind, f"hardware {kind}")

    def grab(self) -> bool:
        """Wait for the next frame and decode it; `False` when there is none or it is damaged."""
        return self._capture.grab()

    def picture(self) -> Picture | None:
        """The frame last grabbed, valid until the next call; `None` when it is damaged."""
        good, picture = self._capture.retrieve(self._picture)
        if not good or picture.ndim != 3 or not picture.size:
            return None
        self._picture = picture.astype(np.uint8, copy=False)
        return self._picture

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.release()


def _parameters(open_timeout_s: float, read_timeout_s: float) -> list[int]:
    """One decoder thread, for each more adds a frame of latency."""
    wanted = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: round(open_timeout_s * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: round(read_timeout_s * 1000),
        cv2.CAP_PROP_N_THREADS: 1,
        cv2.CAP_PROP_HW_ACCELERATION: cv2.VIDEO_ACCELERATION_ANY,
    }
    return [number for pair in wanted.items() for number in pair]
