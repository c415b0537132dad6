"""`fbtasks sinks` as a technician meets it."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fbtasks.alert import Alert
from fbtasks.cli import cli
from fbtasks.errors import ConfigError, DeliveryFailed, ExtraMissing
from fbtasks.logic.refusal import refuse_wrong_settings
from fbtasks.logic.sinks.making import sinks_of
from fbtasks.settings import Settings, load_settings
from tests.backend import Backend
from tests.servers import Valkey

DOCS = Path(__file__).resolve().parents[2] / "docs"
SITE = """
timezone = "Europe/Berlin"

[sinks.backend]
kind = "webhook"
url = "{url}"
token = "hunter2"

[sinks.groom]
kind = "webhook"
url = "{url}"
min_severity = "warning"
rules = ["lying"]
cameras = ["box-1"]
active = ["20:00-06:00"]
escalate_after_min = 2.5

[[cameras]]
id = "box-1"
url = "rtsp://10.0.0.1/1"
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend) -> Path:
    file = tmp_path / "fbtasks.toml"
    file.write_text(SITE.format(url=backend.url))
    monkeypatch.chdir(tmp_path)
    return file


def call(*words: str) -> Result:
    done = CliRunner().invoke(cli, ["sinks", *words])
    assert "hunter2" not in done.output
    if done.exception is not None:
        raise done.exception
    return done


@pytest.mark.usefixtures("site")
def test_the_list_tells_what_goes_where() -> None:
    assert call("list").output.splitlines() == [
        "pubsub (pubsub): everything",
        "backend (webhook): everything",
        (
            "groom (webhook): warning and worse, of lying, from box-1, only at 20:00-06:00, "
            "when nobody has acknowledged it for 2.5 minutes"
        ),
    ]


@pytest.mark.usefixtures("site")
def test_a_test_goes_through_the_real_sink_and_says_that_it_is_one(backend: Backend) -> None:
    assert call("test", "groom").output.startswith("groom took the test alert in ")
    call("test", "groom")
    first, second = (Alert.model_validate(request.json) for request in backend.requests)
    assert first.rule == "test"
    assert first.message == "This is only a test: alerts for groom come this way. Nothing has happened"
    assert first.id != second.id, "a backend that remembers keys would drop the second"


@pytest.mark.usefixtures("site")
def test_a_test_through_redis(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBTASKS_REDIS_URL", valkey.url)
    with valkey.client() as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("alerts")
        listener.get_message(timeout=5.0)
        call("test", "pubsub")
        message = listener.get_message(timeout=5.0)
    assert message is not None
    assert Alert.model_validate_json(message["data"]).rule == "test"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(("status", "after"), [(500, "would be tried again later"), (401, "would not be tried again")])
def test_a_sink_that_does_not_take_it_fails_the_command(backend: Backend, status: int, after: str) -> None:
    backend.answer_with([status])
    with pytest.raises(DeliveryFailed) as failed:
        call("test", "backend")
    assert str(failed.value) == f"backend did not take the test alert: the backend answered {status} (an alert {after})"


@pytest.mark.usefixtures("site")
def test_a_sink_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"there is no sink 'grom' \(did you mean 'groom'\?\)"):
        call("test", "grom")


def test_the_schema_in_the_documentation_is_that_of_the_code() -> None:
    """When this fails: `fbtasks sinks schema > docs/alert.schema.json`."""
    assert json.loads((DOCS / "alert.schema.json").read_text()) == json.loads(call("schema").output)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"lying"', '"liyng"', r"sinks\.groom\.rules: there is no 'liyng' \(did you mean 'lying'\?\)"),
        ('["box-1"]', '["box-7"]', r"sinks\.groom\.cameras: there is no 'box-7' \(did you mean 'box-1'\?\)"),
        ("http://", "gopher://", r"sinks\.backend\.url cannot be posted to"),
    ],
)
def test_a_sink_that_could_never_be_told_anything_is_refused(site: Path, old: str, new: str, said: str) -> None:
    site.write_text(site.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=said):
        refuse_wrong_settings(load_settings(site))


@pytest.mark.parametrize(
    ("module", "sink", "extra"),
    [
        ("apprise", {"kind": "apprise", "url": "ntfy://stable"}, "apprise"),
        ("paho.mqtt.client", {"kind": "mqtt", "host": "broker"}, "mqtt"),
    ],
)
def test_a_library_that_is_missing_is_named_where_it_is_needed(
    module: str, sink: dict[str, str], extra: str, monkeypatch: pytest.MonkeyPatch, valkey: Valkey
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    settings = Settings.model_validate({"sinks": {"groom": sink}})
    refuse_wrong_settings(settings)
    with valkey.client() as redis, pytest.raises(ExtraMissing, match=rf"run `pip install fbtasks\[{extra}\]`"):
        sinks_of(settings, redis)
