"""What a camera's refusal is called."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.producer.diagnosis import meaning, why_not
from tests.ports import LOOPBACK, free_port


@pytest.mark.parametrize(
    ("answer", "has_password", "said"),
    [
        (b"RTSP/1.0 401 Unauthorized\r\n", True, "user, password or path refused (401)"),
        (b"RTSP/1.0 401 Unauthorized\r\n", False, "wants a user and password (401)"),
        (b"RTSP/1.0 404 Not Found\r\n", True, "no stream at this path (404)"),
        (b"RTSP/2.0 503 Service Unavailable\r\n", False, "refuses with RTSP status 503"),
        (b"RTSP/1.0 200 OK\r\n", False, "answers, but gives no video that can be decoded"),
        (b"HTTP/1.1 400 Bad Request\r\n", False, "what answers there does not speak RTSP"),
        (b"", False, "what answers there does not speak RTSP"),
    ],
)
def test_answers(answer: bytes, has_password: bool, said: str) -> None:
    assert meaning(answer, has_password=has_password) == said


@given(st.binary(max_size=200), st.booleans())
def test_any_answer_has_a_meaning(answer: bytes, has_password: bool) -> None:
    assert meaning(answer, has_password=has_password)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp://anna:hay@127.0.0.1:99999/box", "its URL is not valid"),
        ("rtsp://anna:hay@[::1/box", "its URL is not valid"),
        ("rtsps://anna:hay@127.0.0.1/box", "cannot be opened"),
        ("/dev/no-such-video", "cannot be opened"),
        (f"rtsp://anna:hay@{'x' * 70}.invalid/box", "its host name is not known"),
    ],
)
def test_urls_that_cannot_be_asked(url: str, said: str) -> None:
    assert why_not(url, 1.0) == said


def test_a_port_where_nothing_listens() -> None:
    assert why_not(f"rtsp://anna:hay@{LOOPBACK}:{free_port()}/box", 1.0) == "connection refused"


def test_a_server_that_says_nothing_is_not_waited_for_long() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        assert why_not(f"rtsp://anna:hay@{LOOPBACK}:{silent.getsockname()[1]}/box", 0.2) == "no answer"


def test_the_question_holds_no_credentials() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert why_not(f"rtsp://anna:hay@{LOOPBACK}:{server.getsockname()[1]}/box", 0.2) == "no answer"
        connection, _ = server.accept()
        with connection:
            question = connection.recv(4096)
    assert question.startswith(f"DESCRIBE rtsp://{LOOPBACK}:".encode())
    assert b"hay" not in question
    assert b"anna" not in question
