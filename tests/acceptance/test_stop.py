"""SIGTERM to each process: it ends within five seconds, with what it held finished, and exit code 0."""

from pathlib import Path

import pytest

from tests.acceptance.stable import Listener, Stable, camera
from tests.conftest import LoopedClip
from tests.rtsp_server import RtspServer
from tests.waiting import wait_until

STOP_S = 5.0


@pytest.fixture
def busy(stable: Stable, rtsp_server: RtspServer, looped_clip: LoopedClip, shared_data: Path) -> Stable:
    """A site with two cameras; nothing started yet."""
    stable.settings(
        f'[gpu]\nmodel = "{shared_data / "models" / "yolo11n.onnx"}"',
        camera("pair", rtsp_server.serve("pair", looped_clip("two_horses_540p25", 120))),
        camera("paddock", rtsp_server.serve("paddock", looped_clip("horse_paddock_360p30", 120))),
    )
    return stable


def test_every_process_stops_in_time_and_order_loses_nothing(busy: Stable, listener: Listener) -> None:
    processes = busy.start_all()
    wait_until(lambda: all(len(listener.hear()[name]) > 10 for name in ("pair", "paddock")), 60, "decisions")

    # The source first. What is on its way then reaches a decision before the next stage is stopped.
    assert processes["produce"].terminate(STOP_S) == 0, processes["produce"].tail()
    frames = busy.frames.client()
    wait_until(lambda: frames.llen("batch_frames") == 0, 5, "the list of frames to be empty")
    assert processes["infer"].terminate(STOP_S) == 0, processes["infer"].tail()
    state = busy.state.client()
    wait_until(lambda: not any(state.xlen(key) for key in state.scan_iter("batch_results:*")), 5, "empty mailboxes")
    sent = int(processes["infer"].output().rsplit("stopped after", 1)[1].split()[0])
    assert sent > 0
    assert processes["beat"].terminate(STOP_S) == 0, processes["beat"].tail()
    assert processes["worker"].terminate(STOP_S) == 0, processes["worker"].tail()

    for decisions in listener.hear().values():
        numbers = [told["seq"] for told in decisions]
        assert numbers == sorted(set(numbers))
    assert not list(state.scan_iter("camera:*:owner")), "a camera was left in the hands of nobody"
    for name, process in processes.items():
        assert "Traceback" not in process.output(), process.tail()
        assert not process.survivors(), name


@pytest.mark.parametrize("name", ["infer", "worker"])
def test_a_process_stops_while_work_pours_in(busy: Stable, listener: Listener, name: str) -> None:
    processes = busy.start_all()
    wait_until(lambda: all(len(listener.hear()[camera]) > 5 for camera in ("pair", "paddock")), 60, "decisions")
    assert processes[name].terminate(STOP_S) == 0, processes[name].tail()

    heard = {camera: len(told) for camera, told in listener.hear().items()}
    processes[name] = busy.start(name)
    wait_until(lambda: all(len(told) > heard[camera] + 5 for camera, told in listener.hear().items()), 30, "its return")
    for camera_id, decisions in listener.hear().items():
        stamps = [told["captured_at"] for told in decisions]
        assert stamps == sorted(set(stamps)), camera_id
