"""Why a camera cannot be opened. FFmpeg knows and OpenCV does not pass it on, so the camera is asked once more.

First without user and password, which is all that it takes to see a camera come back, and no failed login; then, where
wanted, with them, for only so a wrong password can be told from a wrong path. What is made of the answers holds no part
of the URL.
"""

import math
import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from fbtasks.producer.login import authorization

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
UNKNOWN = "cannot be opened"
MAX_HEAD = 16 * 1024
REPEAT_S = 1.0
"""A camera that was mute has not kept the question; one that is slow has."""
LOOK_UP_S = 30.0
"""Name servers that are away are asked twice, for five seconds each, and most systems know three at most."""
_STATUS = re.compile(rb"RTSP/\d\.\d (\d{3})\b")

Cause = Literal["unknown", "invalid", "unreachable", "silent", "login", "path", "odd", "answers"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a camera says when it is asked for its stream, or what keeps us from asking.

    Attributes:
        cause: `invalid` the URL is none; `unreachable` no connection; `silent` a connection and no answer; `login` user
            and password are wanted or wrong; `path` there is no such stream; `odd` another refusal, or no RTSP;
            `answers` it offers its stream, or takes connections where more cannot be asked.
        text: the same for people, in a few words.
    """

    cause: Cause
    text: str

    @property
    def refused(self) -> bool:
        """Whether a person has to look."""
        return self.cause in ("invalid", "login", "path", "odd")


def why_not(url: str, timeout_s: float, *, log_in: bool = True) -> Answer:
    """What the camera says. Waits at most four times `timeout_s`, and for its name as long as the system likes.

    Args:
        log_in: ask with user and password too, where the camera wants them and the URL has them. Each failed attempt
            counts for a camera that locks accounts. Without, the question is repeated every `REPEAT_S`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return Answer("invalid", "its URL is not valid")
    if port is None or not host:
        return Answer("unknown", UNKNOWN)
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            if parts.scheme != "rtsp":
                return Answer("answers", UNKNOWN)
            return _asked(connection, parts, log_in=log_in)
    except (OSError, UnicodeError) as error:
        return _unreachable(error)


def look_up_s(url: str) -> float:
    """Seconds for which the system may look for the name of the camera's host; 0 where it has an address."""
    try:
        host = urlsplit(url).hostname
        ip_address(host or "127.0.0.1")
    except ValueError:
        return LOOK_UP_S
    return 0.0


def meaning(answer: bytes, *, logged_in: bool | None) -> Answer:
    """What an answer tells about a request that failed.

    Args:
        logged_in: whether the answer is to a request with user and password; None when the URL has none.
    """
    status = _STATUS.match(answer)
    code = int(status[1]) if status else None
    if code is None:
        return Answer("odd", "what answers there does not speak RTSP")
    if code in (401, 403):
        wanted = {None: "wants a user and password", False: "wants to know who asks", True: "user or password refused"}
        return Answer("login", f"{wanted[logged_in]} ({code})")
    if code == 404:
        return Answer("path", "no stream at this path (404)")
    if code == 200:
        return Answer("answers", "answers, but gives no video that can be decoded")
    return Answer("odd", f"refuses with RTSP status {code}")


def _asked(connection: socket.socket, parts: SplitResult, *, log_in: bool) -> Answer:
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    head = _ask(connection, address, 1, every_s=math.inf if log_in else REPEAT_S)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user or not log_in:
        return meaning(head, logged_in=False if user else None)
    challenges = re.findall(r"^www-authenticate:(.*?)\r?$", head.decode("latin-1"), re.IGNORECASE | re.MULTILINE)
    login = authorization(challenges, "DESCRIBE", address, user, password)
    if login is None:
        return meaning(head, logged_in=True)
    return meaning(_ask(connection, address, 2, f"Authorization: {login}\r\n"), logged_in=True)


def _ask(connection: socket.socket, address: str, number: int, more: str = "", *, every_s: float = math.inf) -> bytes:
    """The head of the answer; a 401 has no body of which something could be left.

    Args:
        every_s: ask again so often while nothing comes; then no further question may follow on this connection.
    """
    head, more, timeout_s = b"", f"Accept: application/sdp\r\n{more}", connection.gettimeout()
    assert timeout_s is not None
    deadline, ask_at = monotonic() + timeout_s, monotonic()
    try:
        while b"\r\n\r\n" not in head and len(head) < MAX_HEAD:
            if not head and monotonic() >= ask_at:
                connection.sendall(f"DESCRIBE {address} RTSP/1.0\r\nCSeq: {number}\r\n{more}\r\n".encode())
                number, ask_at = number + 1, ask_at + every_s
            until = deadline if head else min(deadline, ask_at)
            connection.settimeout(max(0.001, until - monotonic()))  # one that sends it byte by byte is silent too
            try:
                piece = connection.recv(4096)
            except TimeoutError:
                if until >= deadline:
                    raise
                continue
            if not piece:
                break
            head += piece
    finally:
        connection.settimeout(timeout_s)
    return head


def _unreachable(error: OSError | UnicodeError) -> Answer:
    match error:
        case TimeoutError():
            return Answer("silent", "no answer")
        case socket.gaierror() | UnicodeError():
            return Answer("unreachable", "its host name is not known")
    return Answer("unreachable", (error.strerror or UNKNOWN).lower())
