"""`fbtasks up`: everything from one command, and nothing left of it after Ctrl-C."""

import json
import urllib.request
from pathlib import Path

from redis import Redis

from tests.acceptance.stable import Listener, camera
from tests.conftest import LoopedClip
from tests.ports import free_port
from tests.processes import Processes
from tests.rtsp_server import RtspServer
from tests.waiting import wait_until

SECRET = "s3cret-pa55"


def test_up_runs_everything_and_ctrl_c_leaves_nothing(
    tmp_path: Path, processes: Processes, rtsp_server: RtspServer, looped_clip: LoopedClip, shared_data: Path
) -> None:
    url = rtsp_server.serve("box", looped_clip("horse_paddock_360p30", 120), user="groom", password=SECRET)
    state, frames, flower = free_port(), free_port(), free_port()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "fbtasks.toml").write_text(
        "\n".join(
            [
                f'data_dir = "{tmp_path / "data"}"',
                f'[gpu]\nmodel = "{shared_data / "models" / "yolo11n.onnx"}"',
                f"[up]\nstate_port = {state}\nframes_port = {frames}\nflower_port = {flower}",
                camera("box", url),
            ]
        )
    )
    env = {"TMPDIR": str(scratch), "FLOWER_UNAUTHENTICATED_API": "true"}
    up = processes.start("fbtasks", "up", env=env)

    wait_until(lambda: up.exit_code is not None or "Flower: http" in up.output(), 60, "up to have started")
    listener = Listener(Redis(port=state))
    wait_until(lambda: len(listener.hear()["box"]) >= 10, 60, "decisions")
    tasks = f"http://127.0.0.1:{flower}/api/tasks?taskname=fbtasks.process_camera&limit=5"
    wait_until(lambda: _json(tasks), 30, "Flower to show the tasks")
    # Without being told where Redis is, as one would type it in another terminal.
    wait_until(lambda: processes.start("fbtasks", "check").wait(30) == 0, 60, "fbtasks check to find everything well")
    listener.close()

    assert up.interrupt(30) == 0, up.tail()
    assert not up.survivors()
    assert not list(scratch.iterdir()), "temporary files were left"
    for port in (state, frames, flower):
        assert _is_free(port)
    assert SECRET not in processes.tails()
    assert SECRET not in up.output()
    assert "Traceback" not in up.output(), up.tail()


def _json(url: str) -> object:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def _is_free(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
    except ConnectionResetError:
        return False
    except OSError as error:
        return "refused" in str(error)
    return False
