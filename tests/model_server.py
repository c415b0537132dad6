"""A small real HTTP server for one file: parts of it on demand, and with the troubles of a poor line."""

import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.ports import LOOPBACK

PATH = "/models/tiny.onnx"


class ModelServer:
    """Serves `content` under `url` from `start` to `stop`.

    Attributes:
        requests: headers of every request, in order.
        breaks: so many answers end after `break_after` bytes, though they promised more.
        takes_ranges: whether parts are sent when they are asked for.
        status: what is answered if not the file.
        moved_to: where requests are sent on to.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.requests: list[Message] = []
        self.breaks = 0
        self.break_after = len(content) // 3
        self.takes_ranges = True
        self.status: int | None = None
        self.moved_to: str | None = None
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{LOOPBACK}:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Of the file."""
        return f"http://{self.address}{PATH}"

    @property
    def ranges(self) -> list[str | None]:
        """The part that each request asked for."""
        return [headers["Range"] for headers in self.requests]

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End and free the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def sent(self, rest: bytes) -> bytes:
        """As much of an answer's body as gets through."""
        if self.breaks == 0:
            return rest
        self.breaks -= 1
        return rest[: self.break_after]


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            server.requests.append(self.headers)
            if server.moved_to is not None:
                self._answer(302, {"Location": server.moved_to})
            elif server.status is not None:
                self._answer(server.status, {})
            else:
                self._give(self._start())

        def _start(self) -> int:
            asked = self.headers["Range"]
            return int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.takes_ranges else 0

        def _give(self, start: int) -> None:
            size = len(server.content)
            if start >= size:
                self._answer(416, {"Content-Range": f"bytes */{size}"})
                return
            rest = server.content[start:]
            part = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
            self._answer(206 if start else 200, part, len(rest))
            self.wfile.write(server.sent(rest))

        def _answer(self, status: int, headers: dict[str, str], length: int = 0) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
            """Stay quiet: the requests themselves are kept."""

    return Handler
