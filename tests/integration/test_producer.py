"""`fbtasks produce` with real cameras, a real Valkey, and everything that goes wrong between them."""

import json
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from fbtasks.frame import Letterbox
from fbtasks.health import CameraReport, HealthBoard, Report
from fbtasks.keys import Keys
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import Frame, decode_frame
from tests import rtsp_server as rtsp
from tests.conftest import LoopedClip
from tests.ports import LOOPBACK, free_port
from tests.processes import Process, Processes
from tests.rtsp_server import RtspServer
from tests.servers import Valkey
from tests.waiting import wait_until

FPS = 5.0
FRAMES_KEPT = 1000
STOP_LIMIT_S = 5.0
OUTAGE_S = 1.0
PASSWORD = "hay-and-oats"
TALKATIVE = {
    "OPENCV_FFMPEG_DEBUG": "1",
    "OPENCV_FFMPEG_LOGLEVEL": "56",
    "OPENCV_VIDEOCAPTURE_DEBUG": "1",
    "OPENCV_LOG_LEVEL": "DEBUG",
    "FBTASKS_LOG__LEVEL": "DEBUG",
}

Produce = Callable[..., Process]


@pytest.fixture
def produce(processes: Processes, valkey: Valkey, tmp_path: Path) -> Produce:
    """`produce({id: url}, read_timeout_s=1)`: the daemon with these cameras and producer settings."""

    def start(cameras: dict[str, str], env: dict[str, str] | None = None, **producer: float) -> Process:
        settings = tmp_path / "fbtasks.toml"
        tables = [f"[[cameras]]\nid = {json.dumps(name)}\nurl = {json.dumps(url)}" for name, url in cameras.items()]
        limits = {"fps": FPS, "backoff_max_s": 1.0, **producer}
        head = [f"redis_url = {json.dumps(valkey.url)}", "[frames]", f"max_length = {FRAMES_KEPT}", "[producer]"]
        settings.write_text("\n".join([*head, *(f"{name} = {value}" for name, value in limits.items()), *tables]))
        return processes.start("fbtasks", "--config", str(settings), "produce", env=env, name="produce")

    return start


@pytest.fixture
def second_rtsp_server(tmp_path: Path) -> Iterator[RtspServer]:
    """Another server, that can be ended without touching the cameras of the first."""
    if not rtsp.is_installed():
        pytest.skip(rtsp.MISSING)
    folder = tmp_path / "second"
    folder.mkdir()
    server = RtspServer(folder)
    yield server
    server.kill()


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A camera that accepts connections and never says a word."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield f"rtsp://anna:{PASSWORD}@{LOOPBACK}:{server.getsockname()[1]}/box"


def collect(valkey: Valkey, seconds: float) -> dict[str, list[Frame]]:
    """The frames that arrive within `seconds`, by camera, in order of arrival."""
    queue = FrameQueue(connect(valkey.url, 5.0), Keys(), FRAMES_KEPT)
    queue.drain()
    frames: dict[str, list[Frame]] = defaultdict(list)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for message in queue.take(32, 0.2):
            frame = decode_frame(message)
            frames[frame.camera_id].append(frame)
    return frames


def rate(frames: list[Frame]) -> float:
    """Frames per second of capture time."""
    return (len(frames) - 1) / (frames[-1].captured_at - frames[0].captured_at)


def report(valkey: Valkey) -> Report | None:
    with connect(valkey.url, 5.0) as client:
        return next(iter(HealthBoard(client, Keys()).read()), None)


def camera(valkey: Valkey, camera_id: str) -> CameraReport:
    told = report(valkey)
    return told.cameras[camera_id] if told else CameraReport("unknown", 0.0, None, "", "", 0)


def wait_for_state(valkey: Valkey, camera_id: str, state: str, timeout_s: float = 60.0) -> None:
    wait_until(lambda: camera(valkey, camera_id).state == state, timeout_s, f"camera {camera_id} to be {state}")


def assert_in_order(frames: list[Frame]) -> None:
    for earlier, later in pairwise(frames):
        assert later.seq > earlier.seq
        assert later.captured_at > earlier.captured_at
    assert all(frame.sent_at >= frame.captured_at for frame in frames)


def assert_letterboxed(frame: Frame, source: tuple[int, int]) -> None:
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (384, 640, 3), "a 16:9 picture without needless border"
    assert frame.letterbox == Letterbox.fit(*source, 640, 384)
    assert frame.letterbox.resized == (640, 360)
    assert picture[frame.pad_y : -frame.pad_y].std() > 10


