"""The command line as a technician meets it: exit codes, messages, and no password in any of them."""

import json
import sys
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from fbtasks.cli.infer import EX_CONFIG
from fbtasks.embedded import claimed
from fbtasks.keys import TASKS_CAP
from tests import tiny_detector
from tests.ports import free_port
from tests.processes import Process, Processes
from tests.servers import Valkey
from tests.waiting import wait_until

SECRET = "s3cret-pa55"
CAMERA = f'[[cameras]]\nid = "box-3"\nurl = "rtsp://groom:{SECRET}@10.0.0.7/live"\n'
TIMEOUT_S = 60.0


def ended(processes: Processes, *argv: str, **env: str) -> Process:
    process = processes.start("fbtasks", *argv, env=env)
    process.wait(TIMEOUT_S)
    assert "Traceback" not in process.output()
    assert SECRET not in process.output()
    return process


def test_config_prints_the_effective_settings_without_secrets(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(CAMERA + "[gpu]\nmax_batch = 4\n")
    url = f"redis://:{SECRET}@redis.local:6379/1"
    told = ended(processes, "--config", "site.toml", "config", FBTASKS_REDIS_URL=url, FBTASKS_GPU__MAX_BATCH="16")
    assert told.exit_code == 0
    shown = json.loads(told.output())
    assert shown["gpu"]["max_batch"] == 16
    assert shown["redis_url"] == "redis://***@redis.local:6379/1"
    assert shown["cameras"][0]["url"] == "rtsp://***@10.0.0.7/live"


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("config", "[gpu]\nmaxbatch = 4\n", "gpu.maxbatch: unknown setting (did you mean 'max_batch'?)"),
        ("config", CAMERA + "[cameras.rules.lyng]\n", "rules.lyng: unknown rule (did you mean 'lying'?)"),
        ("infer", CAMERA, "gpu.model is not set"),
        ("up", CAMERA, "gpu.model is not set"),
        ("up", CAMERA + "[rules.lying]\nclear_after = 3\n[gpu]\nmodel = 'm.onnx'\n", "did you mean 'clear_after_s'?"),
        ("up", CAMERA + "[gpu]\nmodel = './m.onnx'\n", "there is no file"),
        (
            "config",
            "[sinks.backend]\nkind = 'webhook'\nurl = 'backend.example/alerts'\n",
            "sinks.backend.url cannot be posted to",
        ),
        ("config", "[store]\nurl = 'oracle://host/alerts'\n", "store.url: 'oracle' is not supported"),
    ],
)
def test_wrong_settings_are_refused_at_once(
    processes: Processes, tmp_path: Path, command: str, text: str, said: str
) -> None:
    (tmp_path / "fbtasks.toml").write_text(text)
    refused = ended(processes, command)
    assert refused.exit_code == 2
    assert said in refused.output()


def test_a_file_that_cannot_be_read_is_one_line(processes: Processes, tmp_path: Path) -> None:
    folder = tmp_path / "nights" / "a.results"
    folder.mkdir(parents=True)
    refused = ended(processes, "replay", str(folder.parent))
    assert refused.exit_code == 1
    assert refused.output().strip() == f"fbtasks: {folder}: Is a directory"


def test_a_gpu_that_is_not_there_is_refused_and_auto_says_what_it_fell_to(
    processes: Processes, valkey: Valkey, tmp_path: Path
) -> None:
    model = tiny_detector.saved(tmp_path)
    env = {
        "FBTASKS_REDIS_URL": valkey.url,
        "FBTASKS_DATA_DIR": str(tmp_path / "data"),
        "FBTASKS_GPU__MODEL": str(model),
        "CUDA_VISIBLE_DEVICES": "",
    }
    refused = ended(processes, "infer", **env, FBTASKS_GPU__PROVIDER="cuda")
    assert refused.exit_code == EX_CONFIG
    assert "NVIDIA" in refused.output() or "CUDA" in refused.output()

    fallen = processes.start("fbtasks", "infer", env=env)
    wait_until(lambda: "ready:" in fallen.output(), TIMEOUT_S, "the worker to be ready")
    assert "WARNING infer the model runs on" in fallen.output()
    assert "tensorrt:" in fallen.output()
    assert fallen.terminate() == 0


def test_check_without_redis_says_so(processes: Processes) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"
    told = ended(processes, "check", FBTASKS_REDIS_URL=url)
    assert told.exit_code == 2
    assert told.output().startswith("DOWN  redis")
    assert "redis://***@127.0.0.1" in told.output()


