"""Every process tells its metrics to whoever asks as Prometheus does, the several processes of a Celery worker too."""

import os
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from fbtasks.health import Role
from fbtasks.keys import Keys
from fbtasks.logic.store import open_store
from fbtasks.metrics import DECLARED, port_of
from fbtasks.settings import PrometheusSettings
from tests import tiny_detector
from tests.acceptance.stable import Stable, camera
from tests.conftest import LoopedClip
from tests.ports import free_port
from tests.rtsp_server import RtspServer
from tests.scrape import scrape, value
from tests.waiting import wait_until

RULES = """
[logic]
silent_after_s = 3
[rules.camera_blind]
first_picture_after_s = 0
warning_after_s = 4
critical_after_s = false
"""


def metrics_settings() -> PrometheusSettings:
    """Four ports in a row that are free, or nearly so."""
    return PrometheusSettings(port=free_port())


def undelivered(role: Role, port: int) -> set[str]:
    """Declared metrics that the process does not tell yet."""
    told = scrape(port)
    return {metric.name for metric in DECLARED[role] if metric.name not in told or not told[metric.name].samples}


def counted(port: int) -> Counter[str]:
    """Alerts by rule, as the worker tells."""
    told = Counter[str]()
    for sample in scrape(port)["fbtasks_alerts_total"].samples:
        if sample.name == "fbtasks_alerts_total":
            told[sample.labels["rule"]] += int(sample.value)
    return told


def stored(stable: Stable) -> Counter[str]:
    """Alerts by rule, in the store."""
    store = open_store(f"sqlite:///{stable.folder / 'data' / 'fbtasks.sqlite'}")
    try:
        return Counter(alert.rule for alert in store.recent_alerts(1000))
    finally:
        store.close()


def tells_all(role: Role, port: int) -> bool:
    """Whether the process tells every declared metric."""
    return not undelivered(role, port)


@pytest.mark.timeout(240)  # four processes start one after the other, on a machine that may be busy
def test_every_process_tells_all_its_metrics(
    stable: Stable, rtsp_server: RtspServer, looped_clip: LoopedClip, tmp_path: Path
) -> None:
    prometheus = metrics_settings()
    ports = {role: port_of(prometheus, role) for role in DECLARED}
    stable.settings(
        f'[gpu]\nmodel = "{tiny_detector.saved(tmp_path)}"\ninput_width = 96\ninput_height = 96',
        f"[prometheus]\nport = {prometheus.port}",
        RULES,
        camera("paddock", rtsp_server.serve("paddock", looped_clip("horse_paddock_360p30", 120))),
        camera("dead", "rtsp://127.0.0.1:9/none"),
    )
    processes = stable.start_all()
    with stable.frames.client() as frames:
        frames.rpush(Keys().batch_frames, b"no frame")
    for role, port in ports.items():
        assert port is not None
        wait_until(partial(tells_all, role, port), 60, f"all of {role}; {undelivered(role, port)}")

    producer, gpu, logic, beat = (scrape(port or 0) for port in ports.values())
    assert value(producer, "fbtasks_camera_running", camera="paddock") == 1
    assert value(producer, "fbtasks_camera_running", camera="dead") == 0
    assert value(gpu, "fbtasks_frames_dropped_total", reason="refused") == 1
    for stage in ("capture", "queue_wait", "decode", "inference", "publish"):
        assert value(gpu, "fbtasks_stage_seconds_count", stage=stage) > 0
    for stage in ("logic_wait", "logic", "delivery"):
        assert value(logic, "fbtasks_stage_seconds_count", stage=stage) > 0
    assert value(logic, "fbtasks_deliveries_total", sink="pubsub", outcome="delivered") >= 1
    assert value(logic, "fbtasks_dead_letters", kind="frames") == 1
    assert value(beat, "fbtasks_beat_tasks_sent_total", task="fbtasks.sweep") > 0
    wait_until(lambda: counted(ports["logic"] or 0) == stored(stable), 30, "each alert to be counted once")
    for process in processes.values():
        assert process.terminate(20) == 0, process.tail()
        assert "Traceback" not in process.output()


def test_what_a_killed_process_of_a_worker_counted_stays_counted(stable: Stable) -> None:
    prometheus = metrics_settings()
    stable.settings(f"[prometheus]\nport = {prometheus.port}")
    port = port_of(prometheus, "logic") or 0
    folder = stable.folder / "data" / "metrics" / f"worker-{port}"
    folder.mkdir(parents=True)
    (folder / "counter_77.db").write_bytes(b"left by a worker before")
    worker = stable.start("worker")
    stable.start("beat")

    def swept() -> float:
        return value(scrape(port), "fbtasks_task_seconds_count", task="fbtasks.sweep")

    wait_until(lambda: swept() >= 2, 60, "the sweep to run")
    children = [pid for pid in worker.survivors() if pid != worker.pid]
    before, files = swept(), {file.name for file in folder.iterdir()}
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: swept() > before, 60, "its successor to count on")
    assert {file.name for file in folder.iterdir()} >= files
    assert len(list(folder.glob("counter_*.db"))) <= len(children)
    assert "counter_77.db" not in files


def test_without_a_port_nobody_listens(stable: Stable) -> None:
    stable.settings("")
    worker = stable.start("worker")
    assert "metrics:" not in worker.output()
    assert not (stable.folder / "data" / "metrics").exists()


def test_a_taken_port_is_told_and_the_work_goes_on(stable: Stable) -> None:
    prometheus = metrics_settings()
    stable.settings(f"[prometheus]\nport = {prometheus.port}")
    first = stable.start("worker")
    second = stable.start("worker")
    assert "metrics: http://127.0.0.1:" in first.output()
    assert f"no metrics: 127.0.0.1 port {port_of(prometheus, 'logic')} cannot be used" in second.output()