def sources(rtsp_server: RtspServer, clip: LoopedClip, **seconds: float) -> dict[str, str]:
    """Cameras `horses` (25 fps) and `paddock` (30 fps), as far as named, that last so many seconds."""
    files = {"horses": "two_horses_540p25", "paddock": "horse_paddock_360p30"}
    return {name: rtsp_server.serve(name, clip(files[name], length)) for name, length in seconds.items()}


@pytest.mark.usefixtures("no_immortal_keys")
def test_two_cameras_at_five_frames_a_second(
    produce: Produce, rtsp_server: RtspServer, looped_clip: LoopedClip, valkey: Valkey
) -> None:
    process = produce(sources(rtsp_server, looped_clip, horses=11, paddock=40))
    wait_for_state(valkey, "horses", "running")
    wait_for_state(valkey, "paddock", "running")
    frames = collect(valkey, 8)
    for name, size in (("horses", (960, 540)), ("paddock", (640, 360))):
        assert rate(frames[name]) == pytest.approx(FPS, rel=0.05)
        assert_in_order(frames[name])
        assert_letterboxed(frames[name][-1], size)

    told = report(valkey)
    assert told is not None
    assert told.role == "producer"
    assert told.progress_at is not None
    assert told.counters["frames_read"] > 8 * 25 + 8 * 30
    assert told.cameras["horses"].decoder == "software"
    assert told.cameras["horses"].frames >= 8 * FPS - 2

    # The first clip is over now: its camera comes back by itself, and its numbers go on rising.
    wait_until(lambda: (now := report(valkey)) and now.counters["reconnects"] >= 1, 10, "the first clip to end")
    wait_for_state(valkey, "horses", "running")
    later = collect(valkey, 1)["horses"]
    assert_in_order([frames["horses"][-1], *later])

    assert process.terminate(STOP_LIMIT_S) == 0
    assert report(valkey) is None


def test_a_camera_that_dies_disturbs_no_other_and_comes_back(
    produce: Produce,
    rtsp_server: RtspServer,
    second_rtsp_server: RtspServer,
    looped_clip: LoopedClip,
    valkey: Valkey,
) -> None:
    cameras = sources(rtsp_server, looped_clip, horses=60) | sources(second_rtsp_server, looped_clip, paddock=60)
    process = produce(cameras)
    wait_for_state(valkey, "horses", "running")
    wait_for_state(valkey, "paddock", "running")
    second_rtsp_server.kill()
    frames = collect(valkey, 4)
    assert camera(valkey, "paddock").state == "reconnecting"
    assert camera(valkey, "paddock").reason == "connection refused"
    assert rate(frames["horses"]) == pytest.approx(FPS, rel=0.05)
    assert max(b.captured_at - a.captured_at for a, b in pairwise(frames["horses"])) < 2 / FPS
    second_rtsp_server.restart()
    wait_for_state(valkey, "paddock", "running")
    assert len(collect(valkey, 2)["paddock"]) >= 8
    assert camera(valkey, "paddock").reason == ""
    assert process.terminate(STOP_LIMIT_S) == 0
    assert process.output().count("camera paddock: connection refused") == 1


def test_cameras_that_refuse_say_why_and_never_tell_a_password(
    produce: Produce, rtsp_server: RtspServer, looped_clip: LoopedClip, valkey: Valkey
) -> None:
    clip = looped_clip("horse_paddock_360p30", 60)
    good = rtsp_server.serve("good", clip, user="anna", password=PASSWORD, digest=True)
    process = produce(
        {
            "good": good,
            "password": good.replace(PASSWORD, f"not-{PASSWORD}"),
            "anonymous": good.replace(f"anna:{PASSWORD}@", ""),
            "path": rtsp_server.serve("open", clip).replace("/open", "/nowhere"),
            "refused": f"rtsp://anna:{PASSWORD}@{LOOPBACK}:{free_port()}/box",
            "scheme": f"bogus://anna:{PASSWORD}@{LOOPBACK}/box",
        },
        env=TALKATIVE,
    )
    reasons = {
        "password": "user or password refused (401)",
        "anonymous": "wants a user and password (401)",
        "path": "no stream at this path (404)",
        "refused": "connection refused",
        "scheme": "cannot be opened",
    }
    for name, reason in reasons.items():
        wait_until(lambda: camera(valkey, name).reason == reason, 60, f"camera {name}: {reason}")  # noqa: B023
    assert {name: camera(valkey, name).state for name in reasons} == {
        "password": "failed",
        "anonymous": "failed",
        "path": "failed",
        "refused": "reconnecting",
        "scheme": "reconnecting",
    }
    wait_for_state(valkey, "good", "running")
    frames = collect(valkey, 4)
    assert rate(frames["good"]) == pytest.approx(FPS, rel=0.05)
    assert set(frames) == {"good"}
    with valkey.client() as client:
        health = [client.get(key) for key in client.scan_iter(match="health:*")]
    assert process.terminate(STOP_LIMIT_S) == 0
    assert health
    assert PASSWORD not in f"{health} {process.output()}"
    assert "anna" not in process.output()


