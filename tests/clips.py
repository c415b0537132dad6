"""Longer versions of the short test clips, without touching a pixel."""

from pathlib import Path

import av
from av.video.stream import VideoStream


def loop_clip(source: Path, target: Path, seconds: float) -> Path:
    """Write the video of `source` again and again to `target` (MP4) until it lasts at least `seconds`.

    The packets are copied, so B-frames stay; time stamps go on rising from one round to the next.
    """
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        template = reader.streams.video[0]
        written = writer.add_stream_from_template(template)
        round_length = _length(template)
        for start in range(0, _ticks(template, seconds), round_length):
            reader.seek(0)
            for packet in reader.demux(template):
                if packet.dts is None or packet.pts is None:
                    continue
                packet.pts += start
                packet.dts += start
                packet.stream = written
                writer.mux(packet)
    return target


def _length(stream: VideoStream) -> int:
    """How long one round lasts, in ticks of the stream's time base: a frame's time for each frame."""
    assert stream.average_rate is not None
    assert stream.time_base is not None
    return round(stream.frames / stream.average_rate / stream.time_base)


def _ticks(stream: VideoStream, seconds: float) -> int:
    assert stream.time_base is not None
    return round(seconds / stream.time_base)
