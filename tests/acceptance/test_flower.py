"""Flower as one starts it: who works, what they do, and who may look."""

import base64
import json
import re
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests import tiny_detector
from tests.acceptance.stable import Stable, camera
from tests.conftest import LoopedClip
from tests.ports import LOOPBACK, free_port
from tests.processes import Processes
from tests.rtsp_server import RtspServer
from tests.waiting import wait_until

USER, PASSWORD = "groom", "oats-and-hay"
LOGIN = f'[flower]\nuser = "{USER}"\npassword = "{PASSWORD}"'


def ask(port: int, path: str, login: str = f"{USER}:{PASSWORD}") -> Any:
    """What Flower's interface answers; None while nobody does.

    Raises:
        HTTPError: it refuses.
    """
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}/api/{path}")
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)
    except HTTPError:
        raise
    except OSError:
        return None


def roles(port: int) -> set[str]:
    """Of the workers that are up, as Flower's page shows them."""
    return {name.split("@")[0] for name, alive in (ask(port, "workers?status=1") or {}).items() if alive}


@pytest.mark.timeout(240)  # five processes start one after the other, on a machine that may be busy
def test_the_worker_the_gpu_worker_and_the_producer_are_there_with_their_tasks(
    stable: Stable, processes: Processes, rtsp_server: RtspServer, looped_clip: LoopedClip, tmp_path: Path
) -> None:
    stable.settings(
        f'[gpu]\nmodel = "{tiny_detector.saved(tmp_path)}"\ninput_width = 96\ninput_height = 96',
        LOGIN,
        camera("paddock", rtsp_server.serve("paddock", looped_clip("horse_paddock_360p30", 120))),
    )
    port = free_port()
    flower = processes.start("celery", "-A", "fbtasks", "flower", f"--port={port}", env=stable.env, name="flower")
    wait_until(lambda: ask(port, "workers") is not None, 60, "Flower to answer")
    started = stable.start_all()

    wait_until(lambda: roles(port) >= {"celery", "infer", "produce"}, 60, "all three to be there")
    for task in ("gpu.batch", "producer.push", "fbtasks.process_camera"):
        wait_until(partial(ask, port, f"tasks?taskname={task}&limit=5"), 30, f"{task} to be told")
    batch = next(iter(ask(port, "tasks?taskname=gpu.batch&limit=1").values()))
    assert batch["state"] == "SUCCESS"
    assert re.fullmatch(r"\(\d+ frames on \w+,\)", batch["args"])
    assert batch["runtime"] > 0
    with pytest.raises(HTTPError, match="401"):
        ask(port, "workers", login="")
    with pytest.raises(HTTPError, match="401"):
        ask(port, "workers", login=f"{USER}:barley")
    assert PASSWORD not in "".join(flower.survivors().values())
    assert PASSWORD not in flower.output()

    started["infer"].terminate(20)

    wait_until(lambda: roles(port) == {"celery", "produce"}, 30, "Flower to see that the GPU worker is gone")


def test_it_listens_on_loopback_alone(stable: Stable, processes: Processes) -> None:
    stable.settings("")
    port = free_port()
    processes.start("celery", "-A", "fbtasks", "flower", f"--port={port}", env=stable.env, name="flower")
    wait_until(lambda: listening_at(port), 60, "Flower to listen")
    assert listening_at(port) == {"0100007F"}


def listening_at(port: int) -> set[str]:
    """Addresses at which a socket of this machine listens on the port, as the kernel writes them (Linux)."""
    lines = [line.split() for file in ("tcp", "tcp6") for line in Path(f"/proc/net/{file}").read_text().splitlines()]
    local = [words[1].split(":") for words in lines if len(words) > 3 and words[3] == "0A"]
    return {address for address, number in local if int(number, 16) == port}


def test_nor_does_up_open_it(stable: Stable) -> None:
    stable.settings('[flower]\naddress = "0.0.0.0"')
    up = stable.run("fbtasks", "up")
    assert up.exit_code == 2
    assert "fbtasks: Flower would be open to everybody on 0.0.0.0" in up.output()


def test_without_a_login_it_is_not_opened_to_other_machines(stable: Stable, processes: Processes) -> None:
    stable.settings("")
    argv = ("celery", "-A", "fbtasks", "flower", "--address=0.0.0.0", f"--port={free_port()}")
    flower = processes.start(*argv, env=stable.env, name="flower")
    assert flower.wait(60) == 1
    assert "fbtasks: Flower would be open to everybody on 0.0.0.0: set flower.user" in flower.output()
    assert "Traceback" not in flower.output()
