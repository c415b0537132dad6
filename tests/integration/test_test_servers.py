"""The servers that the other tests stand on do what they say."""

import signal
import time
import urllib.error
import urllib.request
from itertools import pairwise

import cv2
import pytest

from tests.backend import Backend
from tests.conftest import LoopedClip, ValkeyFactory
from tests.processes import Processes
from tests.rtsp_server import RtspServer
from tests.servers import Valkey, immortal_keys
from tests.waiting import wait_until

READ = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 4000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 1000, cv2.CAP_PROP_N_THREADS, 1]


@pytest.fixture(autouse=True)
def rtsp_over_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")


def grabbed(capture: cv2.VideoCapture, count: int) -> int:
    """How many of the next `count` frames came."""
    return sum(capture.grab() for _ in range(count))


def test_a_camera_plays_the_clip_at_its_own_pace(rtsp_server: RtspServer, looped_clip: LoopedClip) -> None:
    url = rtsp_server.serve("stable", looped_clip("two_horses_540p25", 20))
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, READ)
    assert grabbed(capture, 25) == 25
    begin = time.monotonic()
    assert grabbed(capture, 50) == 50
    assert 50 / (time.monotonic() - begin) == pytest.approx(25, rel=0.1)
    ok, frame = capture.read()
    assert ok
    assert frame.shape == (540, 960, 3)


@pytest.mark.parametrize("digest", [False, True])
def test_a_camera_with_a_password_wants_it(rtsp_server: RtspServer, looped_clip: LoopedClip, digest: bool) -> None:
    clip = looped_clip("horse_paddock_360p30", 5)
    url = rtsp_server.serve("box", clip, user="anna", password="hay", digest=digest)
    assert grabbed(cv2.VideoCapture(url, cv2.CAP_FFMPEG, READ), 3) == 3
    assert not cv2.VideoCapture(url.replace("hay", "straw"), cv2.CAP_FFMPEG, READ).isOpened()


def test_cameras_come_back_on_the_same_port(rtsp_server: RtspServer, looped_clip: LoopedClip) -> None:
    urls = [rtsp_server.serve(name, looped_clip("horse_paddock_360p30", 30)) for name in ("left", "right")]
    capture = cv2.VideoCapture(urls[0], cv2.CAP_FFMPEG, READ)
    assert grabbed(capture, 3) == 3
    rtsp_server.kill()
    wait_until(lambda: not capture.grab(), 5, "the stream to break")
    rtsp_server.restart()
    for url in urls:
        assert grabbed(cv2.VideoCapture(url, cv2.CAP_FFMPEG, READ), 3) == 3


def test_a_frozen_server_sends_nothing_until_it_goes_on(rtsp_server: RtspServer, looped_clip: LoopedClip) -> None:
    url = rtsp_server.serve("box", looped_clip("horse_paddock_360p30", 30))
    rtsp_server.pause()
    assert not cv2.VideoCapture(url, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 500]).isOpened()
    rtsp_server.resume()
    assert cv2.VideoCapture(url, cv2.CAP_FFMPEG, READ).isOpened()


def test_a_looped_clip_lasts_as_long_as_asked(looped_clip: LoopedClip) -> None:
    capture = cv2.VideoCapture(str(looped_clip("two_horses_540p25", 30)), cv2.CAP_FFMPEG)
    times = []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    steps = [after - before for before, after in pairwise(times)]
    assert len(times) == 3 * 275
    assert min(steps) == pytest.approx(40, abs=1)
    assert max(steps) == pytest.approx(40, abs=1)


def test_valkey_restarts_on_its_port_empty_or_from_its_file(valkey_factory: ValkeyFactory) -> None:
    server = valkey_factory(appendonly="yes", appendfsync="always")
    server.client().set("kept", 1)
    server.restart(empty=False)
    assert server.client().get("kept") == b"1"
    server.restart()
    assert server.client().keys() == []


def test_immortal_keys_are_found(valkey: Valkey) -> None:
    client = valkey.client()
    client.set("forgotten", 1)
    client.set("bounded", 1, ex=60)
    client.rpush("logic", "task")
    client.xadd("alerts:outbox", {"alert": "1"})
    assert immortal_keys(client) == ["forgotten"]
    client.rename("logic", "site:logic")
    assert immortal_keys(client, prefix="site:") == ["forgotten"]


def test_the_backend_answers_as_told(backend: Backend) -> None:
    backend.answer_with([503])
    request = urllib.request.Request(backend.url, b'{"n": 1}', {"Idempotency-Key": "x"})
    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        urllib.request.urlopen(request)
    refused.value.close()
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    assert [received.json for received in backend.requests] == [{"n": 1}, {"n": 1}]
    assert backend.requests[0].headers["Idempotency-Key"] == "x"


PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_process_ends_with_all_that_descends_from_it(processes: Processes) -> None:
    process = processes.start("python", "-c", PARENT, name="parent")
    wait_until(lambda: "ready" in process.output(), 10, "the parent")
    assert len(process.survivors()) == 2
    assert process.terminate() == -signal.SIGTERM
    assert len(process.survivors()) == 1
    processes.end_all()
    wait_until(lambda: not process.survivors(), 5, "the grandchild to be gone")
