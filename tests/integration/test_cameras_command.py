"""`fbtasks cameras`: what a technician types, and what becomes of it."""

import json
from collections.abc import Callable
from pathlib import Path
from time import time

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from fbtasks.cli import cli
from fbtasks.errors import ConfigError, FbtasksError, RegistryError
from fbtasks.health import CameraReport, HealthBoard, report_of
from fbtasks.keys import Keys
from fbtasks.registry import Registry
from fbtasks.settings import Settings, load_settings
from fbtasks.sim.clip import write_clip
from fbtasks.sim.serving import serving
from fbtasks.transport import connect
from tests.films import number_in, numbered_picture
from tests.servers import Valkey

pytestmark = pytest.mark.usefixtures("no_immortal_keys")

PASSWORD = "hay & oats/#1"
SITE = """
redis_url = "{url}"

[[cameras]]
id = "box-1"
url = "rtsp://admin:secret@10.0.0.1/1"
"""
Run = Callable[..., Result]


@pytest.fixture
def site(valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(SITE.format(url=valkey.url))
    monkeypatch.setenv("FBTASKS_CONFIG", str(file))
    return file


@pytest.fixture
def run(site: Path) -> Run:  # noqa: ARG001 - the settings that it works on
    """`run("list")`: what `fbtasks cameras list` does; its error is raised."""

    def run(*arguments: str, **env: str) -> Result:
        done = CliRunner(env=env).invoke(cli, ["cameras", *arguments])
        if isinstance(done.exception, FbtasksError):
            raise done.exception
        return done

    return run


def now(site: Path) -> Settings:
    """The settings as every process of the site has them now."""
    settings = load_settings(site)
    return Registry(connect(settings.state_url, 2.0), settings).settings()


def listed(run: Run) -> dict[str, dict[str, object]]:
    return {line["id"]: line for line in json.loads(run("list", "--json").output)}


def test_a_camera_is_added_changed_disabled_and_removed(run: Run, site: Path) -> None:
    assert run("add", "box-7", "rtsp://10.0.0.7/1", "horse=Luna", "rules.lying.preset=must_not").exit_code == 0
    run("set", "box-7", "fps=2.5", "rules.lying.clear_after_s=20", "horse=")
    camera = now(site).camera("box-7")
    assert camera is not None
    assert (camera.fps, camera.horse, camera.enabled) == (2.5, "", True)
    assert camera.rules == {"lying": {"preset": "must_not", "clear_after_s": 20}}
    run("disable", "box-7")
    assert listed(run)["box-7"]["state"] == "disabled"
    run("enable", "box-7")
    assert listed(run)["box-7"]["state"] == "not read"
    run("remove", "box-7")
    assert "box-7" not in listed(run)


def test_the_password_is_asked_for_and_never_shown(run: Run, site: Path) -> None:
    added = run("add", "box-7", "rtsp://10.0.0.7/1", "--user", "admin", CAMERA_PASSWORD=PASSWORD)
    asked = CliRunner().invoke(
        cli, ["cameras", "add", "box-8", "rtsp://10.0.0.8/1", "--user", "admin"], input=f"{PASSWORD}\n"
    )
    assert asked.exit_code == 0
    shown = run("list").output
    for camera_id in ("box-7", "box-8"):
        camera = now(site).camera(camera_id)
        assert camera is not None
        assert camera.url.get_secret_value().startswith("rtsp://admin:hay%20%26%20oats%2F%231@10.0.0.")
    for text in (added.output, asked.output, shown, run("list", "--json").output):
        assert "oats" not in text
        assert "secret" not in text


def test_a_camera_of_the_file_is_changed_and_comes_back_as_it_was(run: Run, site: Path) -> None:
    run("set", "box-1", "fps=1", "horse=Max")
    assert listed(run)["box-1"]["source"] == "file, changed"
    run("set", "box-1", "fps=", "horse=")
    assert listed(run)["box-1"]["source"] == "file"
    run("disable", "box-1")
    assert [camera.enabled for camera in now(site).cameras] == [False]
    run("enable", "box-1")
    assert listed(run)["box-1"]["source"] == "file"
    assert now(site).cameras == load_settings(site).cameras


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["remove", "box-1"], RegistryError, "is in the settings file: take it out there"),
        (["remove", "box-2"], RegistryError, "there is no camera 'box-2' (did you mean 'box-1'?)"),
        (["set", "box-2", "fps=1"], RegistryError, "there is no camera 'box-2'"),
        (["add", "box-1", "rtsp://10.0.0.9/1"], RegistryError, "is in the settings file already"),
        (["add", "box 9", "rtsp://10.0.0.9/1"], ConfigError, "id: use letters, digits"),
        (["add", "box-9", "10.0.0.9"], ConfigError, "url: must be a URL"),
        (
            ["add", "box-9", "rtsp://10.0.0.9/1", "fsp=2"],
            ConfigError,
            "unknown setting of a camera (did you mean 'fps'?)",
        ),
        (["add", "box-9", "rtsp://10.0.0.9/1", "rules.lyng.preset=x"], ConfigError, "did you mean 'lying'?"),
        (["set", "box-1", "fps=fast"], ConfigError, "fps: Input should be a valid number"),
        (["set", "box-1", "fps"], ConfigError, "write KEY=VALUE"),
        (["set", "box-1", "rules.lying.preset=no"], ConfigError, "rules.lying.preset: Input should be"),
        (["test", "box-2"], ConfigError, "there is no camera 'box-2'"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(
    run: Run, site: Path, arguments: list[str], kind: type[FbtasksError], said: str
) -> None:
    with pytest.raises(kind) as refusal:
        run(*arguments)
    assert said in str(refusal.value)
    assert now(site).cameras == load_settings(site).cameras


def test_a_camera_is_added_once(run: Run) -> None:
    run("add", "box-7", "rtsp://10.0.0.7/1")
    with pytest.raises(RegistryError, match="there is a camera 'box-7' already"):
        run("add", "box-7", "rtsp://10.0.0.8/1")


def test_what_is_exported_is_a_settings_file_with_the_same_cameras(run: Run, site: Path) -> None:
    run("add", "box-7", "rtsp://10.0.0.7/1", 'horse=Jolly "Jumper" ö', "rules.lying.active=['20:00-06:00']")
    run("add", "box-8", "rtsp://10.0.0.8/1", "enabled=false", "fps=2", "--user", "a", CAMERA_PASSWORD=PASSWORD)
    run("set", "box-1", "horse=Max")
    before = now(site).cameras
    exported = run("export").output
    assert '# horse = "Max"' in exported
    site.write_text(site.read_text() + exported)
    assert [*before[1:]] == load_settings(site).cameras[1:]
    run("remove", "box-7")
    assert [camera.id for camera in now(site).cameras] == ["box-1", "box-7", "box-8"], "the file's is there still"


def test_the_list_tells_what_producers_do(run: Run, valkey: Valkey) -> None:
    run("add", "box-7", "rtsp://10.0.0.7/1", "horse=Luna")
    run("add", "box-8", "rtsp://10.0.0.8/1")
    with valkey.client() as client:
        running = CameraReport("running", time() - 7200, time(), "", "software", 500)
        refused = CameraReport("reconnecting", time() - 240, None, "connection refused", "", 0)
        HealthBoard(client, Keys()).write(
            report_of("producer", now=time(), progress_at=time(), cameras={"box-7": running, "box-8": refused})
        )
    lines = run("list").output.splitlines()
    assert lines[0].split() == ["CAMERA", "STATE", "SINCE", "FPS", "DECODER", "HORSE", "FROM", "URL", "WHY"]
    row = {line.split()[0]: line for line in lines}
    assert "running" in row["box-7"]
    assert "2 h" in row["box-7"]
    assert "software  Luna" in row["box-7"]
    assert "4 min" in row["box-8"]
    assert row["box-8"].endswith("connection refused")
    assert row["box-1"].endswith("no producer reads it")


def test_a_camera_is_tested_and_its_picture_saved(run: Run, tmp_path: Path) -> None:
    size, file = (256, 128), tmp_path / "box.jpg"
    write_clip(tmp_path / "box.mp4", (numbered_picture(number % 16, size) for number in range(40)), size, 10)
    with serving({"box": tmp_path / "box.mp4"}) as server:
        run("add", "box-7", server.url("box"))
        told = run("test", "box-7", "--seconds", "3", "--json", "--save", str(file))
        drawn = run("test", server.url("box"), "--seconds", "0.5", "--draw")
        run("set", "box-7", "decode=keyframes")
        sparing = json.loads(run("test", "box-7", "--seconds", "0.5", "--json").output)
        with pytest.raises(FbtasksError) as refusal:
            run("test", server.url("nothing").replace("//", "//anna:hay@"))
    found = json.loads(told.output)
    assert found["ok"]
    assert (found["codec"], found["width"], found["height"], found["decoder"]) == ("h264", 256, 128, "software")
    assert found["fps"] == pytest.approx(10, rel=0.2)
    assert found["key_frame_s"] == pytest.approx(1, rel=0.5)
    assert 0 < found["open_s"] <= found["first_picture_s"]
    assert (found["backend"], sparing["backend"]) == ("opencv", "pyav")
    assert sparing["decoder"] == "software, key frames only"
    read = cv2.imread(str(file))
    assert read is not None
    picture = read.astype(np.uint8)
    assert picture.shape == (128, 256, 3)
    assert 0 <= number_in(picture) < 16
    assert drawn.output.count("▀") > 100
    assert "h264 256x128" in drawn.output
    assert "no stream at this path (404)" in str(refusal.value)
    assert "hay" not in str(refusal.value)


def test_a_camera_that_does_not_open_is_told_as_json_too(run: Run) -> None:
    told = run("test", "rtsp://anna:hay@127.0.0.1:9/1", "--json")
    assert told.exit_code == 1
    assert json.loads(told.output) == {
        "camera": "rtsp://***@127.0.0.1:9/1",
        "ok": False,
        "reason": "connection refused",
    }
