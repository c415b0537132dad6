"""Why a camera cannot be opened. FFmpeg knows and OpenCV does not pass it on, so the camera is asked once more.

The question carries no user and no password, and the answer that is made of it holds no part of the URL.
"""

import re
import socket
from urllib.parse import SplitResult, urlsplit

RTSP_PORT = 554
UNKNOWN = "cannot be opened"
_STATUS = re.compile(rb"RTSP/\d\.\d (\d{3})\b")


def why_not(url: str, timeout_s: float) -> str:
    """What the camera says, or what keeps us from asking it, in a few words. Waits `timeout_s` at most twice."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or RTSP_PORT
    except ValueError:
        return "its URL is not valid"
    if parts.scheme != "rtsp" or not host:
        return UNKNOWN
    try:
        answer = _ask(host, port, _question(parts), timeout_s)
    except (OSError, UnicodeError) as error:
        return _unreachable(error)
    return meaning(answer, has_password=parts.username is not None)


def meaning(answer: bytes, *, has_password: bool) -> str:
    """What an answer to a request without credentials tells about one that failed with those of the URL."""
    status = _STATUS.match(answer)
    code = int(status[1]) if status else None
    if code is None:
        return "what answers there does not speak RTSP"
    if code in (401, 403):
        wanted = "user, password or path refused" if has_password else "wants a user and password"
        return f"{wanted} ({code})"
    if code == 404:
        return "no stream at this path (404)"
    if code == 200:
        return "answers, but gives no video that can be decoded"
    return f"refuses with RTSP status {code}"


def _question(parts: SplitResult) -> bytes:
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    return f"DESCRIBE {address} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode()


def _ask(host: str, port: int, question: bytes, timeout_s: float) -> bytes:
    with socket.create_connection((host, port), timeout_s) as connection:
        connection.sendall(question)
        return connection.recv(1024)


def _unreachable(error: OSError | UnicodeError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, socket.gaierror | UnicodeError):
        return "its host name is not known"
    return (error.strerror or UNKNOWN).lower()
