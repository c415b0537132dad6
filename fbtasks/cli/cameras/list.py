"""`fbtasks cameras list`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import monotonic, sleep, time

import click

from fbtasks.cli import with_settings
from fbtasks.cli.cameras.site import registry_of
from fbtasks.health import REPORT_EVERY_S, CameraReport, HealthBoard, Report
from fbtasks.keys import Keys
from fbtasks.redaction import redact_url
from fbtasks.registry import Entry
from fbtasks.settings import CameraSettings, Settings
from fbtasks.transport import connect

SECOND_LOOK_S = 2 * REPORT_EVERY_S + 0.5
POLL_S = 0.1


@dataclass(frozen=True)
class Line:
    """One camera as it is shown.

    Attributes:
        source: file, file and changed, or added.
        state: of its producer; disabled, or `not read` where no producer has it.
        since: when it came into that state, unix seconds.
        fps: frames per second sent to the GPU worker between two looks; None where that cannot be told.
        url: without user and password.
    """

    id: str
    source: str
    state: str
    since: float | None
    reason: str
    fps: float | None
    decoder: str
    producer: str
    horse: str
    url: str


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As a list of objects.")
@with_settings("cameras")
def command(settings: Settings, as_json: bool) -> None:
    """Print all cameras: what each is doing, since when and why, its rate, and what decodes it."""
    registry = registry_of(settings)
    entries = registry.entries()
    redis = connect(settings.state_url, settings.redis.timeout_s)
    board = HealthBoard(redis, Keys(settings.redis.prefix))
    lines = shown(settings, entries, registry.settings().cameras, *two_looks(board, settings.health.stale_after_s))
    if as_json:
        click.echo(json.dumps([asdict(line) for line in lines], indent=2))
    elif not lines:
        click.echo("no cameras: add [[cameras]] to the settings file, or run `fbtasks cameras add CAMERA URL`")
    else:
        _print(lines, time())


def two_looks(board: HealthBoard, stale_after_s: float) -> tuple[list[Report], list[Report]]:
    """The live producers' reports now, and the next ones: what they have sent meanwhile is the rate."""
    first = _producers(board, stale_after_s)
    deadline = monotonic() + SECOND_LOOK_S
    second = first
    while first and monotonic() < deadline and _told(first) & _told(second):
        sleep(POLL_S)
        second = _producers(board, stale_after_s)
    return first, second


def _producers(board: HealthBoard, stale_after_s: float) -> list[Report]:
    return [report for report in board.read() if report.role == "producer" and time() - report.at <= stale_after_s]


def _told(reports: Sequence[Report]) -> set[tuple[str, float]]:
    return {(report.process, report.at) for report in reports}


def shown(
    settings: Settings,
    entries: dict[str, Entry],
    cameras: Sequence[CameraSettings],
    first: Sequence[Report],
    second: Sequence[Report],
) -> list[Line]:
    """A line for each camera.

    Args:
        settings: of the file.
        cameras: all there are.
        first, second: what the producers told at two moments.
    """
    return [_line(camera, _source(camera.id, settings, entries), first, second) for camera in cameras]


def _source(camera_id: str, settings: Settings, entries: dict[str, Entry]) -> str:
    if settings.camera(camera_id) is None:
        return "added"
    return "file, changed" if camera_id in entries and not entries[camera_id].own else "file"


def _line(camera: CameraSettings, source: str, first: Sequence[Report], second: Sequence[Report]) -> Line:
    told = [report for report in second if camera.id in report.cameras]
    report = max(told, key=lambda one: one.cameras[camera.id].last_frame_at or 0.0, default=None)
    seen = report.cameras[camera.id] if report is not None and camera.enabled else None
    return Line(
        id=camera.id,
        source=source,
        state=seen.state if seen else "not read" if camera.enabled else "disabled",
        since=seen.since if seen else None,
        reason=seen.reason if seen else "no producer reads it" if camera.enabled else "",
        fps=_fps(camera.id, seen, report, first) if seen and report else None,
        decoder=seen.decoder if seen else "",
        producer=f"{report.host}:{report.pid}" if seen and report else "",
        horse=camera.horse,
        url=redact_url(camera.url.get_secret_value()),
    )


def _fps(camera_id: str, seen: CameraReport, report: Report, before: Sequence[Report]) -> float | None:
    earlier = next((one for one in before if one.process == report.process and camera_id in one.cameras), None)
    if earlier is None or report.at <= earlier.at:
        return None
    sent = seen.frames - earlier.cameras[camera_id].frames
    return round(sent / (report.at - earlier.at), 2) if sent >= 0 else None


def _print(lines: Sequence[Line], now: float) -> None:
    head = ("CAMERA", "STATE", "SINCE", "FPS", "DECODER", "HORSE", "FROM", "URL", "WHY")
    rows = [
        (
            line.id,
            line.state,
            _span(now - line.since) if line.since is not None else "-",
            f"{line.fps:.1f}" if line.fps is not None else "-",
            line.decoder or "-",
            line.horse or "-",
            line.source,
            line.url,
            line.reason,
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    click.echo(_row(head, widths))
    for row in rows:
        click.echo(_row(row, widths))


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _span(seconds: float) -> str:
    """A time span in one or two words: 45 s, 12 min, 3 h, 2 days."""
    if seconds < 100:
        return f"{max(0, seconds):.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} days"
