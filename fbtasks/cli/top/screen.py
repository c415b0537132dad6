"""How `fbtasks top` looks: from a snapshot to what fits into the window.

Colour is for what needs somebody: yellow for what is late or on its way, red for what is down. The rest is plain.
"""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fbtasks.cli.top.observer import CameraLine, ProcessLine, Snapshot
from fbtasks.logic.localtime import Zone, clock_text
from fbtasks.logic.sinks.wording import place
from fbtasks.metrics import DISABLED

WIDE = 140
"""Columns from which the figures stand beside the cameras."""
LATE_S = 3.0
STALE_S = 10.0
QUIET_FACTS = {"provider": "{}", "batch": "batch {:.0f}", "run_ms": "{:.0f} ms", "backlog": "backlog {:.0f}"}
"""Of a process's facts, those that a glance is worth."""
ORDER = ("producer", "gpu", "logic", "beat", "watch")
FIXED_LINES = 15
"""Of a small window: header, titles, stages, queues and the lines between."""
SEVERITY_STYLE = {"critical": "bold red", "warning": "yellow"}


def screen(snapshot: Snapshot, width: int, height: int | None, zone: Zone = None) -> RenderableType:
    """The snapshot, in so many columns and lines; None: as many lines as it takes. Clocks are those of `zone`."""
    wide = width >= WIDE
    parts = _parts(snapshot.processes)
    rows = _rows(snapshot, len(parts), height, wide=wide)
    cameras = _cameras(snapshot.cameras, rows["cameras"])
    figures = Group(_stages(snapshot), Text(), _queues(snapshot), Text(), _processes(parts, rows["processes"]))
    alerts = _alerts(snapshot, rows["alerts"], zone)
    if not wide:
        return Group(_header(snapshot, width, zone), cameras, Text(), figures, Text(), alerts)
    beside = Table.grid(padding=(0, 4))
    beside.add_column(width=width // 2 - 2)
    beside.add_column()
    beside.add_row(cameras, figures)
    return Group(_header(snapshot, width, zone), Text(), beside, Text(), alerts)


def _rows(snapshot: Snapshot, parts: int, height: int | None, *, wide: bool) -> dict[str, int]:
    """How many lines each list may have: alerts and processes a few, the cameras what is left."""
    wanted = {
        "cameras": max(1, len(snapshot.cameras)),
        "processes": parts,
        "alerts": max(1, len(snapshot.alerts)),
    }
    if height is None:
        return wanted | {"alerts": min(10, wanted["alerts"])}
    free = max(3, height - FIXED_LINES)
    if wide:
        alerts = min(wanted["alerts"], max(3, height // 4))
        return {"cameras": max(1, height - alerts - 6), "processes": max(2, free - alerts), "alerts": alerts}
    alerts = min(wanted["alerts"], max(1, free // 5))
    processes = min(wanted["processes"], max(2, free - alerts - wanted["cameras"], free // 3))
    cameras = min(wanted["cameras"], max(1, free - processes - alerts))
    return {"cameras": cameras, "processes": processes, "alerts": max(1, free - processes - cameras)}


def _header(snapshot: Snapshot, width: int, zone: Zone) -> Text:
    running = sum(camera.state == "running" for camera in snapshot.cameras)
    wanted = sum(camera.state != DISABLED for camera in snapshot.cameras)
    rate = snapshot.decisions / snapshot.seconds
    left = Text("fbtasks", style="bold")
    if snapshot.trouble:
        left.append(f"  {snapshot.trouble}", style="red")
    else:
        style = "" if running == wanted else "yellow"
        left.append(f"  {running} of {wanted} cameras running", style=style)
        left.append(f"  {rate:.1f} pictures/s")
    clock = clock_text(snapshot.at, snapshot.at, zone)
    left.truncate(max(0, width - len(clock) - 1), overflow="ellipsis", pad=True)
    return left.append(f" {clock}", style="dim")


def _table(*columns: tuple[str, str]) -> Table:
    """A table without lines; each column with its title and `left` or `right`."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=True)
    for number, (title, side) in enumerate(columns):
        last = number == len(columns) - 1
        table.add_column(
            title, justify="right" if side == "right" else "left", no_wrap=True, overflow="ellipsis",
            ratio=1 if last else None,
        )  # fmt: skip
    return table


def _cameras(cameras: list[CameraLine], rows: int) -> RenderableType:
    table = _table(("camera", "left"), ("pictures/s", "right"), ("lag ms", "right"), ("sees", "left"))
    # What needs somebody comes first where not all have room.
    shown = cameras if len(cameras) <= rows else sorted(cameras, key=_health)[: max(1, rows - 1)]
    for camera in shown:
        style = ("red", "yellow", "", "dim")[_health(camera)]
        lag = "-" if camera.lag_ms is None else f"{camera.lag_ms:.0f}"
        table.add_row(Text(camera.id, style=style), f"{camera.fps:.1f}", lag, Text(_sees(camera), style=style))
    if not cameras:
        return Group(table, Text("none yet", style="dim"))
    hidden = len(cameras) - len(shown)
    return Group(table, Text(f"and {hidden} more", style="dim")) if hidden else table


def _health(camera: CameraLine) -> int:
    """0 down, 1 late or on its way, 2 well, 3 not wanted."""
    if camera.state == DISABLED:
        return 3
    if camera.silent_s is None or camera.silent_s > STALE_S:
        return 0 if camera.state != "running" else 1
    return 1 if camera.state != "running" or camera.silent_s > LATE_S else 2


def _sees(camera: CameraLine) -> str:
    if camera.state == DISABLED:
        return DISABLED
    if camera.state != "running":
        silent = "" if camera.silent_s is None else f", last picture {_ago(camera.silent_s)}"
        return ": ".join(filter(None, (camera.state, camera.detail))) + silent
    if camera.silent_s is None:
        return "nothing decided yet"
    return f"last picture {_ago(camera.silent_s)}" if camera.silent_s > LATE_S else camera.seen


def _stages(snapshot: Snapshot) -> RenderableType:
    table = _table(("stage", "left"), ("p50 ms", "right"), ("p95 ms", "right"), ("p99 ms", "right"), ("", "left"))
    for name, figures in snapshot.stages.items():
        style = "bold" if name == "total" else ""
        table.add_row(name, *(f"{figures[point]:.1f}" for point in ("p50", "p95", "p99")), "", style=style)
    if not snapshot.stages:
        return Group(table, Text("nothing decided", style="dim"))
    return table


def _queues(snapshot: Snapshot) -> Text:
    text = Text("waiting  ", style="dim")
    for queue in snapshot.queues:
        style = "yellow" if queue.oldest_s is not None and queue.oldest_s > LATE_S else "default"
        age = f" ({_ago(queue.oldest_s)})" if queue.oldest_s is not None and queue.oldest_s > LATE_S else ""
        text.append(f"{queue.name} {queue.length}{age}  ", style=style)
    dead = sum(snapshot.dead_letters.values())
    if dead:
        text.append(f"unusable {dead}", style="yellow")
    return text


def _parts(processes: list[ProcessLine]) -> list[list[ProcessLine]]:
    """The processes of one role on one machine together, those that are gone each alone; as the work passes them.

    Celery gives a task to the first free process of its pool: of several that decide, one that is not heard of may have
    nothing to do, as long as another is heard of.
    """
    parts: dict[tuple[int, str, int], list[ProcessLine]] = {}
    busy = {process.host for process in processes if process.role == "logic" and process.reported_s <= STALE_S}
    for process in sorted(processes, key=lambda process: process.reported_s):
        order = ORDER.index(process.role) if process.role in ORDER else len(ORDER)
        idle = process.role == "logic" and process.host in busy
        gone = process.pid if process.reported_s > STALE_S and not idle else 0
        parts.setdefault((order, process.host, gone), []).append(process)
    return [parts[key] for key in sorted(parts)]


def _processes(parts: list[list[ProcessLine]], rows: int) -> RenderableType:
    table = _table(("process", "left"), ("where", "left"), ("last work", "right"), ("", "left"))
    shown = parts[: rows if len(parts) <= rows else max(1, rows - 1)]
    for part in shown:
        first = part[0]
        name = first.role if len(part) == 1 else f"{len(part)} {first.role}"
        worked = min((one.progress_s for one in part if one.progress_s is not None), default=None)
        style = "red" if first.reported_s > STALE_S else ""
        table.add_row(name, first.host, "-" if worked is None else _ago(worked), _told(first), style=style)
    hidden = len(parts) - len(shown)
    return Group(table, Text(f"and {hidden} more", style="dim")) if hidden else table


def _told(process: ProcessLine) -> str:
    if process.reported_s > STALE_S:
        return f"not heard of for {_duration(process.reported_s)}"
    return " ".join(text.format(process.facts[name]) for name, text in QUIET_FACTS.items() if name in process.facts)


def _alerts(snapshot: Snapshot, rows: int, zone: Zone) -> RenderableType:
    table = _table(("last alerts", "left"), ("camera", "left"), ("", "left"), ("", "left"))
    for alert in snapshot.alerts[:rows]:
        style = "dim" if alert.event == "cleared" else SEVERITY_STYLE.get(alert.severity, "")
        what = "cleared" if alert.event == "cleared" else f"{alert.event} {alert.severity}"
        clock = clock_text(alert.at, snapshot.at, zone)
        table.add_row(clock, place(alert.camera_id), what, alert.message, style=style)
    return table if snapshot.alerts else Group(table, Text("none", style="dim"))


def _ago(seconds: float) -> str:
    return "now" if seconds < 1.5 else f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
