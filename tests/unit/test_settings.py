"""What can be set, what is refused and how it is told, and that no secret is ever shown."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fbtasks.errors import ConfigError
from fbtasks.settings import Settings, WebhookSettings, load_settings, variables

Write = Callable[[str], Path]

CAMERA = """
[[cameras]]
id = "box-3"
url = "rtsp://admin:hunter2@10.0.0.7:554/live"
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(own_folder: Path) -> Write:
    def write_file(text: str) -> Path:
        path = own_folder / "site.toml"
        path.write_text(text)
        return path

    return write_file


def refusal(path: Path | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load_settings(path)
    return str(refused.value)


def test_without_file_and_environment_everything_has_a_default() -> None:
    settings = load_settings()
    assert settings.state_url == f"redis://127.0.0.1:{settings.up.state_port}/0"
    assert settings.frames_url == f"redis://127.0.0.1:{settings.up.frames_port}/0"
    assert settings.cameras == []


def test_the_environment_goes_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("[gpu]\nmax_batch = 4\nmax_wait_ms = 3.0\n")
    monkeypatch.setenv("FBTASKS_GPU__MAX_BATCH", "16")
    gpu = load_settings(path).gpu
    assert (gpu.max_batch, gpu.max_wait_ms) == (16, 3.0)


def test_the_file_is_found_by_argument_by_variable_and_by_name(
    own_folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_folder / "fbtasks.toml").write_text("[gpu]\nmax_batch = 1\n")
    assert load_settings().gpu.max_batch == 1
    named = write("[gpu]\nmax_batch = 2\n")
    monkeypatch.setenv("FBTASKS_CONFIG", str(named))
    assert load_settings().gpu.max_batch == 2
    other = own_folder / "other.toml"
    other.write_text("[gpu]\nmax_batch = 3\n")
    assert load_settings(other).gpu.max_batch == 3


def test_every_variable_that_is_told_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "FBTASKS_GPU__MAX_BATCH" in variables()
    assert "FBTASKS_LOGIC__TRACKER__CONFIRM_S" in variables()
    monkeypatch.setenv("FBTASKS_LOGIC__TRACKER__CONFIRM_S", "0.75")
    monkeypatch.setenv("FBTASKS_CAMERAS", json.dumps([{"id": "a", "url": "rtsp://h/1", "fps": 2}]))
    settings = load_settings()
    assert settings.logic.tracker.confirm_s == 0.75
    assert settings.cameras[0].fps == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gpu]\nmaxbatch = 4\n", "gpu.maxbatch: unknown setting (did you mean 'max_batch'?)"),
        ("[gpo]\nmax_batch = 4\n", "gpo: unknown setting (did you mean 'gpu'?)"),
        ("[logic.traker]\n", "logic.traker: unknown setting (did you mean 'tracker'?)"),
        (CAMERA + "ulr = 1\n", "cameras.0.ulr: unknown setting (did you mean 'url'?)"),
        ("[gpu]\nmax_batch = 33\n", "gpu.max_batch: Input should be less than or equal to 32"),
        ("[gpu]\nmax_batch = 0\n", "gpu.max_batch: Input should be greater than or equal to 1"),
        ("[gpu]\nmax_wait_ms = nan\n", "gpu.max_wait_ms: Input should be"),
        ("[gpu]\ninput_width = 650\n", "gpu.input_width: Input should be a multiple of 32"),
        ("[gpu]\nprovider = 'gpu'\n", "gpu.provider: Input should be 'auto'"),
        ("[redis]\ntimeout_s = 0.3\n", "redis.timeout_s: Input should be greater than or equal to 1"),
        ("[redis]\nprefix = 'a*'\n", "redis.prefix: String should match pattern"),
        ("[producer]\nbackoff_min_s = 9\nbackoff_max_s = 8\n", "backoff_max_s must not be smaller"),
        ("[health]\ninterval_s = 60\n", "stale_after_s must be longer than interval_s"),
        ("redis_url = 'http://host'\n", "redis_url: must begin with redis://"),
        ("gpu = 3\n", "gpu: Input should be"),
        ("[gpu\n", "site.toml: Expected ']'"),
        ("timezone = 'Europe/Berln'\n", "timezone: is not known (did you mean 'Europe/Berlin'?)"),
        ("timezone = '../etc/passwd'\n", "timezone: is not known"),
        ("[logic]\nsilent_after_s = 1\n", "logic.silent_after_s: Input should be greater than or equal to 3"),
        ("[report]\nnight = '20-6'\n", "report.night: '20-6' are no hours of a day, write them like 20:00-06:00"),
        (CAMERA + CAMERA, "camera id 'box-3' is used twice"),
        (CAMERA.replace("box-3", "box 3"), "cameras.0.id: use letters, digits"),
        ("[[cameras]]\nid = 'a'\n", "cameras.0.url: Field required"),
        ("[[cameras]]\nid = 'a'\nurl = '10.0.0.7/live'\n", "cameras.0.url: must be a URL, such as rtsp://"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_what_to_do(write: Write, text: str, said: str) -> None:
    message = refusal(write(text))
    assert said in message
    assert "site.toml" in message


@pytest.mark.parametrize("hours", ["20:00-06:00", "20:00-24:00"])
def test_a_night_is_written_as_the_hours_of_a_rule_are(write: Write, hours: str) -> None:
    assert load_settings(write(f"[report]\nnight = '{hours}'\n")).report.night == hours


def test_a_variable_that_is_no_json_is_blamed_and_not_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBTASKS_CAMERAS", "[{")
    assert refusal(write("")).startswith('environment: error parsing value for field "cameras"')


def test_every_fault_is_named_at_once(write: Write) -> None:
    message = refusal(write("[gpu]\nmax_batch = 99\ncandidate = 5\n[logic]\nchunk = 0\n"))
    assert [line.split(": ")[1] for line in message.splitlines()] == ["gpu.max_batch", "gpu.candidate", "logic.chunk"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("FBTASKS_GPU__MAXBATCH", "did you mean 'FBTASKS_GPU__MAX_BATCH'?"),
        ("FBTASKS_GPU_MAX_BATCH", "did you mean 'FBTASKS_GPU__MAX_BATCH'?"),
        ("FBTASKS_REDISURL", "did you mean 'FBTASKS_REDIS_URL'?"),
    ],
)
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setenv(name, "4")
    message = refusal()
    assert name in message
    assert said in message


def test_files_that_cannot_be_read_are_told(own_folder: Path) -> None:
    assert "there is no settings file" in refusal(own_folder / "none.toml")
    not_text = own_folder / "picture.toml"
    not_text.write_bytes(b"\xff\xd8\xff")
    assert "picture.toml" in refusal(not_text)


def test_rules_come_from_the_site_and_the_camera_over_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    site = "[rules.lying]\nwarning_after_s = 60\nclear_after_s = 5\n"
    path = write(site + CAMERA + "[cameras.rules.lying]\nclear_after_s = 9\n")
    monkeypatch.setenv("FBTASKS_RULES__TOO_FAST", '{"enabled": false}')
    settings = load_settings(path)
    assert settings.rule_tables("box-3")["lying"] == {"warning_after_s": 60, "clear_after_s": 9}
    assert settings.rule_tables("elsewhere")["lying"]["clear_after_s"] == 5
    assert settings.rule_tables("elsewhere")["too_fast"] == {"enabled": False}


SECRETS = {
    "FBTASKS_REDIS_URL": "redis://:p%40ss-one@redis.local:6379/2",
    "FBTASKS_FRAMES_REDIS_URL": "rediss://fred:p@ss-two@frames.local",
    "FBTASKS_STORE__URL": "postgresql://horse:ss-three@db/alerts",
    "FBTASKS_SINKS__BACKEND__KIND": "webhook",
    "FBTASKS_SINKS__BACKEND__URL": "https://hooks.example.org/ss-four",
    "FBTASKS_SINKS__BACKEND__TOKEN": "ss-five",
    "FBTASKS_SINKS__GROOM__KIND": "apprise",
    "FBTASKS_SINKS__GROOM__URL": "tgram://ss-six/ss-seven",
}


def test_no_secret_is_shown(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(write(CAMERA))
    for text in (json.dumps(settings.shown()), repr(settings), str(settings), settings.model_dump_json()):
        assert "ss-" not in text
        assert "hunter2" not in text
    shown = settings.shown()
    assert shown["redis_url"] == "redis://***@redis.local:6379/2"
    assert shown["sinks"]["backend"]["token"] == "***"
    assert shown["sinks"]["groom"]["url"] == "tgram://***"
    assert shown["cameras"][0]["url"] == "rtsp://***@10.0.0.7:554/live"
    assert settings.state_url == SECRETS["FBTASKS_REDIS_URL"]


@pytest.mark.parametrize(
    "text",
    [
        CAMERA + "fps = -1\n",
        CAMERA + 'password = "hunter2"\n',
        CAMERA.replace('"rtsp://admin:hunter2@10.0.0.7:554/live"', '["hunter2"]'),
        'redis_url = "http://:hunter2@host"\n',
        CAMERA.replace("box-3", "hunter2 hunter2").replace("hunter2@", "@"),
        'cameras = "hunter2"\n',
    ],
)
def test_no_error_shows_a_value(write: Write, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(write(text))
    assert "hunter2" not in f"{refused.value} {refused.value!r} {refused.value.__cause__!r}"


def test_an_error_in_a_variable_shows_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBTASKS_CAMERAS", "[{hunter2")
    assert "hunter2" not in refusal()


def test_nothing_changes_after_loading() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.gpu.max_batch = 3  # type: ignore[misc]
    assert isinstance(settings, Settings)


SINK = '[sinks.backend]\nkind = "webhook"\nurl = "https://backend.example/alerts"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SINK + "tokn = 'x'", "sinks.backend.tokn: unknown setting (did you mean 'token'?)"),
        (SINK + "min_severity = 'bad'", "sinks.backend.min_severity: Input should be 'note', 'info'"),
        (SINK + "active = ['25:00-26:00']", "sinks.backend.active.0: '25:00-26:00' are no hours of a day"),
        (
            '[sinks.backend]\nurl = "https://host/"',
            "sinks.backend: kind is missing; write webhook, pubsub, mqtt, apprise",
        ),
        ('[sinks.backend]\nkind = "fax"', "sinks.backend: Input tag 'fax' found using 'kind' does not match any of"),
        (SINK.replace("backend]", '"The Backend"]'), "sinks.The Backend"),
        ('[webhook]\nurl = "https://host/"', 'webhook: is [sinks.webhook] now, with kind = "webhook" in it'),
    ],
)
def test_a_wrong_sink_is_refused_with_its_place(write: Write, text: str, said: str) -> None:
    assert said in refusal(write(text))


def test_a_secret_of_a_sink_may_come_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBTASKS_SINKS__BACKEND__TOKEN", "hunter2")
    backend = load_settings(write(SINK)).sinks["backend"]
    assert isinstance(backend, WebhookSettings)
    assert backend.token is not None
    assert backend.token.get_secret_value() == "hunter2"
    assert backend.url.get_secret_value() == "https://backend.example/alerts"
