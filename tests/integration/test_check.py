"""`fbtasks check` as monitoring systems run it, and its pings."""

import re
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import time

import pytest

from fbtasks.health import HealthBoard, Report, Role
from fbtasks.keys import Keys
from fbtasks.logic.ping import Pinger
from fbtasks.logic.store import open_store
from fbtasks.transport import connect
from tests.conftest import ValkeyFactory
from tests.ports import LOOPBACK, free_port
from tests.processes import Process, Processes
from tests.servers import Valkey
from tests.waiting import wait_until

TIMEOUT_S = 60.0
SECRET = "s3cret-pa55"


class WatchdogService:
    """Remembers the paths that it was asked for."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        paths = self.paths

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server calls
                paths.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
                """Stay quiet."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}/ping/1"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[WatchdogService]:
    running = WatchdogService()
    yield running
    running.stop()


def ended(processes: Processes, *options: str, **env: str) -> Process:
    process = processes.start("fbtasks", "check", *options, env=env)
    process.wait(TIMEOUT_S)
    return process


def alive(valkey: Valkey, *roles: Role) -> None:
    """Reports that stay fresh for as long as a slow test may take."""
    with connect(valkey.url, 1.0) as redis:
        for role in roles:
            HealthBoard(redis, Keys()).write(Report(role, "stable", 1, time() + 60, time() + 60))


def make_store(folder: Path) -> None:
    """As the logic makes it when it starts."""
    (folder / "data").mkdir(exist_ok=True)
    store = open_store(f"sqlite:///{folder / 'data' / 'fbtasks.sqlite'}")
    store.migrate()
    store.close()


def test_nagios_gets_one_line_with_figures(processes: Processes, valkey_factory: ValkeyFactory, tmp_path: Path) -> None:
    valkey = valkey_factory(appendonly="yes")
    env = {"FBTASKS_REDIS_URL": valkey.url, "FBTASKS_DATA_DIR": str(tmp_path / "data")}
    down = ended(processes, "--nagios", **env)
    assert down.exit_code == 2
    assert re.match(r"FBTASKS CRITICAL - .*logic: never seen.* \| 'frames'=0;;;0 'results'=0", down.output())
    assert "store: holds nothing yet" in down.output()

    alive(valkey, "beat", "logic")
    make_store(tmp_path)
    well = ended(processes, "--nagios", **env)
    assert (well.exit_code, len(well.output().splitlines())) == (0, 1), well.output()
    assert well.output().startswith("FBTASKS OK - all is well | ")


def test_a_state_redis_without_a_file_is_warned_of(processes: Processes, valkey: Valkey, tmp_path: Path) -> None:
    alive(valkey, "beat", "logic")
    make_store(tmp_path)
    told = ended(processes, FBTASKS_REDIS_URL=valkey.url, FBTASKS_DATA_DIR=str(tmp_path / "data"))
    assert told.exit_code == 1
    assert re.search(r"^WARN  redis .*appendonly yes", told.output(), re.MULTILINE)


def test_settings_that_cannot_be_read_are_unknown(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "fbtasks.toml").write_text("[health]\ninterval = 1\n")
    told = ended(processes, "--nagios")
    assert told.exit_code == 3
    assert told.output().startswith("FBTASKS UNKNOWN - ")


def test_the_watch_tells_systemd_and_pings_and_says_when_all_is_well_again(
    processes: Processes, valkey_factory: ValkeyFactory, tmp_path: Path, service: WatchdogService
) -> None:
    valkey = valkey_factory(appendonly="yes")
    alive(valkey, "beat", "logic")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(TIMEOUT_S)
        watch = processes.start(
            "fbtasks",
            "check",
            "--watch",
            env={
                "FBTASKS_REDIS_URL": valkey.url,
                "FBTASKS_REDIS__TIMEOUT_S": "1",
                "FBTASKS_DATA_DIR": str(tmp_path / "data"),
                "FBTASKS_HEALTH__INTERVAL_S": "1",
                "FBTASKS_HEALTH__STALE_AFTER_S": "3",
                "FBTASKS_HEALTH__PING_URL": service.url,
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
            },
        )
        assert systemd.recv(1000) == b"READY=1"
        assert systemd.recv(1000).startswith(b"WATCHDOG=1\nSTATUS=")
        wait_until(lambda: "/ping/1" in service.paths, TIMEOUT_S, "a ping")
        valkey.kill()
        wait_until(lambda: "/ping/1/fail" in service.paths, TIMEOUT_S, "the ping that says so")
        wait_until(lambda: "raised: Redis" in watch.output(), TIMEOUT_S, "the alert")
        assert watch.terminate(TIMEOUT_S) == 0, watch.tail()


def test_pings_that_say_the_same_are_few_and_a_change_is_told_at_once(service: WatchdogService) -> None:
    pinger = Pinger(service.url, every_s=60.0)
    for now, well in ((0.0, True), (1.0, True), (59.0, True), (61.0, True), (62.0, False), (63.0, False), (64.0, True)):
        pinger.tell(well, now)
    assert service.paths == ["/ping/1", "/ping/1", "/ping/1/fail", "/ping/1"]


def test_a_ping_that_is_not_answered_is_tried_again_and_shows_no_url(caplog: pytest.LogCaptureFixture) -> None:
    pinger = Pinger(f"http://{LOOPBACK}:{free_port()}/{SECRET}", every_s=60.0)
    pinger.tell(True, 0.0)
    pinger.tell(True, 1.0)
    assert caplog.text.count("health.ping_url does not answer") == 2
    assert SECRET not in caplog.text
