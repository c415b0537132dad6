"""How many frames a camera sends: the motion gate and back-pressure at a real stream."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from fbtasks.producer.back_pressure import BackPressure, room_for
from fbtasks.producer.camera import Camera
from fbtasks.producer.capture import prepare
from fbtasks.producer.encoder import Encoder
from fbtasks.producer.pacing import Pacer, Spacing
from fbtasks.producer.stream import Picture
from fbtasks.producer.turnstile import Turnstile
from fbtasks.settings import CameraSettings, ProducerSettings
from fbtasks.sim.clip import write_clip
from fbtasks.sim.serving import serving
from fbtasks.wire import Frame
from tests.waiting import wait_until

SIZE = (320, 240)
SOURCE_FPS = 25
FPS = 5.0
STILL, MOVING = 7 * SOURCE_FPS, 3 * SOURCE_FPS
ROUND = STILL + MOVING


def film() -> Iterator[Picture]:
    """A noisy stall in which nothing moves for a while, then a horse walks."""
    generator = np.random.default_rng(1)
    for number in range(ROUND):
        walked = max(0, number - STILL) * 3
        picture = np.full((SIZE[1], SIZE[0], 3), 100, np.int16)
        picture[90:150, 10 + walked % 200 : 90 + walked % 200] = 40
        picture += generator.integers(-8, 9, picture.shape, np.int16)
        yield picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "stall.mp4"
    write_clip(path, film(), SIZE, SOURCE_FPS)
    return path


@contextmanager
def read(url: str, law: BackPressure, **producer: object) -> Iterator[list[Frame]]:
    """The frames that a camera sends, as they come."""
    prepare("tcp")
    limits = ProducerSettings.model_validate({"fps": FPS, "open_timeout_s": 20, "read_timeout_s": 10, **producer})
    frames: list[Frame] = []
    camera = Camera(
        CameraSettings.model_validate({"id": "box", "url": url}),
        limits,
        Pacer(FPS),
        Encoder(320, 256, 85, tight=True),
        spacing=Spacing(FPS),
        law=law,
        turnstile=Turnstile(100.0),
        offer=frames.append,
        tell=lambda _: None,
    )
    stop = threading.Event()
    thread = threading.Thread(target=camera.run, args=(stop,))
    thread.start()
    try:
        yield frames
    finally:
        stop.set()
        thread.join()


def walked(frame: Frame) -> bool:
    """Whether the horse is elsewhere than in the still part."""
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return bool(picture[120 + frame.pad_y, 14:24].mean() > 70)


def gaps(frames: list[Frame]) -> list[float]:
    return [later.captured_at - earlier.captured_at for earlier, later in pairwise(frames)]


@pytest.mark.parametrize("backend", ["opencv", "pyav"])
def test_a_still_stall_is_sent_once_a_second_and_movement_at_full_rate(clip: Path, backend: str) -> None:
    with (
        serving({"box": clip}) as server,
        read(server.url("box"), BackPressure(room_for(8)), backend=backend, motion_gate=True) as frames,
    ):
        # Two rounds, the first of which may begin anywhere.
        wait_until(lambda: frames and frames[-1].captured_at - frames[0].captured_at > 2 * ROUND / SOURCE_FPS, 60)
    seen = [(walked(frame), frame.captured_at) for frame in frames]
    begun = [index for index in range(1, len(seen)) if seen[index][0] and not seen[index - 1][0]]
    assert begun
    long_gaps = [gap for gap in gaps(frames) if gap > 0.7]
    assert len(long_gaps) >= 3, "the still part is long enough for some seconds of one frame each"
    assert max(gaps(frames)) < 2.5
    moving = [later for (is_moving, earlier), (_, later) in pairwise(seen) if is_moving and later - earlier < 0.7]
    assert len(moving) >= 2 * MOVING / SOURCE_FPS * FPS * 0.6


def test_back_pressure_lowers_the_rate_to_the_least_and_no_further(clip: Path) -> None:
    law = BackPressure(room_for(8))
    with serving({"box": clip}) as server, read(server.url("box"), law, min_fps=2.0) as frames:
        wait_until(lambda: len(frames) >= 10, 60, "the full rate")
        assert np.median(gaps(frames)) == pytest.approx(1 / FPS, rel=0.3)
        law.share = 0.02
        before = len(frames)
        wait_until(lambda: len(frames) >= before + 8, 60, "the least rate")
    assert np.median(gaps(frames[before + 1 :])) == pytest.approx(0.5, rel=0.3)
