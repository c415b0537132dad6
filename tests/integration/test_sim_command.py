"""`fbtasks sim serve`, `fault` and `render`, as a shell starts them."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from fbtasks.cli.sim.render import command as render_command
from fbtasks.cli.sim.serve import reels
from fbtasks.errors import ConfigError
from fbtasks.sim.clip import write_clip
from fbtasks.sim.film import Shooting
from fbtasks.sim.scenario import load_scenario
from tests.films import number_in, numbered_picture
from tests.ports import free_port
from tests.processes import Processes
from tests.rtsp_client import RtspClient
from tests.waiting import wait_until

SCENARIO = """
name = "visited"
length_s = 24
loops = true

[place]
kind = "box"

[camera]
width = 320
height = 180
fps = 5

[[horses]]
id = "Luna"

[[persons]]
id = "groom"
acts = [{ from = 2, to = 10, does = "stands" }]

[[disturbances]]
what = "silent"
from = 8
to = 9
"""
FPS = 5


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "visited.toml"
    path.write_text(SCENARIO)
    return path


def test_serve_shows_scenarios_and_files_until_it_is_stopped(
    scenario: Path, tmp_path: Path, processes: Processes
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "box.mp4", (numbered_picture(n, (256, 128)) for n in range(10)), (256, 128), 10)
    port = free_port()
    arguments = [str(scenario), str(folder), "--port", str(port), "--fault", "box password digest anna hay"]
    server = processes.start("fbtasks", "sim", "serve", *arguments, name="serve")
    urls = [f"rtsp://127.0.0.1:{port}/{name}" for name in ("visited", "box")]
    wait_until(lambda: server.exit_code is not None or all(url in server.output() for url in urls), 60, "the cameras")

    with RtspClient(urls[1]) as client:
        assert client.request("DESCRIBE").status == 401
    with RtspClient(urls[0], timeout_s=20).watch() as client:
        client.pictures(3)
        jump = processes.start("fbtasks", "sim", "fault", urls[0], "jump", "-5", name="jump")
        assert jump.wait(30) == 0, jump.tail()
        disconnect = processes.start("fbtasks", "sim", "fault", urls[0], "disconnect", name="fault")
        assert disconnect.wait(30) == 0
        with pytest.raises(ConnectionError):
            client.read_on()
    wrong = processes.start("fbtasks", "sim", "fault", urls[0], "explode", name="wrong")
    assert wrong.wait(30) == 2
    assert "no fault 'explode'" in wrong.output()

    assert server.interrupt(30) == 0, server.tail()
    wait_until(lambda: not server.survivors(), 5, "the drawing process to be gone")
    assert "Traceback" not in server.output()


def test_a_killed_server_leaves_no_drawing_process(scenario: Path, processes: Processes) -> None:
    port = free_port()
    server = processes.start("fbtasks", "sim", "serve", str(scenario), "--port", str(port), name="serve")
    wait_until(lambda: f":{port}/visited" in server.output(), 60, "the camera")
    assert len(server.survivors()) == 2
    server.kill()
    wait_until(lambda: not server.survivors(), 10, "the drawing process to be gone")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no scenario 'nowhere'"),
        (["."], "there is no .mp4 file in"),
        (["box-1", "box-1"], "two cameras have the name 'box-1'"),
        (["box-1", "--fault", "box-9 stall"], "there is no camera 'box-9'"),
    ],
)
def test_serve_says_what_is_wrong(arguments: list[str], said: str, processes: Processes) -> None:
    server = processes.start("fbtasks", "sim", "serve", "--port", "0", *arguments, name="serve")
    assert server.wait(60) == 2
    assert said in server.output()


def test_video_files_are_cameras_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "box-7.MP4").touch()
    assert list(reels((str(tmp_path),), None, None)) == ["box-7"]
    (tmp_path / "my box.mp4").touch()
    with pytest.raises(ConfigError, match=r"my box.mp4 cannot name a camera: rename it"):
        reels((str(tmp_path),), None, None)


@pytest.mark.parametrize("command", [["serve"], ["render", "box-1", "out.mp4"]])
def test_without_pyav_it_says_what_to_install(command: list[str], processes: Processes) -> None:
    code = "import sys; sys.modules['av'] = None; sys.argv[0] = 'fbtasks'; from fbtasks.cli import main; main()"
    ended = processes.start("python", "-c", code, "sim", *command, name="bare")
    assert ended.wait(60) == 2
    assert "pip install 'fbtasks[demo]'" in ended.output()


def test_render_writes_the_pictures_and_their_truth(scenario: Path, tmp_path: Path, processes: Processes) -> None:
    out, truth = tmp_path / "visited.mp4", tmp_path / "visited.jsonl"
    render = processes.start("fbtasks", "sim", "render", str(scenario), str(out), "--truth", str(truth), name="render")
    assert render.wait(60) == 0, render.tail()

    shooting = Shooting(load_scenario(scenario), (320, 180), FPS)
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    assert [line["t"] for line in lines] == pytest.approx([number / FPS for number in range(24 * FPS)])
    for number, line in enumerate(lines):
        expected = shooting.truth(number)
        assert [(box["id"], box["class"], box["posture"]) for box in line["boxes"]] == [
            (one.id, one.class_name, one.posture) for one in expected
        ]
        assert [box["xyxy"] for box in line["boxes"]] == [list(one.xyxy) for one in expected]
        assert [box["visible"] for box in line["boxes"]] == [one.visible for one in expected]
        assert line["sent"] == (not 8 <= line["t"] < 9)
    assert {"kind": "person", "who": "groom"} in lines[5 * FPS]["events"]
    assert {"kind": "silent", "who": ""} in lines[8 * FPS]["events"]

    with av.open(str(out)) as video:
        frames = list(video.decode(video=0))
    assert [round(float(frame.time) * FPS) for frame in frames] == [line["number"] for line in lines if line["sent"]]
    drawn = shooting.picture(7)
    assert drawn is not None
    assert np.abs(frames[7].to_ndarray(format="bgr24").astype(int) - drawn).mean() < 8


def test_an_interrupted_render_leaves_nothing(tmp_path: Path, processes: Processes) -> None:
    render = processes.start("fbtasks", "sim", "render", "box-1", str(tmp_path / "box.mp4"), name="render")
    wait_until(lambda: render.exit_code is not None or any(tmp_path.glob("*.part")), 30, "the first pictures")
    assert render.interrupt(30) == 1
    assert not list(tmp_path.glob("*.mp4*"))


@pytest.mark.parametrize("wanted", [["no/box.mp4"], ["box.mp4", "--truth", "no/box.jsonl"]])
def test_render_refuses_what_it_could_not_write(wanted: list[str]) -> None:
    found = CliRunner().invoke(render_command, ["box-1", *wanted])
    assert found.exit_code == 2
    assert "there is no folder no: make it first" in found.output


def test_render_takes_another_size_and_rate(scenario: Path, tmp_path: Path, processes: Processes) -> None:
    out = tmp_path / "small.mp4"
    options = ["--seconds", "2", "--size", "256x144", "--fps", "10"]
    assert processes.start("fbtasks", "sim", "render", str(scenario), str(out), *options).wait(60) == 0

    capture = cv2.VideoCapture(str(out))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert capture.read()[1].shape == (144, 256, 3)


def test_a_gap_in_a_clip_keeps_the_others_in_their_place(tmp_path: Path) -> None:
    pictures = [None if number in (0, 4, 5) else numbered_picture(number, (256, 128)) for number in range(12)]
    write_clip(tmp_path / "gap.mp4", pictures, (256, 128), 4)
    with av.open(str(tmp_path / "gap.mp4")) as video:
        frames = list(video.decode(video=0))

    numbers = [number_in(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)) for frame in frames]
    assert numbers == [number for number, picture in enumerate(pictures) if picture is not None]
    assert [round(float(frame.time) * 4) for frame in frames[1:]] == numbers[1:]
