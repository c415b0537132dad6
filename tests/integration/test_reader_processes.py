"""Cameras are read in processes of their own: what hangs or falls there takes no other camera along."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from fbtasks.camera_history import CameraHistory
from fbtasks.health import SILENT_READER_S, CameraReport, HealthBoard, Report
from fbtasks.keys import Keys
from fbtasks.producer.fleet import Fleet
from fbtasks.producer.messages import Setup
from fbtasks.settings import CameraSettings, Settings
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import decode_frame
from tests.conftest import LoopedClip
from tests.processes import Process, Processes
from tests.rtsp_server import RtspServer
from tests.servers import Valkey
from tests.waiting import wait_until

READER = "reader.main()"
PATIENCE_S = 60.0
QUICK = {"open_timeout_s": 1.0, "read_timeout_s": 2.0, "hang_s": 1.0, "backoff_max_s": 1.0}

Produce = Callable[..., Process]


@pytest.fixture
def produce(processes: Processes, valkey: Valkey, tmp_path: Path) -> Produce:
    """`produce({id: url}, processes=1)`: the daemon with these cameras and producer settings."""

    def start(cameras: dict[str, str], **producer: float) -> Process:
        tables = [f"[[cameras]]\nid = {json.dumps(name)}\nurl = {json.dumps(url)}" for name, url in cameras.items()]
        limits = [f"{name} = {value}" for name, value in {**QUICK, **producer}.items()]
        settings = tmp_path / "fbtasks.toml"
        settings.write_text("\n".join([f"redis_url = {json.dumps(valkey.url)}", "[producer]", *limits, *tables]))
        return processes.start("fbtasks", "--config", str(settings), "produce", name="produce")

    return start


@pytest.fixture
def cameras(rtsp_server: RtspServer, looped_clip: LoopedClip) -> dict[str, str]:
    """Two good cameras, `a` and `b`."""
    clip = looped_clip("horse_paddock_360p30", 300)
    return {name: rtsp_server.serve(name, clip) for name in ("a", "b")}


@pytest.fixture
def hanging_url(tmp_path: Path) -> str:
    """A camera at whose opening FFmpeg hangs for good, whatever time-outs it is given: a pipe that nobody writes to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    return f"file://{pipe}"


def readers(process: Process) -> list[int]:
    """The reader processes of a producer."""
    return [pid for pid, line in process.survivors().items() if READER in line]


def told(valkey: Valkey) -> Report | None:
    with connect(valkey.url, 5.0) as client:
        return next((one for one in HealthBoard(client, Keys()).read() if one.role == "producer"), None)


def camera(valkey: Valkey, camera_id: str) -> CameraReport | None:
    report = told(valkey)
    return report.cameras.get(camera_id) if report else None


def runs(valkey: Valkey, camera_id: str) -> bool:
    seen = camera(valkey, camera_id)
    return seen is not None and seen.state == "running"


def silent_s(valkey: Valkey, camera_id: str) -> float:
    """For how long the camera has had no frame, as far as is told."""
    seen = camera(valkey, camera_id)
    assert seen is not None
    assert seen.last_frame_at is not None
    return time.time() - seen.last_frame_at


def await_new_frames(valkey: Valkey, *camera_ids: str) -> None:
    """Until each has sent some from now on."""
    seen: set[str] = set()
    with connect(valkey.url, 5.0) as client:
        queue = FrameQueue(client, Keys(), 1000)
        queue.drain()

        def all_seen() -> bool:
            seen.update(decode_frame(message).camera_id for message in queue.take(32, 0.2))
            return seen >= set(camera_ids)

        wait_until(all_seen, PATIENCE_S, f"frames of {camera_ids}")


def await_running(valkey: Valkey, *camera_ids: str) -> None:
    for camera_id in camera_ids:
        wait_until(lambda: runs(valkey, camera_id), PATIENCE_S, f"{camera_id} to run")  # noqa: B023


@pytest.mark.usefixtures("no_immortal_keys")
def test_a_call_that_hangs_for_good_ends_its_process_and_no_other_camera(
    produce: Produce, cameras: dict[str, str], hanging_url: str, valkey: Valkey
) -> None:
    process = produce({**cameras, "hung": hanging_url}, processes=1)
    await_running(valkey, "a", "b")
    (old,) = readers(process)
    wait_until(lambda: "camera hung: a call into the decoder" in process.output(), PATIENCE_S, "the hang to be noticed")
    wait_until(lambda: old not in readers(process), PATIENCE_S, "the process that hung to be ended")
    await_new_frames(valkey, "a", "b")
    # Alone in its process it is tried again and again.
    wait_until(lambda: process.output().count("camera hung: a call") >= 2, PATIENCE_S, "another try")
    seen = camera(valkey, "hung")
    assert seen is not None
    assert seen.state in ("stalled", "connecting")
    assert process.output().count("camera a: running, decoded") == 2, "it has moved once"
    with valkey.client() as client:
        changes = [change for _, change in CameraHistory(client, Keys()).peek(1000) if change is not None]
    assert [change.state for change in changes if change.camera_id == "a"] == ["running"]
    assert [change.state for change in changes if change.camera_id == "hung"] == ["stalled"]
    assert process.terminate() == 0
    assert not process.survivors()


