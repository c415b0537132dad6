"""Where a camera's pictures come from: what every source offers, and files as sources."""

from bisect import bisect_left
from collections.abc import AsyncGenerator, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Protocol

import av
from av.bitstream import BitStreamFilterContext

from fbtasks.errors import ConfigError
from fbtasks.sim.rtp import CLOCK_HZ, H264, H265, Codec, Description, Unit, nal_units, unit

_CODECS = {"h264": H264, "hevc": H265}
"""By FFmpeg's names."""


class Source(Protocol):
    """A camera's pictures without end."""

    @property
    def description(self) -> Description:
        """Of the stream as it is at present."""

    def units(self, after: float) -> AsyncGenerator[Unit, None]:
        """From the first key frame that is due `after` so many seconds from the start, in the order of sending.

        They come before they are due, or as soon as they can.
        """

    async def reshape(self, *, size: tuple[int, int] | None = None, codec: Codec | None = None) -> None:
        """Go on with pictures of another size (width, height) or in another codec.

        Raises:
            ConfigError: this source cannot.
        """


class FileSource:
    """A file (MP4 or what else FFmpeg reads) again and again, with times that go on rising.

    Raises:
        ConfigError: it holds no H.264 or H.265 that begins with a key frame.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.description, self._units, self._length = _load(path)
        except (OSError, av.error.FFmpegError) as error:
            raise ConfigError(f"{path} cannot be read as a video: {error}") from None

    async def units(self, after: float) -> AsyncGenerator[Unit, None]:
        rounds, rest = divmod(round(after * CLOCK_HZ), self._length)
        position = bisect_left(self._units, rest, key=lambda one: one.due)
        coming = islice(self._from(rounds), position, None)
        waiting = True
        for one in coming:
            waiting = waiting and not one.key
            if not waiting:
                yield one

    async def reshape(self, *, size: tuple[int, int] | None = None, codec: Codec | None = None) -> None:
        raise ConfigError(f"{self._path} is a file and is sent as it is; only a scenario changes its pictures")

    def _from(self, first_round: int) -> Iterator[Unit]:
        for start in count(first_round * self._length, self._length):
            yield from (one.later(start) for one in self._units)


def _load(path: Path) -> tuple[Description, list[Unit], int]:
    """The description, the pictures, and the length of one round in ticks of `CLOCK_HZ`."""
    with av.open(str(path)) as container:
        video = container.streams.video[0] if container.streams.video else None
        codec = None if video is None else _CODECS.get(video.codec_context.name)
        if video is None or codec is None or video.time_base is None:
            raise ConfigError(f"{path} holds no H.264 or H.265 video: convert it, ffmpeg -i IN -c:v libx264 OUT.mp4")
        ticks = CLOCK_HZ * video.time_base
        byte_stream = BitStreamFilterContext(codec.to_byte_stream, video)
        units: list[Unit] = []
        sets: list[bytes] = []
        first = 0
        for packet in container.demux(video):
            for plain in byte_stream.filter(packet) if packet.size else []:
                if plain.dts is None or plain.pts is None:
                    raise ConfigError(f"{path} does not say when its pictures are due")
                nals = nal_units(bytes(plain))
                if not units:
                    first, sets = plain.dts, codec.parameter_sets(nals)
                units.append(unit(codec, round((plain.dts - first) * ticks), round((plain.pts - first) * ticks), nals))
        length = round((video.duration or 0) * ticks)
    if length <= 0 or len(sets) != len(codec.sets) or not units[0].key:
        raise ConfigError(f"{path} does not begin with a key frame, or does not say how long it is")
    return Description(codec, sets), units, length
