"""What simulated cameras suffer on command, seen by real clients."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise

import av
import pytest

from fbtasks.errors import CameraError, ConfigError
from fbtasks.producer.capture import Stream
from fbtasks.producer.capture import prepare as prepare_capture
from fbtasks.sim import faults
from fbtasks.sim.access import Password
from fbtasks.sim.clip import write_clip
from fbtasks.sim.faults import (
    Clear,
    Corrupt,
    Disconnect,
    Drop,
    Fault,
    Freeze,
    Jump,
    Mute,
    Protect,
    Refuse,
    Reshape,
    Slow,
    Stall,
    parse,
)
from fbtasks.sim.rtp import CLOCK_HZ, H264, H265
from fbtasks.sim.serving import ServerThread, serving
from tests.films import Numbered, noise, number_in
from tests.rtsp_client import RtspClient

CAMERA = "box-1"
FILM = Numbered()


@pytest.fixture
def open_stream(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stream]:
    """`open_stream(url)`, as the producer opens one; a read takes no more than a second."""
    for name in ("OPENCV_FFMPEG_CAPTURE_OPTIONS", "OPENCV_FFMPEG_IS_THREAD_SAFE", "OPENCV_FFMPEG_LOGLEVEL"):
        monkeypatch.setenv(name, "")  # so that they are taken back

    def opened(url: str, open_timeout_s: float = 10.0) -> Stream:
        prepare_capture("tcp")
        return Stream.open(url, open_timeout_s, 1.0)

    return opened


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A live camera, and `noisy`, a file of many packets a picture."""
    clip = tmp_path_factory.mktemp("clips") / "noisy.mp4"
    write_clip(clip, (noise(number, (320, 180)) for number in range(20)), (320, 180), 20)
    with serving({CAMERA: FILM, "noisy": clip}) as server:
        yield server


@pytest.fixture
def server(cameras: ServerThread) -> Iterator[ServerThread]:
    """Both cameras in good health."""
    yield cameras
    for camera in (CAMERA, "noisy"):
        cameras.set_fault(camera, Clear())


@pytest.fixture
def url(server: ServerThread) -> str:
    return server.url(CAMERA)


def test_stall(server: ServerThread, url: str, open_stream: Callable[..., Stream]) -> None:
    with RtspClient(url, timeout_s=1.0).watch() as client, open_stream(url) as stream:
        server.set_fault(CAMERA, Stall())
        assert reads_no_more(stream)
        with pytest.raises(TimeoutError):
            client.read_on()
        assert client.request("GET_PARAMETER").status == 200, "the connection lives"
        server.set_fault(CAMERA, Clear("stall"))
        client.pictures(3)


def test_mute(server: ServerThread, url: str, open_stream: Callable[..., Stream]) -> None:
    with RtspClient(url, timeout_s=1.0).watch() as client:
        server.set_fault(CAMERA, Mute())
        with pytest.raises(TimeoutError):
            client.read_on()
        with RtspClient(url, timeout_s=0.5) as another, pytest.raises(TimeoutError):
            another.request("OPTIONS")
        with pytest.raises(CameraError):
            open_stream(url, 1.5)


def test_freeze(server: ServerThread, url: str, open_stream: Callable[..., Stream]) -> None:
    with open_stream(url) as stream:
        server.set_fault(CAMERA, Freeze())
        # From the next key frame on, which comes within a round of the film.
        numbers = [seen_number(stream) for _ in range(3 * FILM.pictures)]
        assert len(set(numbers[2 * FILM.pictures :])) == 1
        server.set_fault(CAMERA, Clear("freeze"))
        assert len({seen_number(stream) for _ in range(FILM.pictures)}) > FILM.pictures / 2


def test_drop(server: ServerThread) -> None:
    with RtspClient(server.url("noisy")).watch() as client:
        client.pictures(1)
        server.set_fault("noisy", Drop(0.3))
        client.pictures(10)
        sequences = [client.packet().sequence for _ in range(500)]

    sent = (sequences[-1] - sequences[0] + 1) & 0xFFFF
    assert 0.2 < 1 - len(sequences) / sent < 0.4


def test_corrupt(server: ServerThread, url: str, open_stream: Callable[..., Stream]) -> None:
    with RtspClient(server.url("noisy")).watch() as client:
        good = {packet.payload for picture in client.pictures(20) for packet in picture}
        server.set_fault("noisy", Corrupt(0.3))
        client.pictures(10)
        packets = [client.packet() for _ in range(500)]
    assert 0.2 < sum(packet.payload not in good for packet in packets) / len(packets) < 0.4

    with open_stream(url) as stream:
        server.set_fault(CAMERA, Corrupt(1.0))
        numbers = [seen_number(stream) for _ in range(40)]
    assert numbers != [(numbers[0] or 0) + index for index in range(40)], "damage can be seen"


@pytest.mark.parametrize(("how", "status"), [("401", 401), ("404", 404)])
def test_refuse(server: ServerThread, url: str, open_stream: Callable[..., Stream], how: str, status: int) -> None:
    server.set_fault(CAMERA, parse(f"refuse {how}"))
    with RtspClient(url) as client:
        assert client.request("DESCRIBE").status == status
    with pytest.raises(CameraError):
        open_stream(url)


def test_refuse_by_closing(server: ServerThread, url: str, open_stream: Callable[..., Stream]) -> None:
    server.set_fault(CAMERA, Refuse("closed"))
    with RtspClient(url) as client, pytest.raises(ConnectionError):
        client.request("OPTIONS")
    with pytest.raises(CameraError):
        open_stream(url)


