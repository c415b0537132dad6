"""`fbtasks infer` as a process: what it opens and tells, and that another takes its place when its engine hangs."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time

import cv2
import numpy as np
import pytest

from fbtasks.cli.infer import EXIT_HUNG, open_engines
from fbtasks.frame import Letterbox
from fbtasks.gpu.worker import FINISHED
from fbtasks.health import HealthBoard, Report
from fbtasks.keys import Keys
from fbtasks.settings import Settings, load_settings
from fbtasks.supervisor import Child, Supervisor
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import Frame, encode
from tests import tiny_detector
from tests.hanging_worker import SIDE
from tests.processes import Processes
from tests.servers import Valkey
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


def message(camera_id: str, width: int, height: int) -> bytes:
    """A frame of a camera whose pictures have the input's proportions."""
    now = time()
    box = Letterbox.fit(2 * width, 2 * height, width, height)
    jpeg = cv2.imencode(".jpg", np.full((height, width, 3), 128, np.uint8))[1].tobytes()
    return encode(
        Frame(
            camera_id=camera_id, seq=int(now * 1000), captured_at=now, sent_at=now, width=box.width, height=box.height,
            scale=box.scale, pad_x=box.pad_x, pad_y=box.pad_y, jpeg=memoryview(jpeg),
        )
    )  # fmt: skip


@pytest.fixture
def board(valkey: Valkey) -> HealthBoard:
    return HealthBoard(connect(valkey.url, 5.0), Keys())


@pytest.fixture
def frames(valkey: Valkey) -> FrameQueue:
    return FrameQueue(connect(valkey.url, 5.0), Keys(), 64)


def report(board: HealthBoard) -> Report | None:
    return next(iter(board.read()), None)


def settings_file(tmp_path: Path, *gpu: str) -> Path:
    file = tmp_path / "fbtasks.toml"
    lines = [f'data_dir = "{tmp_path}"', "[gpu]", "input_width = 96", "input_height = 96", *gpu]
    file.write_text("\n".join(lines))
    return file


def settings(tmp_path: Path, *gpu: str) -> Settings:
    return load_settings(settings_file(tmp_path, *gpu))


def test_an_engine_for_the_cameras_own_size_comes_by_itself(
    processes: Processes, valkey: Valkey, board: HealthBoard, frames: FrameQueue, tmp_path: Path
) -> None:
    model = tiny_detector.saved(tmp_path)
    file = settings_file(tmp_path, f'model = "{model}"')
    worker = processes.start("fbtasks", "--config", str(file), "infer", env={"FBTASKS_REDIS_URL": valkey.url})

    def inputs() -> object:
        """None while the worker still prepares."""
        told = report(board)
        return told and told.facts.get("inputs")

    def has_own_size() -> bool:
        frames.push([message("box-1", 96, 64)])
        return inputs() == "96x96,96x64"

    wait_until(lambda: inputs() == "96x96", 30, "the first engine")
    wait_until(has_own_size, 20, "the second engine")
    assert worker.terminate(10.0) == 0
    assert "pictures of 96x64 have an engine of their own now" in worker.output()


def test_a_model_of_one_size_takes_pictures_of_all(tmp_path: Path) -> None:
    model = tiny_detector.saved(tmp_path, tiny_detector.build(size=(96, 96)))
    engines = open_engines(settings(tmp_path, f'model = "{model}"'))
    assert engines.size_for(96, 64) == (96, 96)
    wait_until(lambda: not engines.is_opening, 20)
    assert engines.size_for(96, 64) == (96, 96)
    assert engines.sizes == [(96, 96)]


def test_with_a_fixed_input_there_is_one_engine(tmp_path: Path) -> None:
    model = tiny_detector.saved(tmp_path)
    engines = open_engines(settings(tmp_path, f'model = "{model}"', 'input = "fixed"'))
    assert engines.size_for(96, 64) == (96, 96)
    assert not engines.is_opening


@pytest.mark.timeout(240)  # two processes start one after the other, on a machine that may be busy
def test_a_worker_whose_engine_hangs_says_so_and_is_replaced(
    valkey: Valkey, board: HealthBoard, frames: FrameQueue, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = {"FBTASKS_GPU__INPUT_WIDTH": str(SIDE), "FBTASKS_GPU__INPUT_HEIGHT": str(SIDE)}
    env = os.environ | small | {
        "FBTASKS_REDIS_URL": valkey.url,
        "FBTASKS_DATA_DIR": str(tmp_path),
        "FBTASKS_GPU__HANG_S": "0.3",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    child = Child("infer", [sys.executable, "-m", "tests.hanging_worker"])
    supervisor, stop = Supervisor([child], stop_order=("infer",), env=env), threading.Event()

    def hung() -> list[Report]:
        return [told for told in board.read() if "hung" in told.facts]

    def two_hung() -> bool:
        """The second has worked before, for an engine hangs in its third run."""
        frames.push([message("box-1", SIDE, SIDE)])
        return len(hung()) == 2

    with ThreadPoolExecutor(1) as threads:
        supervisor.start(stop)
        watching = threads.submit(supervisor.watch, stop)
        try:
            wait_until(two_hung, 60, "two workers that hung")
        finally:
            stop.set()
            watching.result(10.0)
            supervisor.stop()
    for told in hung():
        assert "pictures has not ended after" in str(told.facts["hung"])
        assert told.counters["results"] >= 2
        assert told.counters["frames_lost"] >= 1
        assert told.counters["frames_taken"] == sum(told.counters.get(name, 0) for name in (*FINISHED, "frames_lost"))
    assert f"infer ended with exit code {EXIT_HUNG}; starting again" in caplog.text
