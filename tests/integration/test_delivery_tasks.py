"""Deliveries in a real Celery worker: a backend that hangs must not hold up the horses."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fbtasks.keys import Keys
from fbtasks.logic.pace import Paces
from fbtasks.mailbox import Mailboxes
from fbtasks.wire import encode
from tests.acceptance.stable import Listener, Stable
from tests.alerts import first_alert
from tests.conftest import ValkeyFactory
from tests.ports import LOOPBACK
from tests.processes import Processes
from tests.results import result
from tests.waiting import wait_until

CAMERA = "box-1"


class Deaf:
    """A backend that takes connections and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server((LOOPBACK, 0))
        self.connections: list[socket.socket] = []
        self.at_once: list[int] = []
        """For each connection, how many there were when it came, itself too."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._socket.getsockname()[1]}/alerts"

    def close(self) -> None:
        self._socket.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            self.at_once.append(sum(map(_is_open, self.connections)))


def _is_open(connection: socket.socket) -> bool:
    """Whether its other side has not hung up; forgets what it said."""
    try:
        while connection.recv(65_536, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    backend = Deaf()
    yield backend
    backend.close()


def test_a_backend_that_hangs_holds_up_no_camera(
    tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes, deaf: Deaf
) -> None:
    server = valkey_factory()
    stable = Stable(tmp_path, server, server, processes)
    stable.settings(f'[sinks.backend]\nkind = "webhook"\nurl = "{deaf.url}"\ntimeout_s = 60')
    redis = server.client()
    for number in range(10):
        redis.xadd("alerts:outbox", {"d": first_alert(f"camera-{number}").model_dump_json()})
    listener = Listener(redis)
    stable.start("worker")
    stable.start("beat")
    wait_until(lambda: deaf.connections, 30, "the first delivery to hang")

    mailboxes = Mailboxes(redis, Keys(), length=100)
    for number in range(3):
        # Nobody sends a task here: each waits for its mark to expire and for the sweep, while the backend hangs.
        mailboxes.push({CAMERA: [encode(result(float(number), [], seq=number, camera_id=CAMERA))]})
        wait_until(lambda seen=number: len(listener.hear()[CAMERA]) > seen, 15, "a decision")  # type: ignore[misc]

    assert len(deaf.connections) == 1, "the backend was called again while it hung"
    listener.close()


def test_sinks_that_hang_together_hold_one_process_once_that_is_known(
    tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes, deaf: Deaf
) -> None:
    server = valkey_factory()
    stable = Stable(tmp_path, server, server, processes)
    sinks = ("backend", "groom", "vet")
    tables = [f'[sinks.{name}]\nkind = "webhook"\nurl = "{deaf.url}"\ntimeout_s = 1' for name in sinks]
    stable.settings(*tables, "[delivery]\nbackoff_max_s = 1")
    with server.client() as redis:
        for number in range(10):
            redis.xadd("alerts:outbox", {"d": first_alert(f"camera-{number}").model_dump_json()})
        stable.start("worker")
        stable.start("beat")
        paces = Paces(redis, Keys())
        wait_until(lambda: all(paces.read(name).failures for name in sinks), 60, "each sink to have failed")
        known = len(deaf.at_once) + 1
        wait_until(lambda: len(deaf.at_once) >= known + 6, 60, "more tries")
    assert set(deaf.at_once[known:]) == {1}
