"""`fbtasks sim serve`: scenarios and video files as RTSP cameras on this machine."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fbtasks import logs
from fbtasks.cli.sim import options
from fbtasks.errors import ConfigError
from fbtasks.wire import CAMERA_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fbtasks.sim.faults import Fault
    from fbtasks.sim.rtsp import RtspServer
    from fbtasks.sim.serving import Reels

DEFAULT_PORT = 8554


@click.command(name="serve")
@click.argument("shown", nargs=-1, metavar="[SCENARIO|FILE.mp4|FOLDER]...")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=DEFAULT_PORT, show_default=True, help="0: any free one."
)
@click.option(
    "--size", callback=options.size, metavar="WIDTHxHEIGHT", help="Of drawn pictures; default: the scenario's."
)
@click.option("--fps", type=options.FPS, help="Of drawn pictures; default: the scenario's.")
@click.option(
    "--fault", "faults", multiple=True, metavar="'CAMERA FAULT'", help="From the start; see `sim fault --help`."
)
def command(
    shown: tuple[str, ...], port: int, size: tuple[int, int] | None, fps: float | None, faults: tuple[str, ...]
) -> None:
    """Serve cameras at rtsp://127.0.0.1:PORT/NAME until Ctrl-C.

    SCENARIO is one that comes with this package or a TOML file; each is drawn while somebody watches. Video files, with
    H.264 or H.265, are sent as they are, again and again; of a folder, every .mp4 in it. A camera is named as its
    scenario or file. Default: all scenarios that come with the package. Prints the cameras' URLs as soon as they can be
    watched.
    """
    options.need_pyav()
    logs.configure("sim", "INFO")
    asyncio.run(_serve(reels(shown, size, fps), port, _parsed(faults)))


def reels(shown: tuple[str, ...], size: tuple[int, int] | None, fps: float | None) -> "Reels":
    """What each camera shows.

    Raises:
        ConfigError: there is no such scenario or file, its name is none for a camera, or two have one name.
    """
    from fbtasks.sim.film import Film, ScenarioFilm
    from fbtasks.sim.scenario import find_scenario, shipped

    found: dict[str, Path | Film] = {}
    for argument in shown or shipped():
        path = Path(argument)
        if path.is_dir() or _is_video(path):
            new: dict[str, Path | Film] = {file.stem: file for file in _files(path)}
        else:
            scenario = find_scenario(argument)
            new = {scenario.name: ScenarioFilm(scenario, size, fps)}
        if twice := found.keys() & new.keys():
            raise ConfigError(f"two cameras have the name {min(twice)!r}: rename one of them")
        found |= new
    return found


def _files(path: Path) -> list[Path]:
    files = sorted(filter(_is_video, path.iterdir())) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"there is no .mp4 file in {path}")
    for file in files:
        if not CAMERA_ID.fullmatch(file.stem):
            raise ConfigError(f"{file} cannot name a camera: rename it to letters, digits, '_', '.' and '-'")
    return files


def _is_video(path: Path) -> bool:
    return path.suffix.lower() == ".mp4"


def _parsed(faults: tuple[str, ...]) -> "Mapping[str, Sequence[Fault]]":
    """By camera."""
    from fbtasks.sim.faults import parse

    found: dict[str, list[Fault]] = {}
    for text in faults:
        camera, _, command = text.partition(" ")
        found.setdefault(camera, []).append(parse(command))
    return found


async def _serve(shown: "Reels", port: int, faults: "Mapping[str, Sequence[Fault]]") -> None:
    from fbtasks.sim.serving import serve

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(shown, port, stop, _tell, faults=faults)


def _tell(server: "RtspServer") -> None:
    for camera in server.cameras:
        click.echo(f"{camera:<16} {server.url(camera)}")
