"""Files and films as RTSP cameras: the server with all that it needs, in this event loop or in a thread."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from fbtasks.sim.faults import Fault
from fbtasks.sim.film import Film
from fbtasks.sim.live import LiveSource, Studio
from fbtasks.sim.rtsp import SESSION_S, RtspServer
from fbtasks.sim.source import FileSource, Source

Reels = Mapping[str, Path | Film]
"""What each camera shows, by its name: a video file as it is, or a film, drawn while somebody watches."""


@asynccontextmanager
async def opened(reels: Reels) -> AsyncIterator[dict[str, Source]]:
    """The sources of all cameras; a process draws the films, if there are any.

    Raises:
        ConfigError: one cannot be shown.
    """
    sources: dict[str, Source] = {name: FileSource(reel) for name, reel in reels.items() if isinstance(reel, Path)}
    films = {name: reel for name, reel in reels.items() if not isinstance(reel, Path)}
    if not films:
        yield sources
        return
    async with Studio() as studio:
        for name, film in films.items():
            sources[name] = await LiveSource.open(studio, name, film)
        yield sources


async def serve(
    reels: Reels,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[RtspServer], object],
    *,
    faults: Mapping[str, Sequence[Fault]] | None = None,
    session_s: float = SESSION_S,
) -> None:
    """Serve the cameras until `stop`; `ready` is called as soon as clients can connect.

    Raises:
        ConfigError: a camera cannot be shown or have that fault, or the port is taken.
    """
    async with opened(reels) as sources:
        server = RtspServer(sources, session_s=session_s)
        for camera, suffered in (faults or {}).items():
            for fault in suffered:
                await server.set_fault(camera, fault)
        await server.run(port, stop, lambda: ready(server))


class ServerThread:
    """An `RtspServer` that runs in a thread; see `serving`."""

    def __init__(self, server: RtspServer, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        self._server = server
        self._loop = loop
        self._stop = stop

    def url(self, camera: str) -> str:
        """Where to watch a camera that asks for no password."""
        return self._server.url(camera)

    def began_at(self, camera: str) -> float:
        """When its first picture was due, in unix seconds."""
        return self._server.cameras[camera].began_at

    def set_fault(self, camera: str, fault: Fault) -> None:
        """See `RtspServer.set_fault`; returns when it has happened."""
        asyncio.run_coroutine_threadsafe(self._server.set_fault(camera, fault), self._loop).result()

    def stop(self) -> None:
        """Let it end."""
        self._loop.call_soon_threadsafe(self._stop.set)


@contextmanager
def serving(reels: Reels, port: int = 0, *, session_s: float = SESSION_S) -> Iterator[ServerThread]:
    """Serve the cameras in a thread, on a free port by default, as long as the context lasts.

    Raises:
        ConfigError: a camera cannot be shown, or the port is taken.
    """
    started: Future[ServerThread] = Future()

    async def run() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(
            reels,
            port,
            stop,
            lambda server: started.set_result(ServerThread(server, loop, stop)),
            session_s=session_s,
        )

    with ThreadPoolExecutor(1, thread_name_prefix="rtsp") as executor:
        ended = executor.submit(lambda: asyncio.run(run()))
        either: list[Future[Any]] = [started, ended]
        wait(either, return_when=FIRST_COMPLETED)
        if not started.done():
            ended.result()
        server = started.result()
        try:
            yield server
        finally:
            with suppress(RuntimeError):  # it has ended before
                server.stop()
        ended.result()
