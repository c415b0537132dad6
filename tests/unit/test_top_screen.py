"""What `fbtasks top` shows fits into the window, and what needs somebody is never what is left out."""

from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from fbtasks.cli.top.observer import AlertLine, CameraLine, ProcessLine, Snapshot
from fbtasks.cli.top.screen import screen
from fbtasks.logic.localtime import Zone
from fbtasks.logic.queues import Queue

FIGURES = {"p50": 1.25, "p95": 12.5, "p99": 1234.5}


def camera(number: int, state: str = "running", silent_s: float | None = 0.3) -> CameraLine:
    detail = "" if state == "running" else "no answer within 4.0 s"
    return CameraLine(f"box-{number}", state, detail, 5.0, 43.2, silent_s, "horse lying, person")


def snapshot(cameras: list[CameraLine], processes: int = 4, alerts: int = 20, trouble: str = "") -> Snapshot:
    roles = ("producer", "gpu", "logic", "beat")
    facts: dict[str, str | float] = {"provider": "tensorrt", "batch": 8, "run_ms": 4.2}
    return Snapshot(
        at=0.0,
        seconds=10.0,
        trouble=trouble,
        decisions=5 * len(cameras),
        cameras=cameras,
        stages=dict.fromkeys(("capture", "queue", "model", "logic", "total"), FIGURES),
        queues=[Queue(name, 12, 0.5) for name in ("frames", "results", "tasks", "outbox", "deliveries")],
        dead_letters={"frames": 3},
        processes=[ProcessLine(roles[n % 4], f"machine-{n // 4}", n, 0.5, 0.4, facts) for n in range(processes)],
        alerts=[AlertLine(float(n), "box-1", "raised", "warning", "A horse lies. " * 20) for n in range(alerts)],
    )


def lines(told: Snapshot, width: int, height: int | None, zone: Zone = None) -> list[str]:
    console = Console(width=width, height=height, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(screen(told, width, height, zone))
    return captured.get().splitlines()


@pytest.mark.parametrize("processes", [1, 4, 30])
@pytest.mark.parametrize("cameras", [0, 1, 4, 60])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 50), (140, 24), (300, 90)])
def test_it_fits(cameras: int, processes: int, width: int, height: int) -> None:
    shown = lines(snapshot([camera(n) for n in range(cameras)], processes), width, height)
    assert len(shown) <= height
    assert max(map(len, shown)) <= width
    text = "\n".join(shown)
    for word in ("camera", "total", "waiting", "producer", "last alerts", "raised warning"):
        assert word in text


def test_a_camera_that_is_down_is_shown_before_those_that_are_well() -> None:
    cameras = [camera(n) for n in range(60)] + [camera(77, "reconnecting", None), camera(78, silent_s=5.0)]
    shown = "\n".join(lines(snapshot(cameras), 80, 24))
    assert "reconnecting: no answer within 4.0 s" in shown
    assert "box-78" in shown
    assert "more" in shown
    assert "61 of 62 cameras running" in shown


def test_a_camera_that_is_disabled_is_no_fault() -> None:
    shown = lines(snapshot([camera(1), camera(2, "disabled", None)]), 80, 24)
    assert "1 of 1 cameras running" in shown[0]
    assert any(line.split()[0] == "box-2" and line.split()[-1] == "disabled" for line in shown)


def test_columns_stand_under_their_titles_whatever_the_message() -> None:
    shown = lines(snapshot([camera(1)]), 80, 24)
    title = next(line for line in shown if line.startswith("last alerts"))
    alert = shown[shown.index(title) + 1]
    assert alert.index("box-1") == title.index("camera")
    assert "raised warning" in alert


def shown_of(processes: list[ProcessLine]) -> list[str]:
    told = snapshot([camera(1)])
    fields = {name: getattr(told, name) for name in told.__slots__} | {"processes": processes}
    return lines(Snapshot(**fields), 80, None)


def test_processes_of_one_role_on_one_machine_are_one_line() -> None:
    logic = [ProcessLine("logic", "vm", pid, 0.5, worked, {}) for pid, worked in ((1, 9.0), (2, None), (3, 0.2))]
    shown = shown_of([*logic, ProcessLine("gpu", "vm", 4, 60.0, 70.0, {})])
    assert any(line.split()[:4] == ["3", "logic", "vm", "now"] for line in shown)
    assert any("gpu" in line and "not heard of for 60 s" in line for line in shown)


def test_a_process_of_the_pool_without_work_is_no_fault() -> None:
    logic = [ProcessLine("logic", "vm", 1, 60.0, 70.0, {}), ProcessLine("logic", "vm", 2, 0.5, 0.2, {})]
    shown = shown_of(logic)
    assert any(line.split()[:4] == ["2", "logic", "vm", "now"] for line in shown)
    assert not any("not heard of" in line for line in shown)


def test_a_pool_of_which_no_process_is_heard_of_is_told() -> None:
    logic = [ProcessLine("logic", "vm", pid, 60.0, 70.0, {}) for pid in (1, 2)]
    assert sum("not heard of for 60 s" in line for line in shown_of(logic)) == 2


def test_trouble_is_told_on_top() -> None:
    assert "Redis is away" in lines(snapshot([], 0, 0, trouble="Redis is away: refused"), 80, 24)[0]


def test_clocks_are_those_of_the_stable() -> None:
    for zone, clock in (("Asia/Kolkata", "05:30:00"), ("America/New_York", "19:00:00")):
        shown = lines(snapshot([camera(1)]), 100, 40, ZoneInfo(zone))
        assert shown[0].endswith(clock)
        assert any(line.startswith(clock) for line in shown[1:])
