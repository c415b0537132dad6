"""A film of some pictures of one camera, as an MP4 file (H.264) that every telephone plays."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from fbtasks.errors import BadMessage, ExtraMissing
from fbtasks.keys import FILM_FPS
from fbtasks.logic.picture import shown
from fbtasks.wire import Frame

TICKS = 1000
"""A second. Pictures keep their own times, for they do not come evenly."""
LIBRARY = "libx264"
OPTIONS = {"preset": "veryfast", "crf": "27", "x264-params": "threads=1", "movflags": "+faststart"}
"""One thread: the decisions on the same machine matter more. `faststart`: it plays before all of it has come."""


def need_encoder() -> Any:
    """The module `av`.

    Raises:
        ExtraMissing: it is not installed.
    """
    try:
        import av  # noqa: PLC0415 - only where films are made
    except ImportError:
        raise ExtraMissing("evidence.clip: PyAV is missing; run `pip install fbtasks[pyav]`") from None
    return av


def write_film(path: Path, frames: Iterable[Frame]) -> int:
    """Encode the frames, of rising capture time, in the size of the first that can be decoded.

    Returns:
        How many are in it; what cannot be decoded, is of another size, or does not come later is left out.

    Raises:
        BadMessage: none can be decoded.
        ExtraMissing: PyAV is not installed.
        OSError: the file cannot be written.
    """
    av = need_encoder()
    stream: Any = None
    began_at, last = 0.0, -1
    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": OPTIONS["movflags"]}) as container:
        for frame in frames:
            try:
                picture = _even(shown(frame))
            except BadMessage:
                continue
            if stream is None:
                stream = _stream(container, picture)
                began_at = frame.captured_at
            ticks = round((frame.captured_at - began_at) * TICKS)
            if picture.size != (stream.width, stream.height) or ticks <= last:
                continue
            last, count = ticks, count + 1
            coloured = av.VideoFrame.from_image(picture).reformat(format="yuv420p")
            coloured.pts, coloured.time_base = ticks, Fraction(1, TICKS)
            container.mux(stream.encode(coloured))
        if stream is None:
            raise BadMessage("none of its pictures can be decoded")
        container.mux(stream.encode(None))
    return count


def _stream(container: Any, picture: Image.Image) -> Any:
    stream = container.add_stream(LIBRARY, rate=FILM_FPS, options=OPTIONS)
    stream.width, stream.height = picture.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS)
    return stream


def _even(picture: Image.Image) -> Image.Image:
    """Without its last column or row where their number is odd: colours are kept for two by two pixels."""
    width, height = picture.size
    if width < 2 or height < 2:
        raise BadMessage(f"a picture of {width} x {height} pixels")
    return picture.crop((0, 0, width - width % 2, height - height % 2))