def test_check_before_the_first_start_makes_no_database(processes: Processes, tmp_path: Path) -> None:
    data = tmp_path / "data"
    away = f"redis://127.0.0.1:{free_port()}/0"
    assert ended(processes, "check", FBTASKS_REDIS_URL=away, FBTASKS_DATA_DIR=str(data)).exit_code == 2
    assert not data.exists()


def test_a_second_up_in_the_same_data_folder_is_refused(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "fbtasks.toml").write_text(CAMERA)
    model = tiny_detector.saved(tmp_path)
    env = {"FBTASKS_DATA_DIR": str(tmp_path / "data"), "FBTASKS_GPU__MODEL": str(model)}
    with claimed(tmp_path / "data"):
        refused = ended(processes, "up", **env)
    assert refused.exit_code == 2
    assert f"another `fbtasks up` works in {tmp_path / 'data'}" in refused.output()


def test_a_data_folder_that_cannot_be_made_is_refused(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "fbtasks.toml").write_text(CAMERA)
    model = tiny_detector.saved(tmp_path)
    refused = ended(processes, "up", FBTASKS_DATA_DIR=str(model / "data"), FBTASKS_GPU__MODEL=str(model))
    assert refused.exit_code == 2
    assert f"data_dir {model / 'data'} cannot be written" in refused.output()


def test_check_with_nothing_running_names_every_role(processes: Processes, valkey: Valkey, tmp_path: Path) -> None:
    (tmp_path / "fbtasks.toml").write_text(CAMERA)
    told = ended(processes, "check", FBTASKS_REDIS_URL=valkey.url, FBTASKS_DATA_DIR=str(tmp_path / "data"))
    assert told.exit_code == 2
    down = {line.split()[1] for line in told.output().splitlines() if line.startswith("DOWN")}
    assert down >= {"producer", "gpu", "logic", "beat", "camera"}


def test_top_without_redis_says_so(processes: Processes) -> None:
    told = ended(processes, "top", "--seconds", "1", FBTASKS_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert told.exit_code == 1
    assert "fbtasks  Redis is away" in told.output()


WAKE_ONCE = """
from fbtasks.cli.infer import waker
from fbtasks.settings import load_settings

waker(load_settings())(["box-3"])
"""


def test_tasks_that_nobody_takes_do_not_fill_redis(processes: Processes, valkey: Valkey) -> None:
    client = Redis.from_url(valkey.url)
    client.lpush("site:logic", *["an old task"] * (TASKS_CAP + 100))
    env = {"FBTASKS_REDIS_URL": valkey.url, "FBTASKS_REDIS__PREFIX": "site:"}
    assert processes.start(Path(sys.executable).name, "-c", WAKE_ONCE, env=env, name="wake").wait(30) == 0
    assert client.llen("site:logic") == TASKS_CAP
    newest, second = cast(list[bytes], client.lrange("site:logic", 0, 1))
    assert b"fbtasks.process_camera" in newest
    assert second == b"an old task"


WAKE = """
import os, signal, sys
from time import monotonic
from fbtasks.cli.infer import waker
from fbtasks.settings import load_settings

wake = waker(load_settings())
wake(["box-3"])
os.kill(int(sys.argv[1]), signal.SIGSTOP)
began = monotonic()
wake(["box-3"])
print("took", monotonic() - began)
"""


def test_a_broker_that_hangs_does_not_hang_the_gpu_worker(processes: Processes, valkey: Valkey) -> None:
    env = {"FBTASKS_REDIS_URL": valkey.url, "FBTASKS_REDIS__TIMEOUT_S": "1"}
    process = processes.start(Path(sys.executable).name, "-c", WAKE, str(valkey.pid), env=env, name="wake")
    try:
        assert process.wait(30) == 0, process.tail()
    finally:
        valkey.resume()
    assert "camera box-3: not woken, the broker is away" in process.output()
    assert float(process.output().split("took ")[1]) < 5.0


def test_up_gives_up_on_a_model_that_cannot_be_used(processes: Processes, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"no model")
    (tmp_path / "fbtasks.toml").write_text(
        CAMERA + "[up]\nstate_port = 0\nframes_port = 0\nflower_port = 0\nconcurrency = 1\n"
    )
    up = processes.start(
        "fbtasks", "up", env={"FBTASKS_DATA_DIR": str(tmp_path / "data"), "FBTASKS_GPU__MODEL": str(model)}
    )
    assert up.wait(110) == EX_CONFIG, up.tail()
    assert "infer refused to start 3 times" in up.output()
    assert "model.onnx" in up.output()
    assert not up.survivors()