def test_disconnect(server: ServerThread, url: str, open_stream: Callable[..., Stream]) -> None:
    with open_stream(url) as stream, RtspClient(url).watch() as client:
        server.set_fault(CAMERA, Disconnect())
        assert reads_no_more(stream)
        with pytest.raises(ConnectionError):
            client.read_on()
    with RtspClient(url).watch() as client:
        client.pictures(3)


def test_slow(server: ServerThread) -> None:
    with RtspClient(server.url("noisy")).watch() as client:
        client.pictures(5)
        server.set_fault("noisy", Slow(1000))
        pictures = client.pictures(10)
        begun, size, last = time.monotonic(), 0, 0.0
        stamps = [pictures[-1][0].timestamp]
        while last < begun + 4:
            packet = client.packet()
            size, last = size + len(packet.payload), packet.at
            stamps.append(packet.timestamp)

    assert size * 8 / (last - begun) == pytest.approx(1_000_000, rel=0.35)
    steps = [after - before for before, after in pairwise(stamps)]
    assert max(steps) > CLOCK_HZ / 20, "pictures are left out"
    assert stamps[-1] - stamps[0] == pytest.approx((last - begun) * CLOCK_HZ, abs=3 * CLOCK_HZ), (
        "it is not late for ever"
    )


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_jump(server: ServerThread, url: str, seconds: float) -> None:
    with RtspClient(url).watch() as client:
        [before] = client.pictures(1)
        server.set_fault(CAMERA, Jump(seconds))
        after = client.pictures(20)[-1]

    jump = (after[0].timestamp - before[0].timestamp + 2**31) % 2**32 - 2**31
    assert jump / CLOCK_HZ == pytest.approx(seconds, abs=5)


def test_another_size_in_the_same_stream(server: ServerThread, url: str) -> None:
    with av.open(url, options={"rtsp_transport": "tcp"}) as stream:  # OpenCV would scale to the size that came first
        widths = (frame.width for frame in stream.decode(video=0))
        assert next(widths) == 256
        server.set_fault(CAMERA, Reshape(size=(320, 192)))
        try:
            assert any(width == 320 for width in islice(widths, 120))
        finally:
            server.set_fault(CAMERA, Reshape(size=FILM.size))


def test_another_codec(server: ServerThread, url: str, open_stream: Callable[..., Stream]) -> None:
    with open_stream(url) as stream:
        server.set_fault(CAMERA, Reshape(codec=H265))
        try:
            assert reads_no_more(stream)
            with RtspClient(url) as client:
                assert "H265/90000" in client.request("DESCRIBE").body
            with open_stream(url) as recoded:
                numbers = [seen_number(recoded) for _ in range(30)]
        finally:
            server.set_fault(CAMERA, Reshape(codec=H264))
    assert numbers == [((numbers[0] or 0) + index) % 30 for index in range(30)]


def test_two_changes_at_once_happen_one_after_the_other(server: ServerThread) -> None:
    with ThreadPoolExecutor(2) as clients:
        list(clients.map(lambda size: server.set_fault(CAMERA, parse(f"size {size}")), ("320x160", "192x96")))


def test_a_file_keeps_its_size_and_codec(server: ServerThread) -> None:
    with pytest.raises(ConfigError, match="sent as it is"):
        server.set_fault("noisy", Reshape(codec=H265))


def test_commands_come_over_rtsp_even_to_a_camera_that_answers_nothing(url: str) -> None:
    faults.send(url, "mute")
    with RtspClient(url, timeout_s=0.5) as client, pytest.raises(TimeoutError):
        client.request("OPTIONS")
    faults.send(url, "clear")
    with RtspClient(url) as client:
        assert client.request("OPTIONS").status == 200
        assert (
            client.request("SET_PARAMETER", "drop: 0.5\r\nstall:\r\n", **{"Content-Type": "text/parameters"}).status
            == 200
        )
        refused = client.request("SET_PARAMETER", "explode: 1\r\n")
        assert refused.status == 451
        assert "explode" in refused.body


def test_a_command_to_nobody_says_so(url: str) -> None:
    with pytest.raises(ConfigError, match="there is no camera 'box-9'"):
        faults.send(url.replace(CAMERA, "box-9"), "stall")
    with pytest.raises(ConfigError, match="is `fbtasks sim serve` running"):
        faults.send("rtsp://127.0.0.1:1/box-1", "stall")


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("stall", Stall()),
        ("freeze", Freeze()),
        ("drop 0.05", Drop(0.05)),
        ("slow: 200", Slow(200)),
        ("clear drop", Clear("drop")),
        ("clear", Clear()),
        ("jump -3600", Jump(-3600)),
        ("size 320x180", Reshape(size=(320, 180))),
        ("codec h265", Reshape(codec=H265)),
        ("password digest anna hay", Protect(Password("digest", "anna", "hay"))),
        ("password none", Protect(None)),
    ],
)
def test_commands(command: str, fault: Fault) -> None:
    assert parse(command) == fault


@pytest.mark.parametrize(
    "command",
    ["", "explode", "drop", "drop 2", "drop x", "slow 0", "refuse maybe", "size 3x5", "size 321x180", "codec av1",
     "password digest anna", "clear everything", "stall now", "jump inf", "jump nan", "slow inf"],
)  # fmt: skip
def test_wrong_commands_are_refused(command: str) -> None:
    with pytest.raises(ConfigError):
        parse(command)


def reads_no_more(stream: Stream) -> bool:
    """Whether reading fails before long; what is buffered comes first, and the first late read repeats a picture."""
    return any(not stream.grab() for _ in range(100))


def seen_number(stream: Stream) -> int | None:
    picture = stream.picture() if stream.grab() else None
    return None if picture is None else number_in(picture)
