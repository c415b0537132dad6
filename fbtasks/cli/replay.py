"""`fbtasks replay`: recorded results under given rules, and what other rules would have made of them."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import click
import msgspec

from fbtasks.alert import SEVERITIES
from fbtasks.cli import with_settings
from fbtasks.cli.files import OutputFile
from fbtasks.errors import RecordingError
from fbtasks.logic.localtime import Zone
from fbtasks.logic.recorder import Recording, find_recordings
from fbtasks.logic.replay import Course, Difference, Run, courses, differences, night_of, run, span
from fbtasks.logic.site import pipeline_of
from fbtasks.logic.track_chart import svg
from fbtasks.settings import Settings, load_settings

TIME_FORMS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"]


class Task(msgspec.Struct, frozen=True):
    """One camera's recording to be run, for a process of its own.

    Attributes:
        config: the settings file; None: as any command finds it.
        since, until: unix seconds.
    """

    recording: Recording
    config: Path | None
    since: float | None
    until: float | None


class Outcome(msgspec.Struct):
    """What came of a `Task`, and how much of the recording was torn."""

    run: Run
    bytes_lost: int


def replay(task: Task) -> Outcome:
    """Run one camera's recording."""
    recording = task.recording
    messages = recording.messages(task.since, task.until)
    pipeline = pipeline_of(load_settings(task.config), recording.camera_id)
    return Outcome(run(recording.camera_id, messages, pipeline), recording.bytes_lost)


def replay_all(tasks: Sequence[Task]) -> list[Outcome]:
    """All tasks, in their order, on as many processes as there are cores."""
    processes = min(len(tasks), os.cpu_count() or 1)
    if processes == 1:
        return list(map(replay, tasks))
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(replay, tasks))


@click.command(name="replay")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[FOLDER|FILE]...")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Other settings; tells what would have changed with them.",
)
@click.option("--camera", "cameras", multiple=True, help="Only this camera; may be given again.")
@click.option("--since", type=click.DateTime(TIME_FORMS), help="Only what was seen from here on, local time.")
@click.option("--until", type=click.DateTime(TIME_FORMS), help="Only what was seen before, local time.")
@click.option("--json", "json_file", type=OutputFile(), help="Write alerts and changes to this file.")
@click.option("--picture", type=OutputFile(), help="Draw tracks, postures and alerts to this SVG file.")
@with_settings("replay")
def command(
    settings: Settings,
    *,
    paths: tuple[Path, ...],
    against: Path | None,
    cameras: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    json_file: Path | None,
    picture: Path | None,
) -> None:
    """Run recorded results through the rules again: tonight's settings on last night's horses.

    Without a FOLDER or FILE it takes the folder that `[recording]` names. Nothing is sent and nothing is stored.
    """
    zone = settings.zone
    recordings = _recordings(settings, paths, cameras)
    configs = [None, *([against] if against else [])]
    began = monotonic()
    outcomes = replay_all(
        [Task(each, file, _unix(since, zone), _unix(until, zone)) for file in configs for each in recordings]
    )
    took_s = monotonic() - began
    runs = [outcome.run for outcome in outcomes]
    firsts, others = runs[: len(recordings)], runs[len(recordings) :]
    _tell_alerts(firsts, zone)
    changes = differences(_courses(firsts), _courses(others)) if against else []
    if against:
        _tell_changes(changes, against, zone)
    total = sum(one.results for one in runs)
    click.echo(f"\n{total} results in {took_s:.1f} s, {total / max(took_s, 1e-9):.0f} a second")
    _tell_losses(firsts, sum(outcome.bytes_lost for outcome in outcomes[: len(recordings)]))
    if json_file is not None:
        json_file.write_text(json.dumps(_plain(firsts, changes), indent=2))
    if picture is not None:
        alerts = [alert for one in firsts for alert in one.alerts]
        picture.write_text(svg([one.chart for one in firsts], alerts, zone), encoding="utf-8")


def _recordings(site: Settings, paths: tuple[Path, ...], cameras: tuple[str, ...]) -> list[Recording]:
    if not paths and site.recording.folder is None:
        raise RecordingError("name a folder or file, or set recording.folder and let the cameras be recorded first")
    where = paths or (site.recording.folder,)
    found = [each for each in find_recordings(filter(None, where)) if not cameras or each.camera_id in cameras]
    if not found:
        of_whom = f" of {', '.join(cameras)}" if cameras else ""
        raise RecordingError(f"there is no recording{of_whom} in {', '.join(map(str, where))}")
    return found


def _unix(local: datetime | None, zone: Zone) -> float | None:
    return None if local is None else local.replace(tzinfo=zone).timestamp()


def _tell_alerts(runs: list[Run], zone: Zone) -> None:
    told = _courses(runs)
    if not told:
        click.echo("No alerts.")
        return
    counts: dict[tuple[date, str], Counter[str]] = {}
    for course in told:
        counts.setdefault((night_of(course.raised_at, zone), course.rule), Counter())[course.severity] += 1
    click.echo(f"{'night of':<12} {'rule':<20} " + " ".join(f"{severity:>8}" for severity in SEVERITIES))
    for (night, rule), by_severity in sorted(counts.items()):
        figures = " ".join(f"{by_severity[severity] or '-':>8}" for severity in SEVERITIES)
        click.echo(f"{night!s:<12} {rule:<20} {figures}")
    click.echo()
    for course in told:
        click.echo(f"{_clock(course.raised_at, zone)}  {course.severity:<8}  {_lasted(course):<14}  {course.message}")


def _courses(runs: list[Run]) -> list[Course]:
    return courses(alert for one in runs for alert in one.alerts)


def _lasted(course: Course) -> str:
    return "to the end" if course.cleared_at is None else f"for {span(course.cleared_at - course.raised_at)}"


def _tell_changes(changes: list[Difference], against: Path, zone: Zone) -> None:
    click.echo(f"\nWith {against.name}:" if changes else f"\nWith {against.name} nothing would change.")
    for change in changes:
        course = change.one
        click.echo(f"{_clock(course.raised_at, zone)}  {', '.join(change.changes)}:  {course.message}")


def _tell_losses(runs: list[Run], bytes_lost: int) -> None:
    late, refused = sum(one.late for one in runs), sum(one.refused for one in runs)
    if late or refused:
        click.echo(f"{late} came too late, as they did live; {refused} could not be used")
    if bytes_lost:
        click.echo(f"{bytes_lost} bytes of torn blocks were passed over")


def _plain(runs: list[Run], changes: list[Difference]) -> dict[str, Any]:
    return {
        "cameras": {one.camera_id: {"results": one.results, "late": one.late, "refused": one.refused} for one in runs},
        "alerts": [alert.model_dump(mode="json") for one in runs for alert in one.alerts],
        "changes": [{"changes": change.changes, **msgspec.to_builtins(change)} for change in changes],
    }


def _clock(at: float, zone: Zone) -> str:
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S}"
