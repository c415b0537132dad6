"""Cameras out of files: an RTSP server on loopback, `python -m fbtasks.sim.rtsp --port 8554 --draw FOLDER`.

Every `<name>.mp4` in the folder is a camera `rtsp://127.0.0.1:<port>/<name>`, H.264 in RTP over the RTSP connection
(interleaved TCP, RFC 2326), repeated for ever: time stamps and sequence numbers go on rising from one round to the
next, as from a camera that never ends. Each client begins at the start of the clip.

Small on purpose. `aio-rtsp-toolkit` serves files too, but sent one picture in 250 twice (a time-out races with the hand
over from its reading thread; seen with numbered pictures through OpenCV), which garbles the stream until the next key
frame.
"""

import asyncio
import random
import signal
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import click

from fbtasks.errors import ConfigError
from fbtasks.sim import rtp
from fbtasks.sim.clip import ensure_clips
from fbtasks.sim.rtp import CLOCK_HZ, Track

LOOPBACK = "127.0.0.1"
SESSION = "1"
"""One session for each connection, so any name will do."""
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
_GONE = (ConnectionError, asyncio.IncompleteReadError)
_NO_RTSP = (ValueError, asyncio.LimitOverrunError)
"""What reading a request raises when it is none."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: dict[str, str]


class RtspServer:
    """Serves `tracks` by name."""

    def __init__(self, tracks: dict[str, Track]) -> None:
        self._tracks = tracks

    async def run(self, port: int, stop: asyncio.Event) -> None:
        """Serve until `stop`. Clients that are still there then are left to the end of the event loop."""
        server = await asyncio.start_server(self._connected, LOOPBACK, port)
        await stop.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        playing: asyncio.Task[None] | None = None
        try:
            while (request := await _read_request(reader)) is not None:
                track = self._tracks.get(_camera(request.url))
                writer.write(_answer(request, track))
                if request.method == "PLAY" and track is not None and playing is None:
                    playing = asyncio.create_task(_play(track, writer))
        except (*_GONE, *_NO_RTSP):
            pass  # with which the connection ends
        finally:
            if playing is not None:
                playing.cancel()
                with suppress(asyncio.CancelledError, *_GONE):
                    await playing
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> _Request | None:
    """The next request, None when the client wants no more; the receiver's reports between are skipped."""
    first = await reader.readexactly(1)
    while first == b"$":
        channel_and_size = await reader.readexactly(3)
        await reader.readexactly(int.from_bytes(channel_and_size[1:], "big"))
        first = await reader.readexactly(1)
    text = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = text.rstrip().split("\r\n")
    method, _, rest = start.partition(" ")
    if method == "TEARDOWN":
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return _Request(method, rest.partition(" ")[0], headers)


def _camera(url: str) -> str:
    """`box-1` of `rtsp://127.0.0.1:8554/box-1/video`."""
    return urlsplit(url).path.strip("/").partition("/")[0]


def _answer(request: _Request, track: Track | None) -> bytes:
    if request.method in {"OPTIONS", "GET_PARAMETER"}:
        return _response(request, "200 OK", {"Public": METHODS})
    if request.method not in {"DESCRIBE", "SETUP", "PLAY"}:
        return _response(request, "501 Not Implemented")
    if track is None:
        return _response(request, "404 Not Found")
    if request.method == "DESCRIBE":
        headers = {"Content-Type": "application/sdp", "Content-Base": f"{request.url.rstrip('/')}/"}
        return _response(request, "200 OK", headers, track.sdp())
    if request.method == "SETUP" and "interleaved" not in request.headers.get("transport", ""):
        return _response(request, "461 Unsupported Transport")
    headers = {"Session": SESSION}
    if request.method == "SETUP":
        headers["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
    return _response(request, "200 OK", headers)


def _response(request: _Request, status: str, headers: dict[str, str] | None = None, body: str = "") -> bytes:
    all_headers = {"CSeq": request.headers.get("cseq", "0"), **(headers or {}), "Content-Length": str(len(body))}
    lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in all_headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def _play(track: Track, writer: asyncio.StreamWriter) -> None:
    """Send every picture when it is due, round after round, until cancelled or the client is gone."""
    clock = asyncio.get_running_loop().time
    began = clock()
    sequence, source = random.getrandbits(16), random.getrandbits(32)
    for round_start in count(0, track.length):
        for unit in track.units:
            timestamp = round_start + unit.due
            await asyncio.sleep(began + timestamp / CLOCK_HZ - clock())
            for packet in rtp.packets(unit, timestamp, sequence, source):
                writer.write(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
                sequence += 1
            await writer.drain()


def load_folder(folder: Path) -> dict[str, Track]:
    """All clips of the folder by camera name.

    Raises:
        ConfigError: there are none, or one cannot be served.
    """
    tracks = {path.stem: rtp.load(path) for path in sorted(folder.glob("*.mp4"))}
    if not tracks:
        raise ConfigError(f"there is no .mp4 file in {folder}")
    return tracks


async def _serve(folder: Path, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await RtspServer(load_folder(folder)).run(port, stop)


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), required=True, help="TCP port on loopback.")
@click.option("--draw", is_flag=True, help="Draw the demonstration's clips into FOLDER first, unless they are there.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def command(port: int, draw: bool, folder: Path) -> None:
    """Serve every MP4 file of FOLDER as an RTSP camera on loopback, for ever."""
    if draw:
        ensure_clips(folder)
    asyncio.run(_serve(folder, port))


if __name__ == "__main__":
    command()
