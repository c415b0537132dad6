"""The webhook against real HTTP servers on loopback: kind, unkind, silent, rude and unknown."""

import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from email.utils import formatdate
from functools import partial
from http.client import parse_headers
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest

from fbtasks.alert import Alert
from fbtasks.errors import ConfigError, DeliveryFailed
from fbtasks.logic.delivery import Outcome, deliver_next
from fbtasks.logic.pace import Pace
from fbtasks.logic.sinks import Sink
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.sinks.webhook import MAX_RETRY_AFTER_S, Webhook, signed
from fbtasks.logic.store import open_store
from fbtasks.settings import DeliverySettings
from tests.alerts import first_alert
from tests.backend import Backend
from tests.ports import LOOPBACK, free_port

ALERT = first_alert(evidence={"seconds": 60.5, "posture": "lying", "blind": None})
EPISODE = ALERT.episode_id
DOCS = Path(__file__).resolve().parents[2] / "docs"
Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """A TCP server that hands its first connection to `serve`; yields its port."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        thread = threading.Thread(target=_serve_one, args=(listener, serve))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=10)


def _serve_one(listener: socket.socket, serve: Serve) -> None:
    connection, _ = listener.accept()
    with connection:
        serve(connection)


def post(url: str, timeout_s: float = 5.0, token: str | None = None) -> None:
    Webhook("backend", url, timeout_s=timeout_s, token=token).send(ALERT)


def failure(url: str, timeout_s: float = 5.0, token: str | None = None) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        post(url, timeout_s, token)
    return caught.value


def test_the_backend_gets_the_alert_with_its_key_and_token(backend: Backend) -> None:
    sink: Sink = Webhook("backend", backend.url, timeout_s=5.0, token="hunter2")
    sink.send(ALERT)
    sink.send(ALERT)
    first, second = backend.requests
    assert Alert.model_validate(first.json) == Alert.model_validate(second.json) == ALERT
    assert first.headers["Idempotency-Key"] == ALERT.id
    assert first.headers["Authorization"] == "Bearer hunter2"
    assert first.headers["Content-Type"] == "application/json"


def test_a_user_in_the_url_is_sent_as_basic_authorisation(backend: Backend) -> None:
    post(backend.url.replace("//", "//me:hunter%402@"))
    assert backend.requests[0].headers["Authorization"] == "Basic bWU6aHVudGVyQDI="


def test_what_is_posted_can_be_checked_with_the_code_of_the_documentation(backend: Backend) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "sinks.md").read_text(), re.DOTALL)
    documented: dict[str, Any] = {}
    exec(code, documented)
    is_genuine = documented["is_genuine"]

    Webhook("backend", backend.url, timeout_s=5.0, secret="a söcret of ours").send(ALERT)
    (request,) = backend.requests
    assert is_genuine(request.headers, request.body, "a söcret of ours")
    assert not is_genuine(request.headers, request.body, "another secret")
    assert not is_genuine(request.headers, request.body + b" ", "a söcret of ours")
    old = {**request.headers, "Fbtasks-Timestamp": str(int(request.headers["Fbtasks-Timestamp"]) - 1)}
    assert not is_genuine(old, request.body, "a söcret of ours")
    replayed = {**old, **signed(request.body, "a söcret of ours".encode(), time() - 301)}
    assert not is_genuine(replayed, request.body, "a söcret of ours")


def test_without_a_secret_nothing_is_signed(backend: Backend) -> None:
    post(backend.url)
    assert backend.requests[0].headers["Fbtasks-Signature"] is None


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        (b"120", 120, 120),
        (b"86400", MAX_RETRY_AFTER_S, MAX_RETRY_AFTER_S),
        (b"soon", 0, 0),
        (b"-5", 0, 0),
    ],
)
def test_retry_after_is_heard(header: bytes, least_s: float, most_s: float) -> None:
    assert least_s <= asked_to_wait_s(header) <= most_s


@pytest.mark.parametrize(("ahead_s", "least_s", "most_s"), [(600, 1, 600), (-600, 0, 0)])
def test_retry_after_may_be_a_date(ahead_s: float, least_s: float, most_s: float) -> None:
    assert least_s <= asked_to_wait_s(formatdate(time() + ahead_s, usegmt=True).encode()) <= most_s


def asked_to_wait_s(header: bytes) -> float:
    answer = b"429 Too Many\r\nRetry-After: " + header
    with serving(lambda connection: _answer(connection, answer)) as port:
        failed = failure(f"http://{LOOPBACK}:{port}/")
    assert failed.retryable
    return failed.retry_after_s


def test_no_secret_no_authorisation(backend: Backend) -> None:
    post(backend.url)
    assert backend.requests[0].headers["Authorization"] is None


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_success(backend: Backend, status: int) -> None:
    backend.answer_with([status])
    post(backend.url)
    assert len(backend.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_answers_that_may_change(backend: Backend, status: int) -> None:
    backend.answer_with([status])
    failed = failure(backend.url)
    assert failed.retryable
    assert str(failed) == f"the backend answered {status}"
    post(backend.url)
    assert len(backend.requests) == 2


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 409, 422])
def test_answers_that_will_not_change(backend: Backend, status: int) -> None:
    backend.answer_with([status])
    assert not failure(backend.url).retryable
    assert len(backend.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    with serving(lambda connection: _answer(connection, b"307 Elsewhere\r\nLocation: http://127.0.0.1:1/")) as port:
        assert "307; redirects are not followed" in str(failure(f"http://{LOOPBACK}:{port}/"))


def _read_request(connection: socket.socket) -> None:
    """Reads all of it: closing on bytes that were not read resets the connection, and the answer may be lost."""
    with connection.makefile("rb") as request:
        request.readline()
        headers = parse_headers(request)
        request.read(int(headers.get("Content-Length", 0)))


def _answer(connection: socket.socket, status: bytes) -> None:
    _read_request(connection)
    connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


def test_a_backend_that_never_answers_times_out() -> None:
    begun = monotonic()
    with serving(_read_to_the_end) as port:
        failed = failure(f"http://{LOOPBACK}:{port}/secret-path", timeout_s=0.3)
    assert failed.retryable
    assert str(failed) == "the backend did not answer within 0.3 s"
    assert monotonic() - begun < 3


def _read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def test_an_endless_body_is_not_waited_for() -> None:
    with serving(_answer_without_end) as port:
        post(f"http://{LOOPBACK}:{port}/", timeout_s=2.0)


def _answer_without_end(connection: socket.socket) -> None:
    _read_request(connection)
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            connection.sendall(bytes(65_536))


def _reset(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(_reset, id="reset"),
        pytest.param(lambda connection: connection.recv(65_536), id="closed"),
        pytest.param(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"), id="not HTTP"),
    ],
)
def test_a_connection_that_breaks_may_be_tried_again(serve: Serve) -> None:
    with serving(serve) as port:
        failed = failure(f"http://{LOOPBACK}:{port}/")
    assert failed.retryable
    assert str(failed).startswith("the connection to the backend failed: ")


def test_a_backend_that_is_down() -> None:
    failed = failure(f"http://{LOOPBACK}:{free_port()}/")
    assert failed.retryable
    assert str(failed) == "the connection to the backend failed: Connection refused"


@pytest.mark.parametrize("url", ["http://me:hunter2@{}/hunter2?key=hunter2", "https://me:hunter2@{}/hunter2"])
def test_a_failure_shows_no_secret(url: str) -> None:
    for serve in (_reset, lambda connection: connection.sendall(b"HTTP/1.1 400 No\r\n\r\n")):
        with serving(serve) as port:
            assert "hunter2" not in str(failure(url.format(f"{LOOPBACK}:{port}")))
    assert "hunter2" not in str(failure(url.format(f"{LOOPBACK}:{free_port()}")))
    assert "hunter2" not in str(failure(f"http://{LOOPBACK}:{free_port()}/", token="hunter2"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, with its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed; ops/install-test-packages installs it")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=backend",
            "-addext",
            f"subjectAltName=IP:{LOOPBACK}",
            "-keyout",
            str(file),
            "-out",
            str(file),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return file


@contextmanager
def serving_tls(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
            _read_request(secure)
            secure.sendall(b"HTTP/1.1 204 Fine\r\n\r\n")

    with serving(serve) as port:
        yield port


def test_an_unknown_certificate_is_refused(certificate: Path) -> None:
    with serving_tls(certificate) as port:
        failed = failure(f"https://{LOOPBACK}:{port}/")
    assert failed.retryable
    assert "self-signed certificate" in str(failed)


def test_a_certificate_that_the_system_trusts(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving_tls(certificate) as port:
        post(f"https://{LOOPBACK}:{port}/")


@pytest.mark.parametrize("url", ["ftp://me:hunter2@host/", "backend/hunter2", "http://", "http://me:hunter2@host:x/"])
def test_a_url_that_cannot_be_posted_to(url: str) -> None:
    with pytest.raises(ConfigError, match=r"sinks\.backend\.url") as caught:
        Webhook("backend", url, timeout_s=5.0)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("token", ["hunter2\n", "hünter2"])
def test_a_token_that_no_header_can_hold(token: str) -> None:
    with pytest.raises(ConfigError, match=r"sinks\.backend\.token") as caught:
        Webhook("backend", "https://host/", timeout_s=5.0, token=token)
    assert token not in str(caught.value)


def test_two_kinds_of_authorisation_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="only one"):
        Webhook("backend", "https://me:hunter2@host/", timeout_s=5.0, token="token")


def test_an_alert_gets_there_once_through_a_backend_that_fails_at_first(backend: Backend, tmp_path: Path) -> None:
    backend.answer_with([500, 429])
    settings = DeliverySettings(backoff_min_s=1, backoff_max_s=8, give_up_after_s=600)
    now = ALERT.at
    with closing(open_store(f"sqlite:///{tmp_path / 'alerts.sqlite'}")) as store:
        store.migrate()
        store.record([ALERT], [Route("backend")], now)
        outcome = Outcome(retry_at=now)
        sinks = {"backend": Webhook("backend", backend.url, timeout_s=5.0)}
        pace = Pace()
        while outcome.retry_at is not None:
            now = max(outcome.retry_at, pace.rest_until)
            clock = partial(float, now)
            outcome = deliver_next(store, sinks, str(EPISODE), "backend", pace, settings=settings, clock=clock)
        assert store.due(now + 1e6, 10) == []
    assert outcome == Outcome(delivered=1)
    assert [request.headers["Idempotency-Key"] for request in backend.requests] == [ALERT.id] * 3
