"""`fbtasks cameras discover`, with a camera that speaks ONVIF on loopback."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fbtasks.cli import cli
from fbtasks.errors import CameraError, ConfigError, FbtasksError
from fbtasks.producer.discovery import devices, search
from fbtasks.registry import Registry
from fbtasks.settings import load_settings
from fbtasks.transport import connect
from tests.onvif_camera import OnvifCamera
from tests.ports import LOOPBACK
from tests.servers import Valkey

RTSP = "rtsp://127.0.0.1:8554"
PASSWORD = "hay"


@pytest.fixture
def camera() -> Iterator[OnvifCamera]:
    one = OnvifCamera(RTSP)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def site(valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(f'redis_url = "{valkey.url}"\n')
    monkeypatch.setenv("FBTASKS_CONFIG", str(file))
    return file


def discover(camera: OnvifCamera, *arguments: str, password: str = PASSWORD) -> Result:
    place = ("--host", LOOPBACK, "--port", str(camera.port), "--seconds", "1")
    done = CliRunner(env={"CAMERA_PASSWORD": password}).invoke(cli, ["cameras", "discover", *place, *arguments])
    if isinstance(done.exception, FbtasksError):
        raise done.exception
    return done


@pytest.mark.usefixtures("site")
def test_a_camera_is_found_with_its_streams(camera: OnvifCamera) -> None:
    told = discover(camera, "--user", "admin", "--json")
    assert told.exit_code == 0
    [found] = json.loads(told.stdout)
    assert found["host"] == LOOPBACK
    assert found["name"] == "Stall Cam SC-7"
    assert [(one["profile"], one["width"], one["height"], one["fps"]) for one in found["streams"]] == [
        ("main", 1920, 1080, 25.0),
        ("sub", 640, 360, 15.0),
        ("tiny", 320, 180, 5.0),
    ]
    assert found["streams"][0]["url"] == f"{RTSP}/main"
    assert found["streams"][0]["codec"] == "H264"
    assert PASSWORD not in told.output


def test_what_is_found_is_added_once_by_the_smallest_stream_that_is_large_enough(
    camera: OnvifCamera, site: Path
) -> None:
    first = discover(camera, "--user", "admin", "--add")
    assert "camera-127-0-0-1 is added" in first.output
    again = discover(camera, "--user", "admin", "--add")
    assert "127.0.0.1 is known already, as camera-127-0-0-1" in again.output
    settings = load_settings(site)
    with connect(settings.state_url, 2.0) as redis:
        [added] = Registry(redis, settings).settings().cameras
    assert added.url.get_secret_value() == f"rtsp://admin:{PASSWORD}@127.0.0.1:8554/sub"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("arguments", "password", "said"),
    [((), "", "wants a user and password, see --user"), (("--user", "admin"), "no", "user or password refused")],
)
def test_a_camera_that_lets_nobody_in_says_so(
    camera: OnvifCamera, arguments: tuple[str, ...], password: str, said: str
) -> None:
    told = discover(camera, "--add", *arguments, password=password)
    assert told.exit_code == 0
    assert f"127.0.0.1: {said}" in told.output
    assert "added" not in told.output


def test_the_search_goes_out_by_multicast_on_the_card_that_is_named() -> None:
    one = OnvifCamera(RTSP, multicast=True)
    one.start()
    try:
        found = search(1.0, interface=LOOPBACK, port=one.port)
    finally:
        one.stop()
    assert [device.service for device in found] == [one.service]


@pytest.mark.usefixtures("site")
def test_no_camera_is_an_error_that_says_what_to_try() -> None:
    with pytest.raises(CameraError, match="--interface and --host"):
        CliRunner().invoke(
            cli,
            ["cameras", "discover", "--host", LOOPBACK, "--port", "9", "--seconds", "0.3"],
            standalone_mode=False,
            catch_exceptions=False,
        )


@pytest.mark.usefixtures("site")
def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onvif", None)
    with pytest.raises(ConfigError) as refusal:
        CliRunner().invoke(cli, ["cameras", "discover"], standalone_mode=False, catch_exceptions=False)
    assert "fbtasks[onvif]" in str(refusal.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<a",
        b"\xff\xfe",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Body/></s:Envelope>",
    ],
)
def test_answers_of_no_use_are_no_devices(answer: bytes) -> None:
    assert devices(answer, "urn:uuid:1") == []


def test_an_answer_to_somebody_elses_question_is_no_device(camera: OnvifCamera) -> None:
    assert len(devices(camera._match("urn:uuid:1").encode(), "urn:uuid:1")) == 1
    assert devices(camera._match("urn:uuid:2").encode(), "urn:uuid:1") == []
