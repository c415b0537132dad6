"""`fbtasks sim render`: a scenario as a video file, and what is truly in every picture."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
import msgspec

from fbtasks.cli.files import OutputFile
from fbtasks.cli.sim import options

if TYPE_CHECKING:
    from fbtasks.sim.encoder import Picture
    from fbtasks.sim.film import Shooting


@click.command(name="render")
@click.argument("scenario")
@click.argument("out", type=OutputFile(), metavar="OUT.mp4")
@click.option(
    "--truth", type=OutputFile(), help="Write who is where in each picture to this file, a line of JSON for each."
)
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Default: the whole scenario.")
@click.option("--size", callback=options.size, metavar="WIDTHxHEIGHT", help="Default: the scenario's.")
@click.option("--fps", type=options.FPS, help="Default: the scenario's.")
def command(
    *,
    scenario: str,
    out: Path,
    truth: Path | None,
    seconds: float | None,
    size: tuple[int, int] | None,
    fps: float | None,
) -> None:
    """Draw SCENARIO, one that comes with this package or a TOML file, into OUT.mp4 (H.264).

    A line of the truth is {"number", "t", "sent", "boxes": [{"id", "class", "xyxy", "posture", "speed_bl_s",
    "visible"}], "events": [{"kind", "who"}]}: seconds from the start, pixels of the picture, body lengths a second.
    While the camera is silent nothing is sent, and the file has a gap; while it is frozen its picture is older than
    the truth.
    """
    options.need_pyav()
    from fbtasks.sim.clip import write_clip
    from fbtasks.sim.film import ScenarioFilm, Shooting
    from fbtasks.sim.scenario import find_scenario

    film = ScenarioFilm(find_scenario(scenario), size, fps)
    shooting = Shooting(film.scenario, film.size, film.fps)
    count = max(1, round((seconds or film.scenario.length_s) * film.fps))
    unfinished = out.with_name(f"{out.name}.part")
    with ExitStack() as stack:
        stack.callback(unfinished.unlink, missing_ok=True)
        lines = None if truth is None else stack.enter_context(truth.open("wb"))
        bar = stack.enter_context(click.progressbar(length=count, label=out.name, show_pos=True))
        write_clip(unfinished, _shot(shooting, count, film.fps, lines, bar.update), film.size, film.fps)
        unfinished.replace(out)


def _shot(
    shooting: "Shooting", count: int, fps: float, lines: IO[bytes] | None, progress: Callable[[int], None]
) -> "Iterator[Picture | None]":
    """The pictures; writes the truth of each."""
    events = shooting.timeline.events()
    length_s = shooting.timeline.scenario.length_s
    for number in range(count):
        picture = shooting.picture(number)
        if lines is not None:
            t = number / fps
            now = [event for event in events if event.start <= t % length_s < event.end]
            line = {
                "number": number,
                "t": round(t, 6),
                "sent": picture is not None,
                "boxes": [
                    {
                        "id": one.id,
                        "class": one.class_name,
                        "xyxy": one.xyxy,
                        "posture": one.posture,
                        "speed_bl_s": one.speed_bl_s,
                        "visible": one.visible,
                    }
                    for one in shooting.truth(number)
                ],
                "events": [{"kind": event.kind, "who": event.who} for event in now],
            }
            lines.write(msgspec.json.encode(line) + b"\n")
        yield picture
        progress(1)
