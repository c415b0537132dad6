"""The backend that alerts are posted to: a small real HTTP server that remembers what it got."""

import json
import threading
from collections import deque
from collections.abc import Sequence
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.ports import LOOPBACK


class Received(NamedTuple):
    """One POST."""

    headers: Message
    """Looked up without regard to case; None when absent."""
    body: bytes
    json: Any


class Backend:
    """Serves from `start` to `stop`; answers 200 unless told otherwise."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self._statuses: deque[int] = deque()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://{LOOPBACK}:{self._server.server_port}/alerts"

    def answer_with(self, statuses: Sequence[int]) -> None:
        """The statuses of the next answers, in order; then 200 again."""
        with self._lock:
            self._statuses = deque(statuses)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End and free the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, received: Received) -> int:
        """Remember a request; returns the status of its answer."""
        with self._lock:
            self.requests.append(received)
            return self._statuses.popleft() if self._statuses else 200


def _handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(backend.take(Received(self.headers, body, json.loads(body))))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
            """Stay quiet: the requests themselves are kept."""

    return Handler
