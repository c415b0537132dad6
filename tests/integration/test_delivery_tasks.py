"""Deliveries in a real Celery worker: a backend that hangs must not hold up the horses."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fbtasks.keys import Keys
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
                self.connections.append(self._socket.accept()[0])
            except OSError:
                return


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
    stable.settings(f'[webhook]\nurl = "{deaf.url}"\ntimeout_s = 60')
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
