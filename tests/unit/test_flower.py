"""Who may open Flower, and to whom; and what is shown there of our own processes."""

import pytest

from fbtasks.cli.presence import batch_shown, push_shown
from fbtasks.errors import ConfigError
from fbtasks.flower import flower_environment
from fbtasks.health import CameraReport, Report
from fbtasks.settings import load_settings

LOGIN = "groom:oats-and-hay"


def test_by_itself_it_is_on_loopback_and_open() -> None:
    assert flower_environment("127.0.0.1", "", environ={}) == {"FLOWER_ADDRESS": "127.0.0.1"}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_login(address: str) -> None:
    flower_environment(address, "", environ={})


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.7", "stable.example", ""])
def test_elsewhere_it_needs_one(address: str) -> None:
    with pytest.raises(ConfigError, match=r"set flower\.user"):
        flower_environment(address, "", environ={})
    assert flower_environment(address, LOGIN, environ={})["FLOWER_BASIC_AUTH"] == LOGIN


@pytest.mark.parametrize(
    "argv", [["--address=0.0.0.0"], ["--address", "0.0.0.0"], ["-address=0.0.0.0"], ["--address="]]
)
def test_its_command_line_goes_first(argv: list[str]) -> None:
    with pytest.raises(ConfigError):
        flower_environment("127.0.0.1", "", argv=["flower", *argv], environ={})


@pytest.mark.parametrize("option", ["--basic-auth=a:b", "--basic_auth=a:b", "--auth=.*@stable.example"])
def test_a_login_of_its_own_is_one(option: str) -> None:
    flower_environment("0.0.0.0", "", argv=["flower", option], environ={})


def test_its_environment_goes_before_the_settings() -> None:
    with pytest.raises(ConfigError):
        flower_environment("127.0.0.1", "", environ={"FLOWER_ADDRESS": "0.0.0.0"})
    added = flower_environment("127.0.0.1", LOGIN, environ={"FLOWER_ADDRESS": "0.0.0.0", "FLOWER_BASIC_AUTH": "a:b"})
    assert added == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("USER", "groom", "set together"),
        ("PASSWORD", "oats-and-hay", "set together"),
        ("PASSWORD", "short", "8 characters"),
        ("PASSWORD", "oats,and,hay", "comma"),
        ("PASSWORD", "hafer-und-häcksel", "ASCII"),
        ("USER", "gr:oom", "pattern"),
    ],
)
def test_logins_that_flower_could_not_check_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    if "together" not in reason:
        monkeypatch.setenv("FBTASKS_FLOWER__USER", "groom")
        monkeypatch.setenv("FBTASKS_FLOWER__PASSWORD", "oats-and-hay")
    monkeypatch.setenv(f"FBTASKS_FLOWER__{name}", value)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_settings()
    assert "oats" not in str(caught.value)


def gpu(batches: int, results: int) -> Report:
    facts: dict[str, str | float] = {"batch": 4, "run_ms": 20.0, "provider": "cpu"}
    return Report("gpu", "host", 1, 0.0, 0.0, facts=facts, counters={"batches": batches, "results": results})


def test_a_batch_is_shown_once() -> None:
    shown = batch_shown(gpu(3, 9), gpu(5, 16))
    assert shown is not None
    assert shown.args == "(4 frames on cpu,)"
    assert shown.result == "2 batches, 7 results since the one shown before"
    assert shown.runtime_s == pytest.approx(0.02)
    assert batch_shown(gpu(5, 16), gpu(5, 16)) is None


def test_a_producer_shows_what_it_sent() -> None:
    cameras = {name: CameraReport(state, 0.0, None, "", "", 0) for name, state in {"a": "running", "b": "lost"}.items()}
    before = Report("producer", "host", 1, 0.0, None, counters={"frames_sent": 10}, cameras=cameras)
    now = Report("producer", "host", 1, 0.0, None, counters={"frames_sent": 25}, cameras=cameras)
    shown = push_shown(before, now)
    assert shown is not None
    assert (shown.args, shown.result) == ("(15 frames,)", "1 of 2 cameras running")
    assert push_shown(now, now) is None
