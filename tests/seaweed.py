"""SeaweedFS on loopback, a server of S3's protocol that checks signatures."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.ports import LOOPBACK, free_port
from tests.processes import Process, Processes
from tests.waiting import wait_until

PROGRAM = Path(sys.executable).parent / "weed"
ACCESS_KEY, SECRET_KEY = "stable", "hidden away"
START_S = 60.0


class Seaweed:
    """The server; a bucket is made by the first object in it."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        if not PROGRAM.exists() and shutil.which("weed") is None:
            pytest.skip("SeaweedFS is not installed; where there is a build of it, the development packages bring it")
        self._processes = processes
        self._process: Process | None = None
        self._folder = folder
        self._port = free_port()
        self._other_ports = {f"-{part}": str(free_port()) for part in ("master.port", "volume.port", "filer.port")}
        self.url = f"http://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Start it, with the objects that it had."""
        self._folder.mkdir(exist_ok=True)
        login = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [{"name": "us", "credentials": [login], "actions": ["Admin"]}]}))
        ports = [word for pair in self._other_ports.items() for word in pair]
        self._process = process = self._processes.start(
            "weed", "-logtostderr", "server", "-dir", str(self._folder), "-ip", LOOPBACK, "-ip.bind", LOOPBACK,
            "-s3", "-s3.port", str(self._port), "-s3.config", str(config), "-volume.max", "10", *ports,
            "-master.volumeSizeLimitMB", "64",
        )  # fmt: skip
        wait_until(lambda: "Start Seaweed S3 API Server" in process.output(), START_S, "the S3 server")

    def end(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.end()
