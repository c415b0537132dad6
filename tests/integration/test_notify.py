"""The GPU worker as a service of systemd: ready when its model is, and alive as long as it says so."""

import socket
from pathlib import Path

from fbtasks.health import HealthBoard
from fbtasks.keys import Keys
from fbtasks.transport import connect
from tests.processes import Processes
from tests.servers import Valkey
from tests.tiny_detector import saved
from tests.waiting import wait_until

TIMEOUT_S = 90.0


def test_infer_is_ready_only_with_its_model_and_says_what_it_does(
    processes: Processes, valkey: Valkey, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, connect(valkey.url, 1.0) as redis:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(TIMEOUT_S)
        infer = processes.start(
            "fbtasks",
            "infer",
            env={
                "FBTASKS_REDIS_URL": valkey.url,
                "FBTASKS_DATA_DIR": str(tmp_path / "data"),
                "FBTASKS_GPU__MODEL": str(saved(tmp_path)),
                "FBTASKS_GPU__PROVIDER": "cpu",
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
            },
        )
        board = HealthBoard(redis, Keys())
        wait_until(board.read, TIMEOUT_S, "a report")
        assert [report.facts["state"] for report in board.read() if "state" in report.facts] == ["preparing"]
        said = [systemd.recv(1000)]
        while said[-1] != b"READY=1":
            assert said[-1] == b"WATCHDOG=1\nSTATUS=nothing done yet state=preparing"
            said.append(systemd.recv(1000))
        assert "ready:" in infer.output()
        assert b"provider=cpu" in systemd.recv(1000)

        infer.terminate(TIMEOUT_S)
        systemd.setblocking(False)
        rest = []
        try:
            while True:
                rest.append(systemd.recv(1000))
        except BlockingIOError:
            pass
        assert b"STOPPING=1" in rest
        assert not board.read(), "a worker that ends on purpose is not missed"
