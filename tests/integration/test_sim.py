"""The drawn stable: what it shows is what it says, its model sees that, and its cameras are real ones."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fbtasks.errors import CameraError, ConfigError
from fbtasks.gpu.model import prepare
from fbtasks.gpu.preprocess import decode_into
from fbtasks.producer.capture import Stream
from fbtasks.producer.capture import prepare as prepare_capture
from fbtasks.sim import rtp
from fbtasks.sim.backdrop import Picture, stall
from fbtasks.sim.clip import write_clip
from fbtasks.sim.colour_model import NAMES, SIZE, colour_model, write_colour_model
from fbtasks.sim.rtsp import load_folder
from fbtasks.sim.scene import FPS, HEIGHT, VIEWS, WIDTH, Scene
from fbtasks.sim.script import BOLTS_AT_S, CALM_AT_S, LIES_DOWN_AT_S, LOOP_S, STANDS_AT_S, bolting_at, lying_at
from tests.ports import free_port
from tests.processes import Processes
from tests.waiting import wait_until

Floats = NDArray[np.float64]
BOX_2 = VIEWS[1]
LYING_ASPECT = 1.7
"""Where the default settings put the border between standing and lying."""
CLIP_S = 2
BITS = 10
PERSON_BLUE = (150, 80, 40)
"""Blue first."""


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {view.camera_id: Scene(view) for view in VIEWS}


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    """The colour model as the GPU worker runs it."""
    folder = tmp_path_factory.mktemp("model")
    write_colour_model(folder / "colour.onnx")
    prepared = prepare(folder / "colour.onnx", folder / "cache")
    assert prepared.names == NAMES
    assert prepared.licence == "Apache-2.0"
    assert prepared.candidates == len(NAMES)
    return onnxruntime.InferenceSession(str(prepared.path), providers=["CPUExecutionProvider"])


def test_a_scene_is_the_same_for_the_same_seed_and_begins_again_after_a_loop() -> None:
    scene, again, other = Scene(BOX_2, seed=3), Scene(BOX_2, seed=3), Scene(BOX_2, seed=4)
    again.picture(40.0)

    assert np.array_equal(scene.picture(7.5), again.picture(7.5))
    assert np.array_equal(scene.picture(7.5), scene.picture(7.5 + LOOP_S))
    assert not np.array_equal(scene.picture(7.5), other.picture(7.5))


def test_a_horse_is_never_cut_off_by_the_picture(scenes: dict[str, Scene]) -> None:
    for camera, scene in scenes.items():
        boxes = np.array([_true_box(scene, t) for t in np.arange(0.0, LOOP_S, 0.2)])
        assert boxes[:, :2].min() > 5, camera
        assert (boxes[:, 2:] < [WIDTH - 5, HEIGHT - 5]).all(), camera


def test_the_horse_of_box_1_lies_when_the_script_says_so(scenes: dict[str, Scene]) -> None:
    for t in np.arange(0.0, LOOP_S, 0.5):
        left, top, right, bottom = _true_box(scenes["box-1"], t)
        aspect = (right - left) / (bottom - top)
        if lying_at(t):
            assert aspect > LYING_ASPECT + 0.3, t
        elif t <= LIES_DOWN_AT_S or t >= STANDS_AT_S:
            assert aspect < LYING_ASPECT - 0.3, t


def test_the_horse_of_box_2_bolts_and_walks(scenes: dict[str, Scene]) -> None:
    times = np.arange(0.0, LOOP_S, 0.2)
    boxes = np.array([_true_box(scenes["box-2"], t) for t in times])
    length = float(np.median(boxes[:, 2] - boxes[:, 0]))
    speeds = np.abs(np.gradient((boxes[:, 0] + boxes[:, 2]) / 2, times)) / length
    bolting = np.array([bolting_at(t) for t in times])
    walking = (times < BOLTS_AT_S) | (times > CALM_AT_S)

    assert np.median(speeds[bolting]) > 1.4
    assert np.median(speeds[walking]) < 0.45
    assert ((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])).max() < LYING_ASPECT - 0.2


@pytest.mark.parametrize("camera", ["box-1", "box-2"])
def test_the_model_finds_the_drawn_horse(
    camera: str, scenes: dict[str, Scene], detector: onnxruntime.InferenceSession
) -> None:
    scene = scenes[camera]
    times = np.arange(0.2, LOOP_S, 2.9)
    xyxy, confidence, class_id = _run(detector, [_letterboxed(scene.picture(t)) for t in times])

    assert (class_id[:, 0] == 1).all()
    assert (confidence[:, 0] > 0.9).all()
    assert (confidence[:, 1] == 0).all(), "no person is there"
    overlaps = [_iou(_unletterboxed(box), _true_box(scene, t)) for box, t in zip(xyxy[:, 0], times, strict=True)]
    assert min(overlaps) > 0.75
    assert np.mean(overlaps) > 0.92


def test_the_model_finds_nothing_in_an_empty_box_and_a_person_in_blue(detector: onnxruntime.InferenceSession) -> None:
    empty = stall(WIDTH, HEIGHT, seed=1)
    visited = empty.copy()
    cv2.rectangle(visited, (300, 150), (390, 480), PERSON_BLUE, -1)
    xyxy, confidence, class_id = _run(detector, [_letterboxed(empty), _letterboxed(visited)])

    assert (confidence[0] == 0).all()
    assert np.isfinite(xyxy).all()
    assert NAMES[int(class_id[1, 0])] == "person"
    assert confidence[1, 0] > 0.9
    assert _iou(_unletterboxed(xyxy[1, 0]), np.array([300.0, 150, 390, 480])) > 0.95


def test_the_model_has_the_form_of_a_yolo11_export() -> None:
    session = onnxruntime.InferenceSession(colour_model().SerializeToString(), providers=["CPUExecutionProvider"])
    output = session.run(["output0"], {"images": np.zeros((3, 3, SIZE, SIZE), np.float32)})[0]

    assert output.shape == (3, 4 + len(NAMES), len(NAMES))
    assert output.dtype == np.float32
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["task"] == "detect"
    assert metadata["names"] == "{0: 'person', 1: 'horse'}"


class Numbered:
    """Pictures that bear their number as black and white squares."""

    def picture(self, t: float) -> Picture:
        number = round(t * FPS)
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for bit in range(BITS):
            colour = (255, 255, 255) if number >> bit & 1 else (0, 0, 0)
            cv2.rectangle(picture, (bit * 90 + 20, 100), (bit * 90 + 90, 170), colour, -1)
        return picture


@pytest.fixture
def numbered_camera(tmp_path: Path, processes: Processes) -> Iterator[str]:
    """URL of a camera that repeats `CLIP_S` seconds of numbered pictures."""
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(Numbered(), folder / "numbered.mp4", CLIP_S)
    port = free_port()
    server = processes.start("python", "-m", "fbtasks.sim.rtsp", "--port", str(port), str(folder))
    prepare_capture("tcp")
    url = f"rtsp://127.0.0.1:{port}/numbered"
    wait_until(lambda: _opens(url), 30, f"the camera\n{server.tail()}")
    yield url
    assert server.terminate() == 0


def test_a_camera_goes_on_without_a_break_where_its_clip_begins_again(numbered_camera: str) -> None:
    count = 4 * CLIP_S * FPS
    with Stream.open(numbered_camera, 10.0, 10.0) as stream:
        numbers = [_next_number(stream) for _ in range(count)]

    # OpenCV may leave out pictures while it gets to know the stream, never later.
    assert numbers == [(numbers[0] + index) % (CLIP_S * FPS) for index in range(count)]


def test_nonsense_ends_its_own_connection_only(numbered_camera: str) -> None:
    port = urlsplit(numbered_camera).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=5) as nonsense:
        nonsense.sendall(b"GARBAGE\r\ncontent-length: many\r\n\r\n")
        assert nonsense.recv(100) == b""
    with Stream.open(numbered_camera, 5.0, 5.0) as stream:
        assert stream.grab()


def test_a_camera_that_is_not_there_cannot_be_opened(numbered_camera: str) -> None:
    with pytest.raises(CameraError):
        Stream.open(numbered_camera.replace("numbered", "nobody"), 5.0, 5.0)


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \.mp4 file"):
        load_folder(tmp_path)


@given(
    nals=st.lists(st.binary(min_size=1, max_size=5000).map(lambda body: b"\x65" + body), min_size=1, max_size=4),
    sequence=st.integers(0, 0xFFFF),
)
def test_a_picture_survives_its_packets(nals: list[bytes], sequence: int) -> None:
    packets = list(rtp.packets(rtp.Unit(0, nals), 5_000_000_000, sequence, 7))

    assert all(len(packet) <= rtp.MAX_PAYLOAD + 12 for packet in packets)
    assert [packet[1] >> 7 for packet in packets] == [0] * (len(packets) - 1) + [1]
    assert [int.from_bytes(packet[2:4], "big") for packet in packets] == [
        (sequence + number) & 0xFFFF for number in range(len(packets))
    ]
    assert _reassembled(packets) == nals


def _reassembled(packets: list[bytes]) -> list[bytes]:
    """NAL units as a receiver puts them together (RFC 6184)."""
    nals: list[bytes] = []
    for payload in (packet[12:] for packet in packets):
        if payload[0] & 31 != 28:
            nals.append(payload)
        elif payload[1] & 0x80:
            nals.append(bytes([payload[0] & 0xE0 | payload[1] & 31]) + payload[2:])
        else:
            nals[-1] += payload[2:]
    return nals


def _true_box(scene: Scene, t: float) -> Floats:
    [horse] = scene.truth(t)
    return np.array(horse.xyxy)


def _letterboxed(picture: Picture) -> Picture:
    """The picture as the model gets it: 640x640 with grey bars, through a JPEG, red first."""
    height = SIZE * HEIGHT // WIDTH
    square = np.full((SIZE, SIZE, 3), 114, np.uint8)
    bar = (SIZE - height) // 2
    square[bar : bar + height] = cv2.resize(picture, (SIZE, height))
    jpeg = cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    decoded = np.empty_like(square)
    decode_into(jpeg.tobytes(), decoded)
    return decoded


def _unletterboxed(box: NDArray[np.float32]) -> Floats:
    bar = (SIZE - SIZE * HEIGHT // WIDTH) // 2
    return np.asarray((box.astype(np.float64) - np.array([0, bar, 0, bar])) * (WIDTH / SIZE))


def _run(
    detector: onnxruntime.InferenceSession, pictures: list[Picture]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    xyxy, confidence, class_id = detector.run(["xyxy", "confidence", "class_id"], {"frames": np.stack(pictures)})
    return xyxy, confidence, class_id


def _iou(box: Floats, other: Floats) -> float:
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = float(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]))
    return shared / (areas - shared)


def _opens(url: str) -> bool:
    try:
        with Stream.open(url, 5.0, 5.0):
            return True
    except CameraError:
        return False


def _next_number(stream: Stream) -> int:
    assert stream.grab()
    picture = stream.picture()
    assert picture is not None
    return sum(int(picture[135, bit * 90 + 55].mean() > 128) << bit for bit in range(BITS))