def test_cameras_of_a_process_that_dies_come_back_in_two(
    produce: Produce, cameras: dict[str, str], valkey: Valkey
) -> None:
    process = produce(cameras, processes=1)
    await_running(valkey, "a", "b")
    (only,) = readers(process)
    before = told(valkey)
    os.kill(only, signal.SIGSEGV)
    wait_until(lambda: len(readers(process)) == 2, PATIENCE_S, "two processes")
    await_new_frames(valkey, "a", "b")
    wait_until(lambda: (now := told(valkey)) and now.facts["processes"] == 2, PATIENCE_S, "the report")
    now = told(valkey)
    assert before is not None
    assert now is not None
    assert now.counters["frames_read"] >= before.counters["frames_read"], "what the dead process did still counts"
    assert "ended (SIGSEGV)" in process.output()
    assert process.terminate() == 0
    assert not process.survivors()


def test_a_process_that_was_given_no_time_is_not_ended(
    produce: Produce, cameras: dict[str, str], valkey: Valkey
) -> None:
    process = produce(cameras, processes=1)
    await_running(valkey, "a", "b")
    (only,) = readers(process)
    os.kill(only, signal.SIGSTOP)
    limit_s = 2 * QUICK["read_timeout_s"] + QUICK["hang_s"]
    wait_until(lambda: silent_s(valkey, "a") > limit_s + 2, PATIENCE_S, "longer than a call may take")
    assert (now := told(valkey)) is not None
    assert float(now.facts[SILENT_READER_S]) > 2.0
    os.kill(only, signal.SIGCONT)
    await_new_frames(valkey, "a", "b")
    await_running(valkey, "a", "b")
    assert (now := told(valkey)) is not None
    assert SILENT_READER_S not in now.facts
    assert readers(process) == [only]
    assert "hangs" not in process.output()


def test_as_many_processes_as_are_asked_for(produce: Produce, cameras: dict[str, str], valkey: Valkey) -> None:
    process = produce(cameras, processes=2)
    await_running(valkey, "a", "b")
    assert len(readers(process)) == 2
    assert process.interrupt() == 0, "a Ctrl-C reaches the readers too"
    assert "Traceback" not in process.output()
    assert not process.survivors()


def test_no_reader_outlives_a_producer_that_is_killed(
    produce: Produce, cameras: dict[str, str], hanging_url: str, valkey: Valkey
) -> None:
    process = produce({**cameras, "hung": hanging_url}, hang_s=600)
    await_running(valkey, "a", "b")
    process.kill()
    wait_until(lambda: not process.survivors(), PATIENCE_S, "the readers to be gone")


def test_a_reader_that_takes_no_orders_does_not_hold_up_the_producer() -> None:
    settings = Settings(redis_url=SecretStr("redis://127.0.0.1:1"))
    setup = Setup(
        producer=settings.producer,
        gpu=settings.gpu,
        frames=settings.frames,
        redis=settings.redis,
        frames_url=settings.frames_url,
        evidence=settings.evidence,
        log=settings.log,
    )

    def cameras(count: int) -> list[CameraSettings]:
        return [CameraSettings(id=f"box-{number}", url=SecretStr("rtsp://127.0.0.1:1/")) for number in range(count)]

    def is_reading(count: int) -> bool:
        fleet.hear()
        return len(fleet.reports()[0].cameras) == count

    def change_often() -> None:
        for number in range(1000):
            fleet.assign(cameras(20 + number % 2))

    fleet = Fleet(setup, cores=1)
    fleet.assign(cameras(1))
    try:
        wait_until(lambda: is_reading(1), PATIENCE_S, "the reader to start")
        (reader,) = fleet._readers
        os.kill(reader.pid, signal.SIGSTOP)
        changing = threading.Thread(target=change_often, daemon=True)
        changing.start()
        changing.join(PATIENCE_S)
        waits = changing.is_alive()
        os.kill(reader.pid, signal.SIGCONT)
        assert not waits, "for a process that hangs"
        wait_until(lambda: is_reading(21), PATIENCE_S, "the last order to hold")
    finally:
        fleet.stop()
