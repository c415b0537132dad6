"""`fbtasks rules check`: the rules of a settings file in a groom's words."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from fbtasks.cli import cli
from fbtasks.errors import ConfigError

SITE = """
timezone = "Europe/Berlin"
rules.too_fast.enabled = false

[[cameras]]
id = "box-1"
url = "rtsp://10.0.0.1/1"

[[cameras]]
id = "box-2"
url = "rtsp://10.0.0.2/1"

[[cameras]]
id = "box-3"
url = "rtsp://10.0.0.3/1"
rules.lying = { preset = "must_not", active = ["20:00-06:00"] }

[[cameras]]
id = "box-4"
url = "rtsp://10.0.0.4/1"
enabled = false
"""


def check(path: Path, text: str) -> list[str]:
    """What the command prints for a file of this text."""
    file = path / "site.toml"
    file.write_text(text)
    done = CliRunner().invoke(cli, ["rules", "check", str(file)])
    if done.exception is not None:
        raise done.exception
    return done.output.splitlines()


def test_every_enabled_camera_is_told_of_and_those_alike_together(tmp_path: Path) -> None:
    lines = check(tmp_path, SITE)
    assert lines[0] == "hours of the day: Europe/Berlin"
    assert (
        "box-1, box-2: you are told when a horse lies for 60 minutes (info), 120 minutes (warning), "
        "180 minutes (critical)"
    ) in lines
    assert (
        "box-3: you are told when a horse lies for 30 seconds (warning), 5 minutes (critical), only at 20:00-06:00"
    ) in lines
    assert "box-3: switched off: too_fast, zone, cast, restless" in lines
    assert not any("box-4" in line for line in lines)


def test_without_cameras_the_sites_rules_are_told(tmp_path: Path) -> None:
    lines = check(tmp_path, "")
    assert any(line.startswith("every camera: you are told when somebody is in the box outside") for line in lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rules.liyng]\n", "rules.liyng: unknown rule (did you mean 'lying'?)"),
        (SITE.replace("must_not", "mustnot"), "cameras.box-3.rules.lying.preset: Input should be"),
        (SITE.replace("rules.lying", "rules.lyin"), "cameras.box-3.rules.lyin: unknown rule (did you mean 'lying'?)"),
        (SITE.replace("active", "actve"), "cameras.box-3.rules.lying.actve: unknown setting (did you mean 'active'?)"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check(tmp_path, text)
    assert said in str(refusal.value)
