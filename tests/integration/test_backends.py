"""OpenCV and PyAV behind one interface: the same pictures from real RTSP, and what only PyAV does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from fbtasks.errors import CameraError
from fbtasks.producer import pyav
from fbtasks.producer.backends import look_at, open_stream
from fbtasks.producer.capture import prepare
from fbtasks.producer.encoder import Encoder
from fbtasks.producer.pyav import PyAvStream
from fbtasks.producer.stream import GLANCE, VideoStream
from fbtasks.settings import CameraSettings, ProducerSettings
from fbtasks.sim.access import Password
from fbtasks.sim.clip import write_clip
from fbtasks.sim.faults import Clear, Corrupt, Disconnect, Jump, Mute, Protect, Stall
from fbtasks.sim.rtp import H264, H265
from fbtasks.sim.serving import ServerThread, serving
from tests.films import number_in, numbered_picture

FPS = 20
SIZE = (256, 128)
PICTURES = 80
PASSWORD = "hay-and-oats"
BACKENDS = ("opencv", "pyav")

Open = Callable[..., VideoStream]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same numbered pictures in both codecs, with a key frame every second."""
    folder = tmp_path_factory.mktemp("clips")
    paths = {"h264": folder / "h264.mp4", "hevc": folder / "hevc.mp4"}
    for path, codec in zip(paths.values(), (H264, H265), strict=True):
        write_clip(path, (numbered_picture(number, SIZE) for number in range(PICTURES)), SIZE, FPS, codec)
    return paths


@pytest.fixture
def server(clips: dict[str, Path]) -> Iterator[ServerThread]:
    with serving(clips) as started:
        yield started


