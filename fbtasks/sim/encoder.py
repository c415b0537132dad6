"""Pictures into H.264 or H.265, one after the other, as a camera for this work is set up.

There are no B-frames, which would cost latency, and key frames where they are asked for.
"""

from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from numpy.typing import NDArray

from fbtasks.sim.rtp import CLOCK_HZ, H264, H265, Codec

Picture = NDArray[np.uint8]
"""`[height, width, 3]`, blue first."""

_ALWAYS = "min-keyint=1:scenecut=0:bframes=0"
ENCODERS = {
    H264.name: ("libx264", {"preset": "superfast", "tune": "zerolatency", "crf": "30",
                            "x264-params": f"keyint=infinite:{_ALWAYS}:threads=1"}),
    H265.name: ("libx265", {"preset": "ultrafast", "tune": "zerolatency", "crf": "29", "forced-idr": "1",
                            "x265-params": f"keyint=-1:{_ALWAYS}:pools=none:frame-threads=1:log-level=none"}),
}  # fmt: skip
"""FFmpeg's name of each codec's encoder, and how it is set up."""


class Encoder:
    """Encodes pictures of one size.

    Args:
        size: width and height in pixels, even.
    """

    def __init__(self, codec: Codec, size: tuple[int, int], fps: float) -> None:
        library, options = ENCODERS[codec.name]
        self._context = cast(VideoCodecContext, av.CodecContext.create(library, "w"))
        self._context.width, self._context.height = size
        self._context.pix_fmt = "yuv420p"
        self._context.options = options
        self._context.framerate = Fraction(fps).limit_denominator(1000)
        self._context.time_base = Fraction(1, CLOCK_HZ)

    def encode(self, picture: Picture, ticks: int, *, key: bool) -> bytes:
        """The picture as a byte stream of NAL units; `ticks` is its time, which must rise, in `rtp.CLOCK_HZ`."""
        return b"".join(bytes(packet) for packet in self._context.encode(video_frame(picture, ticks, key=key)))


def video_frame(picture: Picture, ticks: int, *, key: bool) -> av.VideoFrame:
    """The picture as an encoder takes it; see `Encoder.encode`."""
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
    frame.pts, frame.time_base = ticks, Fraction(1, CLOCK_HZ)
    frame.pict_type = PictureType.I if key else PictureType.NONE
    return frame
