"""What a camera's refusal is called."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.producer.diagnosis import LOOK_UP_S, Cause, look_up_s, meaning, why_not
from tests.ports import LOOPBACK, free_port

WANTED = b'RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm="box"\r\n\r\n'


@pytest.mark.parametrize(
    ("answer", "logged_in", "cause", "said"),
    [
        (b"RTSP/1.0 401 Unauthorized\r\n", True, "login", "user or password refused (401)"),
        (b"RTSP/1.0 401 Unauthorized\r\n", False, "login", "wants to know who asks (401)"),
        (b"RTSP/1.0 401 Unauthorized\r\n", None, "login", "wants a user and password (401)"),
        (b"RTSP/1.0 404 Not Found\r\n", True, "path", "no stream at this path (404)"),
        (b"RTSP/2.0 503 Service Unavailable\r\n", None, "odd", "refuses with RTSP status 503"),
        (b"RTSP/1.0 200 OK\r\n", None, "answers", "answers, but gives no video that can be decoded"),
        (b"HTTP/1.1 400 Bad Request\r\n", None, "odd", "what answers there does not speak RTSP"),
        (b"", None, "odd", "what answers there does not speak RTSP"),
    ],
)
def test_answers(answer: bytes, logged_in: bool | None, cause: Cause, said: str) -> None:
    told = meaning(answer, logged_in=logged_in)
    assert (told.cause, told.text) == (cause, said)
    assert told.refused == (cause != "answers")


@given(st.binary(max_size=200), st.sampled_from([None, False, True]))
def test_any_answer_has_a_meaning(answer: bytes, logged_in: bool | None) -> None:
    assert meaning(answer, logged_in=logged_in).text


@pytest.mark.parametrize(
    ("url", "cause", "said"),
    [
        ("rtsp://anna:hay@127.0.0.1:99999/box", "invalid", "its URL is not valid"),
        ("rtsp://anna:hay@[::1/box", "invalid", "its URL is not valid"),
        ("bogus://anna:hay@127.0.0.1/box", "unknown", "cannot be opened"),
        ("/dev/no-such-video", "unknown", "cannot be opened"),
        (f"rtsp://anna:hay@{'x' * 70}.invalid/box", "unreachable", "its host name is not known"),
    ],
)
def test_urls_that_cannot_be_asked(url: str, cause: Cause, said: str) -> None:
    told = why_not(url, 1.0)
    assert (told.cause, told.text) == (cause, said)


def test_a_port_where_nothing_listens() -> None:
    assert why_not(f"rtsp://anna:hay@{LOOPBACK}:{free_port()}/box", 1.0).text == "connection refused"


def test_a_server_that_says_nothing_is_not_waited_for_long() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        told = why_not(f"rtsp://anna:hay@{LOOPBACK}:{silent.getsockname()[1]}/box", 0.2)
    assert (told.cause, told.text) == ("silent", "no answer")


def test_another_protocol_is_only_seen_to_answer() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert why_not(f"http://anna:hay@{LOOPBACK}:{server.getsockname()[1]}/box", 0.5).cause == "answers"


@contextmanager
def camera(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a camera that gives these answers, and the questions that it gets."""
    questions: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            for answer in answers:
                questions.append(connection.recv(4096))
                for half in (answer[:9], answer[9:]):
                    connection.sendall(half)

    with socket.create_server((LOOPBACK, 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"rtsp://anna:h%61y@{LOOPBACK}:{server.getsockname()[1]}/box", questions
        thread.join(5)


def test_the_first_question_holds_no_credentials() -> None:
    with camera(WANTED) as (url, questions):
        assert why_not(url, 5.0, log_in=False).text == "wants to know who asks (401)"
    (question,) = questions
    assert question.startswith(f"DESCRIBE rtsp://{LOOPBACK}:".encode())
    assert b"hay" not in question
    assert b"anna" not in question


def test_a_wrong_path_behind_a_password_is_not_taken_for_a_wrong_password() -> None:
    with camera(WANTED, b"RTSP/1.0 404 Not Found\r\n\r\n") as (url, questions):
        assert why_not(url, 5.0).cause == "path"
    assert b"Authorization: Basic YW5uYTpoYXk=\r\n" in questions[1]


def test_a_password_that_is_refused() -> None:
    with camera(WANTED, WANTED) as (url, _):
        assert why_not(url, 5.0).text == "user or password refused (401)"


def test_a_camera_that_answers_byte_by_byte_is_silent() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                while True:
                    connection.sendall(b"R")
                    over.wait(0.02)

        over = threading.Event()
        thread = threading.Thread(target=trickle)
        thread.start()
        told = why_not(f"rtsp://{LOOPBACK}:{server.getsockname()[1]}/", 0.3)
        thread.join(30)
        assert not thread.is_alive(), "the connection was closed"
    assert told.cause == "silent"


@pytest.mark.parametrize(
    ("url", "seconds"),
    [
        ("rtsp://user:word@10.0.0.7:554/1", 0.0),
        ("rtsp://[fe80::1]/1", 0.0),
        ("file:///clip.mp4", 0.0),
        ("rtsp://box-7.stable.lan/1", LOOK_UP_S),
        ("rtsp://box-7/1", LOOK_UP_S),
    ],
)
def test_names_take_time(url: str, seconds: float) -> None:
    assert look_up_s(url) == seconds


def test_a_camera_that_has_not_kept_the_question_is_asked_again() -> None:
    with camera(b"", b"RTSP/1.0 200 OK\r\n\r\n") as (url, questions):
        assert why_not(url, 5.0, log_in=False).cause == "answers"
    assert [b"CSeq: 1\r\n" in questions[0], b"CSeq: 2\r\n" in questions[1]] == [True, True]
    assert b"Authorization" not in b"".join(questions)
