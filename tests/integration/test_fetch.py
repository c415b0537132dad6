"""Downloading a model over real HTTP: broken-off transfers go on, and only the pinned file is taken."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fbtasks.errors import FetchFailed
from fbtasks.gpu import fetch as fetching
from fbtasks.gpu.fetch import fetch
from tests.model_server import ModelServer
from tests.ports import LOOPBACK, free_port

CONTENT = random.Random(5).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Seen:
    """Every progress that was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int | None]] = []

    def __call__(self, held: int, total: int | None) -> None:
        self.steps.append((held, total))


@pytest.fixture
def server() -> Iterator[ModelServer]:
    running = ModelServer(CONTENT)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "model.part"


def test_the_whole_file_comes_and_progress_is_told(server: ModelServer, part: Path) -> None:
    seen = Seen()
    fetch(server.url, SHA256.upper(), part, seen)
    assert part.read_bytes() == CONTENT
    assert seen.steps[0] == (0, len(CONTENT))
    assert seen.steps[-1] == (len(CONTENT), len(CONTENT))
    assert seen.steps == sorted(seen.steps)
    assert server.ranges == [None]


def test_a_transfer_that_breaks_off_goes_on_where_it_was(server: ModelServer, part: Path) -> None:
    server.breaks = 2
    seen = Seen()
    fetch(server.url, SHA256, part, seen)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=333333-", "bytes=666666-"]
    assert {total for _, total in seen.steps} == {len(CONTENT)}


def test_one_that_keeps_breaking_off_is_given_up_and_goes_on_the_next_time(server: ModelServer, part: Path) -> None:
    server.breaks, server.break_after = 100, 1000
    with pytest.raises(FetchFailed, match=r"broke off after 5000 bytes .* the same command again"):
        fetch(server.url, SHA256, part, Seen())
    assert len(server.requests) == fetching.ATTEMPTS
    assert part.read_bytes() == CONTENT[:5000]

    server.breaks = 0
    fetch(server.url, SHA256, part, Seen())
    assert part.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=5000-"


def test_a_line_that_gives_nothing_is_not_asked_again(server: ModelServer, part: Path) -> None:
    server.breaks, server.break_after = 100, 0
    with pytest.raises(FetchFailed, match="broke off after 0 bytes"):
        fetch(server.url, SHA256, part, Seen())
    assert len(server.requests) == 1


def test_a_server_without_parts_sends_the_file_anew(server: ModelServer, part: Path) -> None:
    server.takes_ranges = False
    part.write_bytes(CONTENT[:1234])
    fetch(server.url, SHA256, part, Seen())
    assert part.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1234-"]


def test_a_file_that_had_come_before_is_only_verified(server: ModelServer, part: Path) -> None:
    part.write_bytes(CONTENT)
    fetch(server.url, SHA256, part, Seen())
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize("held", [b"", b"something else", bytes(2_000_000)])
def test_another_file_than_the_pinned_one_is_thrown_away(server: ModelServer, part: Path, held: bytes) -> None:
    part.write_bytes(held)
    pinned = SHA256 if held else "0" * 64
    with pytest.raises(FetchFailed, match=f"not the pinned file .* pinned is {pinned}"):
        fetch(server.url, pinned, part, Seen())
    assert not part.exists()


@pytest.mark.parametrize(("status", "said"), [(404, "answers 404 Not Found"), (403, "answers 403"), (503, "503")])
def test_a_refusal_is_told(server: ModelServer, part: Path, status: int, said: str) -> None:
    server.status = status
    with pytest.raises(FetchFailed, match=said):
        fetch(server.url, SHA256, part, Seen())


def test_a_redirect_is_followed_and_takes_no_password_along(server: ModelServer, part: Path) -> None:
    first = ModelServer(b"")
    first.moved_to = server.url
    first.start()
    try:
        fetch(f"http://groom:pa%40ss@{first.address}/model", SHA256, part, Seen())
    finally:
        first.stop()
    assert part.read_bytes() == CONTENT
    assert first.requests[0]["Authorization"] == "Basic Z3Jvb206cGFAc3M="  # groom:pa@ss
    assert server.requests[0]["Authorization"] is None


def test_an_endless_redirect_ends(server: ModelServer, part: Path) -> None:
    server.moved_to = server.url
    with pytest.raises(FetchFailed, match="too many redirects"):
        fetch(server.url, SHA256, part, Seen())


def test_a_file_that_is_too_large_is_refused(server: ModelServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 500_000)
    with pytest.raises(FetchFailed, match="over 500000 bytes"):
        fetch(server.url, SHA256, part, Seen())


def test_a_server_that_is_away_is_told_without_the_password(part: Path) -> None:
    with pytest.raises(FetchFailed, match="refused") as refused:
        fetch(f"http://groom:s3cret@{LOOPBACK}:{free_port()}/model?key=s3cret", SHA256, part, Seen())
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://h/m.onnx", "m.onnx", "http://", "http://[::1/m", ""])
def test_an_address_that_is_none_is_refused(part: Path, url: str) -> None:
    with pytest.raises(FetchFailed, match="address cannot be used"):
        fetch(url, SHA256, part, Seen())
