"""Pictures as a video file."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.video.stream import VideoStream

from fbtasks.sim.encoder import ENCODERS, Picture, video_frame
from fbtasks.sim.rtp import CLOCK_HZ, H264, Codec


def write_clip(
    path: Path, pictures: Iterable[Picture | None], size: tuple[int, int], fps: float, codec: Codec = H264
) -> None:
    """Encode the pictures (of that width and height, even) into an MP4 file, with a key frame about each second.

    None leaves a gap of one picture's time.
    """
    library, options = ENCODERS[codec.name]
    with av.open(str(path), "w", format="mp4") as container:
        rate = Fraction(fps).limit_denominator(1000)
        stream = cast(VideoStream, container.add_stream(library, rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        next_key = 0
        for number, picture in enumerate(pictures):
            if picture is None:
                continue
            key = number >= next_key
            if key:
                next_key = number + max(1, round(fps))
            container.mux(stream.encode(video_frame(picture, round(number * CLOCK_HZ / fps), key=key)))
        container.mux(stream.encode(None))
