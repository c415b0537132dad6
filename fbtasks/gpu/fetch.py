"""Downloading a model: resumable, and only what was pinned."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError
from urllib3.util import Retry, Timeout, make_headers, parse_url

from fbtasks.errors import FetchFailed
from fbtasks.gpu.catalogue import sha256_of

ATTEMPTS = 5
"""A transfer that breaks off goes on where it was, so many times at most."""
MAX_BYTES = 2**31
"""No ONNX file is larger: protobuf's limit."""
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 30.0
_CHUNK = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d+)-")
_OK, _PARTIAL, _NOTHING_LEFT = 200, 206, 416

Progress = Callable[[int, int | None], None]
"""Is told the bytes held and the size of the whole file, if known."""


class _BrokeOff(Exception):
    """The transfer ended too early; what came is kept."""


def fetch(url: str, sha256: str, part: Path, progress: Progress) -> None:
    """Download the file into `part`, going on from what it holds.

    Redirects are followed, proxies of the environment are not used. A user and password in the URL are sent as Basic
    authorisation, to that host alone.

    Args:
        url: http or https.
        sha256: of the whole file, hex digits.
        part: what was got so far; it is kept when the transfer breaks off and removed when its content is wrong.
        progress: called at the start and with every chunk.

    Raises:
        FetchFailed: the URL cannot be used, the server does not give the file, the transfer broke off, or the file is
            not the pinned one.
        OSError: `part` cannot be written.
    """
    headers = _headers(url)
    with urllib3.PoolManager(timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)) as pool:
        _get_all(pool, url, headers, part, progress)
    found = sha256_of(part)
    if found != sha256.lower():
        part.unlink()
        raise FetchFailed(
            f"what came is not the pinned file and was thrown away: its SHA-256 is {found}, pinned is {sha256.lower()}"
        )


def _headers(url: str) -> dict[str, str]:
    try:
        parts = parse_url(url)
    except LocationParseError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.host:
        raise FetchFailed("the model's address cannot be used; write it like https://models.example/yolo11n.onnx")
    credentials = make_headers(basic_auth=unquote(parts.auth)) if parts.auth else {}
    # Compressed on the way, its parts could not be put together.
    return {"User-Agent": "fbtasks", "Accept-Encoding": "identity", **credentials}


def _get_all(pool: urllib3.PoolManager, url: str, headers: dict[str, str], part: Path, progress: Progress) -> None:
    part.touch()
    for attempt in range(1, ATTEMPTS + 1):
        held = part.stat().st_size
        try:
            _get_rest(pool, url, headers, part, progress)
        except _BrokeOff as error:
            got = part.stat().st_size
            if got <= held or attempt == ATTEMPTS:
                raise FetchFailed(
                    f"the download broke off after {got} bytes ({error}); the same command again goes on from there"
                ) from error
        else:
            return


def _get_rest(pool: urllib3.PoolManager, url: str, headers: dict[str, str], part: Path, progress: Progress) -> None:
    held = part.stat().st_size
    asked = headers | ({"Range": f"bytes={held}-"} if held else {})
    response = _request(pool, url, asked)
    try:
        if held and response.status == _NOTHING_LEFT:
            return  # it had all come before; the digest will tell
        start = _start(response, held)
        _write(response, start, part, progress)
    finally:
        response.close()


def _request(pool: urllib3.PoolManager, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    retries = Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
    try:
        return pool.request("GET", url, headers=headers, retries=retries, preload_content=False)
    except MaxRetryError as error:
        raise _BrokeOff(_reason(error)) from error
    except HTTPError as error:
        raise FetchFailed(f"the model cannot be downloaded: {_reason(error)}") from error


def _reason(error: HTTPError) -> str:
    """The error without the address, which may hold a secret."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return str(error.reason.__cause__ or error.reason)
    return type(error).__name__


def _start(response: urllib3.BaseHTTPResponse, held: int) -> int:
    """Where in the file the answer begins."""
    if response.status == _OK:
        return 0
    if response.status != _PARTIAL:
        raise FetchFailed(f"the model's server answers {response.status} {response.reason or ''}".rstrip())
    told = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if told is None or int(told[1]) > held:
        raise FetchFailed("the model's server sends another part of the file than was asked for")
    return int(told[1])


def _write(response: urllib3.BaseHTTPResponse, start: int, part: Path, progress: Progress) -> None:
    total = start + response.length_remaining if response.length_remaining is not None else None
    held = start
    with part.open("r+b") as file:
        file.seek(start)
        file.truncate()
        progress(held, total)
        try:
            for chunk in response.stream(_CHUNK, decode_content=False):
                held += len(chunk)
                if held > MAX_BYTES:
                    raise FetchFailed(f"the file has over {MAX_BYTES} bytes, more than an ONNX file can have")
                file.write(chunk)
                progress(held, total)
        except HTTPError as error:
            raise _BrokeOff(_reason(error)) from error