@pytest.fixture
def opened(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """`opened(camera="h264", backend="pyav", decode="all")`: that stream of the server."""
    streams: list[VideoStream] = []
    for name in ("OPENCV_FFMPEG_CAPTURE_OPTIONS", "OPENCV_FFMPEG_IS_THREAD_SAFE", "OPENCV_FFMPEG_LOGLEVEL"):
        monkeypatch.setenv(name, "")
    prepare("tcp")

    def start(camera: str = "h264", **producer: object) -> VideoStream:
        limits = ProducerSettings.model_validate({"open_timeout_s": 20.0, "read_timeout_s": 10.0, **producer})
        stream = open_stream(named(server.url(camera)), limits)
        streams.append(stream.__enter__())
        return stream

    yield start
    for stream in streams:
        stream.__exit__(None, None, None)


def named(url: str) -> CameraSettings:
    return CameraSettings.model_validate({"id": "box", "url": url})


def next_number(stream: VideoStream, timeout_s: float = 20.0) -> int:
    """The number that the next picture bears."""
    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        if stream.grab() and stream.has_picture and (picture := stream.picture()) is not None:
            return number_in(picture)
    raise AssertionError(f"no picture within {timeout_s:g} s")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_every_frame_comes_once_and_in_order(opened: Open, backend: str, codec: str) -> None:
    stream = opened(codec, backend=backend)
    first = next_number(stream)
    assert [next_number(stream) for _ in range(PICTURES)] == [
        number % PICTURES for number in range(first + 1, first + PICTURES + 1)
    ]
    facts = stream.facts()
    assert (facts.backend, facts.decoder, facts.codec, facts.size) == (backend, "software", codec, SIZE)
    assert facts.fps == pytest.approx(FPS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_picture_is_drawn_alike_by_both(opened: Open, backend: str) -> None:
    stream, encoder = opened(backend=backend), Encoder(128, 128, 95, tight=True)
    next_number(stream)
    picture = stream.picture(encoder.drawn_size)
    assert picture is not None
    assert stream.size == SIZE
    letterbox, _ = encoder.encode(picture, stream.size)
    assert (letterbox.width, letterbox.height, letterbox.resized) == (*SIZE, (128, 64))
    whole = stream.picture()
    assert whole is not None
    assert abs(int(picture.mean()) - int(whole.mean())) <= 3
    glance = stream.glance()
    assert glance is not None
    assert glance.shape == GLANCE[::-1]
    assert abs(glance.mean() - whole[..., 1].mean()) < 20


def test_of_key_frames_alone_nothing_else_is_decoded(opened: Open) -> None:
    stream = opened(backend="pyav", decode="keyframes")
    seen: list[int] = []
    left_out = 0
    while len(seen) < 4:
        assert stream.grab(), "frames that are left out are no faults"
        if stream.has_picture:
            picture = stream.picture()
            assert picture is not None
            seen.append(number_in(picture))
        else:
            assert stream.picture() is None
            left_out += 1
    assert all(number % FPS == 0 for number in seen)
    assert seen[1:] == [(number + FPS) % PICTURES for number in seen[:-1]]
    assert left_out >= 3 * (FPS - 1)
    assert stream.decoder == "software, key frames only"


def test_auto_leaves_frames_out_once_key_frames_are_frequent_enough(opened: Open) -> None:
    stream = opened(backend="pyav", decode="auto", fps=0.4)
    numbers = [next_number(stream) for _ in range(FPS)]
    assert numbers == [(numbers[0] + later) % PICTURES for later in range(FPS)], "all, as long as it is not known"
    while not stream.decoder.endswith("key frames only"):
        next_number(stream)
    assert {next_number(stream) % FPS for _ in range(2)} == {0}


def test_auto_takes_the_backend_that_can(opened: Open) -> None:
    assert isinstance(opened(decode="keyframes"), PyAvStream)
    assert isinstance(opened(decode="auto", fps=0.5), PyAvStream)
    assert not isinstance(opened(decode="all", fps=5), PyAvStream)


def test_a_stall_keeps_nobody_waiting_and_ends_by_itself(opened: Open, server: ServerThread) -> None:
    stream = opened(backend="pyav")
    next_number(stream)
    server.set_fault("h264", Stall())
    while stream.grab():
        pass
    began = monotonic()
    assert not stream.grab()
    assert monotonic() - began < 2.0, "whoever wants to stop must not wait for the end of the stall"
    server.set_fault("h264", Clear())
    next_number(stream)


def test_damaged_packets_do_not_end_it(opened: Open, server: ServerThread) -> None:
    stream = opened(backend="pyav")
    next_number(stream)
    server.set_fault("h264", Corrupt(0.2))
    for _ in range(2 * FPS):
        stream.grab()
    server.set_fault("h264", Clear())
    # Not "from the next key frame on": a damaged picture may bear any number, one of a key frame too.
    numbers = [next_number(stream)]
    for _ in range(3 * PICTURES):
        numbers.append(next_number(stream))
        if numbers[-FPS:] == [(numbers[-FPS:][0] + later) % PICTURES for later in range(FPS)]:
            return
    pytest.fail(f"never whole again: {numbers}")


def test_time_stamps_that_run_backwards_do_not_matter(opened: Open, server: ServerThread) -> None:
    streams = [opened(backend=backend) for backend in BACKENDS]
    for stream in streams:
        next_number(stream)
    server.set_fault("h264", Jump(-3600))
    for stream in streams:
        assert len({next_number(stream) for _ in range(FPS)}) == FPS


def test_an_ended_stream_says_so_at_once(opened: Open, server: ServerThread) -> None:
    stream = opened(backend="pyav")
    next_number(stream)
    server.set_fault("h264", Disconnect())
    while stream.grab():
        pass
    began = monotonic()
    assert not any(stream.grab() for _ in range(25))
    assert monotonic() - began < 5.0


def test_opening_is_bounded(opened: Open, server: ServerThread) -> None:
    server.set_fault("h264", Mute())
    began = monotonic()
    with pytest.raises(CameraError):
        opened(backend="pyav", open_timeout_s=0.5)
    assert monotonic() - began < 10.0


def test_a_refused_password_is_not_told(server: ServerThread, capfd: pytest.CaptureFixture[str]) -> None:
    server.set_fault("h264", Protect(Password("digest", "anna", PASSWORD)))
    url = server.url("h264").replace("://", "://anna:wrong-secret@")
    with pytest.raises(CameraError) as caught:
        PyAvStream.open(url, 10.0)
    told = f"{caught.value} {caught.value.__cause__} {capfd.readouterr()}"
    assert "secret" not in told
    with PyAvStream.open(url.replace("wrong-secret", PASSWORD), 10.0) as stream:
        next_number(stream)


@pytest.mark.parametrize("kinds", [("cuda",), ("qsv",), ("cuda", "qsv")])
def test_hardware_that_does_not_decode_gives_way(
    opened: Open, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...]
) -> None:
    if set(pyav.hardware()) & set(kinds):
        pytest.skip("this machine has it, and it decodes")
    monkeypatch.setattr(pyav, "hardware", lambda: kinds)
    stream = opened(backend="pyav")
    first = next_number(stream)
    assert next_number(stream) == (first + 1) % PICTURES
    assert stream.decoder == "software"


def test_without_the_loop_filter_the_decoder_really_works_differently(clips: dict[str, Path]) -> None:
    pictures = []
    for skip in (False, True):
        with PyAvStream.open(str(clips["h264"]), 20.0, skip_loop_filter=skip) as stream:
            for _ in range(10):
                assert stream.grab()
            picture = stream.picture()
            assert picture is not None
            pictures.append(picture)
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_camera_is_looked_at(server: ServerThread, backend: str) -> None:
    limits = ProducerSettings.model_validate({"backend": backend, "open_timeout_s": 20, "read_timeout_s": 20})
    facts = look_at(named(server.url("hevc")), limits)
    assert (facts.backend, facts.codec, facts.size, facts.decoder) == (backend, "hevc", SIZE, "software")
