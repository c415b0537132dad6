"""Rules of other packages: found by their entry points, configured and explained as our own; faults are named."""

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import pytest

from fbtasks.cli.sim.rehearsal import Rehearsal
from fbtasks.errors import ConfigError
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.plugins import known_rules
from fbtasks.logic.rules import KNOWN, load_rules
from fbtasks.logic.state import CameraState
from fbtasks.settings import LogicSettings, Settings
from fbtasks.sim.nights import Night
from fbtasks.sim.scenario import read_scenario
from tests.processes import BIN
from tests.results import Seen, result, standing

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fbtasks-unattended"
Install = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def looked_for_anew() -> Iterator[None]:
    """What is installed is looked up once in a process; here it changes."""
    known_rules.cache_clear()
    yield
    known_rules.cache_clear()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built into a wheel and unpacked into a folder, as an installer does."""
    built, site = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)], cwd=EXAMPLE, check=True
    )
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(code, value)`: a package of this code whose entry point is `value`; returns where it lies."""

    def installed(code: str, value: str) -> Path:
        (tmp_path / "strange_rules.py").write_text(code)
        metadata = tmp_path / "strange_rules-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-rules\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[fbtasks.rules]\nstrange = {value}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "strange_rules", raising=False)
        invalidate_caches()
        return tmp_path

    return installed


def test_the_example_raises_and_clears_like_a_rule_of_our_own(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(example)
    tables: dict[str, dict[str, Any]] = {"unattended": {"for_s": 20, "active": []}, "person": {"enabled": False}}
    pipeline = Pipeline("box-3", LogicSettings(), load_rules(tables, known_rules()))
    state, told = CameraState(camera_id="box-3"), []
    groom = Seen((60, 60, 160, 420), "person", 0.7)
    for index in range(200):
        boxes = [standing(), groom] if index > 130 else [standing()]
        state, _, alerts = pipeline.step(state, result(index / 5, boxes, seq=index))
        told += [alert.message for alert in alerts]
    assert told == [
        "box-3: nobody has been at the box for 20 seconds",
        "box-3: somebody is at the box again, after 26 seconds",
    ]


def test_a_scenario_can_be_scored_with_it(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(example)
    story = 'name = "short"\nlength_s = 30\nplace = { kind = "box" }\n[[horses]]\nid = "Luna"'
    rehearsal = Rehearsal(Settings(rules={"unattended": {"for_s": 20, "active": []}}), fps=1)
    told = rehearsal.play(Night(read_scenario(story, "short"), ())).told
    assert [one.rule for one in told] == ["unattended"]


def test_the_command_explains_it_with_the_settings_of_its_table(example: Path, tmp_path: Path) -> None:
    (tmp_path / "fbtasks.toml").write_text("[rules.unattended]\nfor_s = 7200\n")
    done = subprocess.run(
        [BIN / "fbtasks", "rules", "check"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(example)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (
        "every camera: you are told when nobody has been at the box for 120 minutes (warning), only at 07:00-19:00"
        in done.stdout
    )


def test_without_packages_there_are_our_own_rules_only() -> None:
    assert known_rules() == KNOWN


HEAD = "from typing import ClassVar\nfrom fbtasks.logic.rules.lying import Lying\n"


@pytest.mark.parametrize(
    ("code", "value", "complaint"),
    [
        ("", "strange_rules:Missing", "rule strange_rules:Missing of strange-rules cannot be loaded"),
        ("import no_such_module", "strange_rules:Rule", "cannot be loaded: No module named 'no_such_module'"),
        ("Rule = 3", "strange_rules:Rule", "is no rule: derive it from TrackRule or CameraRule"),
        (HEAD + "class Rule(Lying): pass", "strange_rules:Rule", "there is a rule 'lying' already"),
        (
            HEAD + "class Rule(Lying): name: ClassVar[str] = 'No Name'",
            "strange_rules:Rule",
            "its name must be lower-case",
        ),
        (
            "from fbtasks.logic.rules.base import CameraRule\nclass Rule(CameraRule): name = 'half'",
            "strange_rules:Rule",
            "is not finished: it lacks cleared_message, condition, evidence, judge, levels, raised_message",
        ),
    ],
)
def test_a_package_that_brings_no_proper_rule_is_named(install: Install, code: str, value: str, complaint: str) -> None:
    install(code, value)
    with pytest.raises(ConfigError) as refusal:
        known_rules()
    assert complaint in str(refusal.value)
    assert "strange-rules" in str(refusal.value)
