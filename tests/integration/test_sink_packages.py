"""Sinks of other packages: found by their entry points, made with the options of their table; faults are named."""

import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest

from fbtasks.errors import ConfigError
from fbtasks.logic.sinks.making import make_sink
from fbtasks.settings import Settings
from tests.alerts import first_alert
from tests.servers import Valkey

SIREN = """
class Siren:
    def __init__(self, name, timeout_s, port):
        self.name, self.timeout_s, self.port = name, timeout_s, port

    def send(self, alert):
        with open(self.port, "a") as port:
            port.write(alert.message)
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with a sink, as an installer leaves it."""
    (tmp_path / "my_siren.py").write_text(SIREN)
    metadata = tmp_path / "my_siren-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-siren\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[fbtasks.sinks]\nsiren = my_siren:Siren\nlost = my_siren:Lost\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_siren", raising=False)
    invalidate_caches()


def settings(sink: str, **options: str) -> Settings:
    return Settings.model_validate({"sinks": {"yard": {"kind": "package", "sink": sink, "options": options}}})


def test_a_sink_of_a_package_is_told(tmp_path: Path, valkey: Valkey) -> None:
    with valkey.client() as redis:
        sink = make_sink(settings("siren", port=str(tmp_path / "port")), "yard", redis)
    sink.send(first_alert(message="lies"))
    assert (sink.name, sink.timeout_s) == ("yard", 5.0)
    assert (tmp_path / "port").read_text() == "lies"


@pytest.mark.parametrize(
    ("sink", "options", "said"),
    [
        ("horn", {}, "sinks.yard: no installed package brings a sink 'horn'"),
        ("lost", {}, "sinks.yard: my_siren:Lost cannot be used: module 'my_siren' has no attribute 'Lost'"),
        ("siren", {"prt": "hunter2"}, "got an unexpected keyword argument 'prt'"),
    ],
)
def test_a_sink_that_cannot_be_used_is_named(valkey: Valkey, sink: str, options: dict[str, str], said: str) -> None:
    with valkey.client() as redis, pytest.raises(ConfigError) as refused:
        make_sink(settings(sink, **options), "yard", redis)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)