def test_a_stream_that_stalls_is_opened_again(
    produce: Produce, rtsp_server: RtspServer, looped_clip: LoopedClip, valkey: Valkey
) -> None:
    process = produce(sources(rtsp_server, looped_clip, horses=60), read_timeout_s=1.0, open_timeout_s=1.0)
    wait_for_state(valkey, "horses", "running")
    rtsp_server.pause()
    wait_until(lambda: "the stream stalled" in process.output(), 5, "the stall to be noticed")
    wait_for_state(valkey, "horses", "reconnecting")
    rtsp_server.resume()
    wait_for_state(valkey, "horses", "running")
    assert len(collect(valkey, 2)["horses"]) >= 8
    assert process.terminate(STOP_LIMIT_S) == 0


@pytest.mark.parametrize("outage", ["killed", "frozen"])
def test_without_redis_frames_are_dropped_and_cameras_go_on(
    produce: Produce, rtsp_server: RtspServer, looped_clip: LoopedClip, valkey: Valkey, outage: str
) -> None:
    process = produce(sources(rtsp_server, looped_clip, horses=60))
    wait_for_state(valkey, "horses", "running")
    before = report(valkey)
    valkey.kill() if outage == "killed" else valkey.pause()
    wait_until(lambda: "Redis is away, frames" in process.output(), 10, "the outage to be noticed")
    until = time.monotonic() + OUTAGE_S
    wait_until(lambda: time.monotonic() > until, 2 * OUTAGE_S, "the outage to last")
    valkey.start() if outage == "killed" else valkey.resume()
    wait_until(lambda: "Redis is back" in process.output(), 5, "frames to be sent again")
    frames = collect(valkey, 3)["horses"]
    assert rate(frames) == pytest.approx(FPS, rel=0.1)
    assert all(frame.sent_at - frame.captured_at < 1 / FPS for frame in frames)

    told = report(valkey)
    assert told is not None
    assert before is not None
    assert told.counters["reconnects"] == 0
    assert told.counters["frames_dropped"] >= OUTAGE_S * FPS - 1
    assert told.counters["frames_read"] - before.counters["frames_read"] > 25 * (time.time() - before.at) - 40
    assert process.output().count("Redis is away, frames") == 1
    assert process.terminate(STOP_LIMIT_S) == 0


def test_it_stops_in_time_while_a_camera_hangs_in_opening(
    produce: Produce, rtsp_server: RtspServer, looped_clip: LoopedClip, valkey: Valkey, silent_url: str
) -> None:
    cameras = {"silent": silent_url} | sources(rtsp_server, looped_clip, horses=60)
    process = produce(cameras, open_timeout_s=60.0)
    wait_for_state(valkey, "horses", "running")
    assert camera(valkey, "silent").state == "connecting"
    assert process.terminate(STOP_LIMIT_S) == 0
    assert "camera-silent did not stop" in process.output()
    assert PASSWORD not in process.output()
    assert report(valkey) is None


def test_it_stops_in_time_while_everything_hangs(
    produce: Produce, rtsp_server: RtspServer, looped_clip: LoopedClip, valkey: Valkey
) -> None:
    process = produce(sources(rtsp_server, looped_clip, horses=60), read_timeout_s=60.0)
    wait_for_state(valkey, "horses", "running")
    rtsp_server.pause()
    valkey.pause()
    assert process.terminate(STOP_LIMIT_S) == 0
    valkey.resume()


@pytest.mark.parametrize("also_stuck", [False, True])
def test_a_thread_that_dies_ends_the_process(  # noqa: PLR0917 - fixtures
    produce: Produce,
    rtsp_server: RtspServer,
    looped_clip: LoopedClip,
    valkey: Valkey,
    silent_url: str,
    also_stuck: bool,
) -> None:
    with valkey.client() as client:
        client.set(Keys().batch_frames, "no list")
    cameras = sources(rtsp_server, looped_clip, horses=60) | ({"silent": silent_url} if also_stuck else {})
    process = produce(cameras, open_timeout_s=60.0)
    assert process.wait(60) == 1
    assert "WRONGTYPE" in process.output()
