"""`fbtasks model` as a technician meets it: what it tells, what it keeps, what it refuses and why."""

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from fbtasks.cli.model import add, fetch_model
from fbtasks.errors import CatalogueError, ConfigError, ExportFailed, ModelUnsupported
from fbtasks.gpu.exporter import export
from fbtasks.settings import ModelSource, Settings, load_settings
from tests import tiny_detector
from tests.conftest import ROOT
from tests.model_server import ModelServer
from tests.processes import Process, Processes
from tests.servers import Valkey
from tests.waiting import wait_until

TIMEOUT_S = 60.0
SECRET = "s3cret-pa55"
SIZE = {"FBTASKS_GPU__INPUT_WIDTH": "96", "FBTASKS_GPU__INPUT_HEIGHT": "64"}

YOLO = f"""\
#!{sys.executable}
import os, shutil, sys

sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests import tiny_detector

print("export with", *sys.argv[1:])
print("secrets:", [name for name in os.environ if name.startswith("FBTASKS_")])
told = dict(argument.split("=", 1) for argument in sys.argv[2:])
weights = Path(told["model"])
if weights.read_text() != "good weights":
    sys.exit("these weights cannot be read")
made = tiny_detector.saved(weights.parent, tiny_detector.build(batch="batch" if told["dynamic"] == "True" else 1))
made.rename(weights.with_suffix(".onnx"))
"""


class Command:
    """Runs `fbtasks model` over one data folder."""

    def __init__(self, processes: Processes, data: Path) -> None:
        self.processes = processes
        self.added = data / "models-added"
        self.env = {"FBTASKS_DATA_DIR": str(data), **SIZE}

    def run(self, *argv: str, **env: str) -> Process:
        process = self.processes.start("fbtasks", "model", *argv, env=self.env | env)
        process.wait(TIMEOUT_S)
        assert "Traceback" not in process.output(), process.output()
        assert SECRET not in process.output()
        return process

    def left_over(self) -> list[str]:
        """What lies in the list's folder and is no model."""
        return [path.name for path in self.added.glob("*") if path.suffix != ".onnx"]


@pytest.fixture
def model(processes: Processes, tmp_path: Path) -> Command:
    return Command(processes, tmp_path / "data")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    running = ModelServer(tiny_detector.build().SerializeToString())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def settings(model: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What a command of `model` would read, for tests that do without its process."""
    monkeypatch.chdir(tmp_path)
    for name, value in model.env.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def pinned(server: ModelServer) -> str:
    return hashlib.sha256(server.content).hexdigest()


def test_inspect_tells_what_a_model_is(model: Command, tmp_path: Path) -> None:
    told = model.run("inspect", str(tiny_detector.saved(tmp_path)))
    assert told.exit_code == 0
    lines = dict(line.split(":", 1) for line in told.output().splitlines())
    assert {fact: value.strip() for fact, value in lines.items()} == {
        "inputs": "images float [?, 3, ?, ?]",
        "outputs": "output0 float [?, 7, ?]",
        "head": "YOLOv8 and YOLO11 detection, one output [batch, 4 + classes, anchors]",
        "classes": "3, used are horse (animal), person (person)",
        "batch": "any",
        "input size": "any",
        "licence": "Apache-2.0",
        "made by": "not told, opset 17",
    }


def test_inspect_tells_what_it_can_and_why_a_model_cannot_be_used(model: Command, tmp_path: Path) -> None:
    told = model.run("inspect", str(tiny_detector.saved(tmp_path, tiny_detector.build(batch=1))))
    assert told.exit_code == 1
    assert "images float [1, 3, ?, ?]" in told.output()
    assert "tiny.onnx cannot be used: the model only takes batches of exactly 1; export it with" in told.output()


def test_a_model_is_added_listed_and_used_by_its_name(model: Command, valkey: Valkey, tmp_path: Path) -> None:
    added = model.run("add", str(tiny_detector.saved(tmp_path)), "--name", "mare", FBTASKS_GPU__MAX_BATCH="5")
    assert added.exit_code == 0
    assert "Runs at batches of 1, 2, 5." in added.output()
    assert '[gpu]\n    model = "mare"' in added.output()
    assert model.left_over() == []

    listed = model.run("list")
    assert listed.exit_code == 0
    assert listed.output().splitlines()[1].split() == ["mare", "3", "0.1", "Apache-2.0", str(model.added / "mare.onnx")]

    env = {"FBTASKS_REDIS_URL": valkey.url, "FBTASKS_GPU__MODEL": "mare", "FBTASKS_GPU__PROVIDER": "cpu"}
    worker = model.processes.start("fbtasks", "infer", env=model.env | env)
    wait_until(lambda: "ready: mare-" in worker.output(), TIMEOUT_S, "the worker to be ready")
    assert worker.terminate() == 0
    wrong = model.processes.start("fbtasks", "infer", env=model.env | {"FBTASKS_GPU__MODEL": "marre"})
    assert wrong.wait(TIMEOUT_S) == 2
    assert "no model 'marre' in the list (did you mean 'mare'?)" in wrong.output()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (tiny_detector.build(batch=1), r"only takes batches of exactly 1; export it .* \(dynamic=True\)"),
        (tiny_detector.build(rows=9), "no known detection head; understood: YOLOv8"),
        (tiny_detector.build(names=None), "carries no class names"),
        (onnx.ModelProto(producer_name="hay, straw, oats"), r"mare\.onnx is not an ONNX model"),
    ],
)
def test_a_model_that_cannot_be_used_is_not_added(
    model: Command, settings: Settings, tmp_path: Path, made: onnx.ModelProto, reason: str
) -> None:
    (tmp_path / "made.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(ModelUnsupported, match=f"mare is not added: .*{reason}"):
        add(settings, tmp_path / "made.onnx", "mare", replace=False)
    assert list(model.added.iterdir()) == []


def test_a_model_that_knows_no_horse_is_added_with_a_warning(
    model: Command, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tiny_detector.build(names="{0: 'horse_standing', 1: 'horse_lying', 2: 'person'}")
    add(settings, tiny_detector.saved(tmp_path, made), "mare", replace=False)
    warned = capsys.readouterr().err
    assert "Mind: no class is one of logic.animal_classes (horse)" in warned
    assert "horse_standing, horse_lying, person" in warned
    assert (model.added / "mare.onnx").is_file()


def test_the_list_shows_a_damaged_model_and_an_empty_list(model: Command) -> None:
    empty = model.run("list")
    assert (empty.exit_code, "The list is empty" in empty.output()) == (0, True)
    model.added.mkdir(parents=True)
    (model.added / "mare.onnx").write_bytes(b"\0" * 100)
    assert model.run("list").output().splitlines()[1].split()[:2] == ["mare", "damaged"]


def test_a_fetch_that_broke_off_goes_on_and_ends_in_the_list(
    model: Command, server: ModelServer, tmp_path: Path
) -> None:
    (tmp_path / "fbtasks.toml").write_text(
        f'[models.mare]\nurl = "http://groom:{SECRET}@{server.address}/m"\nsha256 = "{pinned(server)}"\n'
    )
    server.breaks, server.break_after = 5, 1000
    broken = model.run("fetch", "mare")
    assert broken.exit_code == 1
    assert "broke off after 5000 bytes" in broken.output()
    assert model.left_over() == [f".mare-{pinned(server)[:16]}.part"]

    server.breaks = 0
    fetched = model.run("fetch", "mare")
    assert fetched.exit_code == 0, fetched.output()
    assert server.ranges[-1] == "bytes=5000-"
    assert "Runs at batches of 1, 2, 8." in fetched.output()
    assert (model.added / "mare.onnx").read_bytes() == server.content
    assert model.left_over() == []

    asked = len(server.requests)
    again = model.run("fetch", "mare")
    assert again.exit_code == 0
    assert 'model = "mare"' in again.output()
    assert len(server.requests) == asked, "what is there already was asked for again"


def test_a_fetch_of_another_file_is_refused(model: Command, server: ModelServer) -> None:
    refused = model.run("fetch", "mare", "--url", server.url, "--sha256", "0" * 64)
    assert refused.exit_code == 1
    assert "not the pinned file and was thrown away" in refused.output()
    assert list(model.added.iterdir()) == []


def test_a_fetched_model_that_cannot_be_used_is_thrown_away(
    model: Command, settings: Settings, server: ModelServer
) -> None:
    server.content = tiny_detector.build(batch=1).SerializeToString()
    with pytest.raises(ModelUnsupported, match="mare is not added: the model only takes batches of exactly 1"):
        fetch_model(settings, "mare", server.url, pinned(server), replace=False)
    assert list(model.added.iterdir()) == []


def test_a_fetch_takes_no_other_models_place_unless_told(
    model: Command, settings: Settings, server: ModelServer, tmp_path: Path
) -> None:
    add(settings, tiny_detector.saved(tmp_path, tiny_detector.build(opset=18)), "mare", replace=False)
    with pytest.raises(CatalogueError, match="another model 'mare' in the list"):
        fetch_model(settings, "mare", server.url, pinned(server), replace=False)
    assert server.requests == [], "nothing needs to be downloaded to see that"
    fetch_model(settings, "mare", server.url, pinned(server), replace=True)
    assert (model.added / "mare.onnx").read_bytes() == server.content


def test_a_list_that_cannot_be_written_is_named(settings: Settings, server: ModelServer) -> None:
    settings.data_dir.write_text("a file in the way")
    with pytest.raises(CatalogueError, match=r"cannot fetch mare: .*data.*: "):
        fetch_model(settings, "mare", server.url, pinned(server), replace=False)


@pytest.mark.parametrize(
    ("models", "sha256", "said"),
    [
        ({}, None, r"models\.mare is not set: write its url and sha256 under \[models\.mare\]"),
        ({"marre": {"url": "http://h/m", "sha256": "a" * 64}}, None, r"\(did you mean 'marre'\?\)"),
        ({"mare": {"url": "http://h/m", "sha256": "a" * 64}}, "abc", "--sha256 must be the 64 hex digits"),
    ],
)
def test_a_fetch_without_a_pinned_source_is_refused(
    settings: Settings, models: dict[str, dict[str, str]], sha256: str | None, said: str
) -> None:
    known = {name: ModelSource.model_validate(source) for name, source in models.items()}
    with pytest.raises(ConfigError, match=said):
        fetch_model(settings.model_copy(update={"models": known}), "mare", None, sha256, replace=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('url = "http://h/m"\nsha256 = "abc"\n', "models.mare.sha256: String should match"),
        (f'ulr = "http://h/m"\nsha256 = "{"a" * 64}"\n', "models.mare.ulr: unknown setting (did you mean 'url'?)"),
    ],
)
def test_a_wrong_source_in_the_settings_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "site.toml").write_text(f"[models.mare]\n{text}")
    with pytest.raises(ConfigError) as refused:
        load_settings(tmp_path / "site.toml")
    assert said in str(refused.value)


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """A folder with a command that stands for Ultralytics'."""
    script = tmp_path / "bin" / "yolo"
    script.parent.mkdir()
    script.write_text(YOLO)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script.parent


def test_an_export_by_the_command_on_the_path_ends_in_the_list(model: Command, yolo: Path, tmp_path: Path) -> None:
    (tmp_path / "my mare=1.pt").write_text("good weights")
    done = model.run(
        "export", "my mare=1.pt", "--name", "mare", PATH=f"{yolo}{os.pathsep}{os.environ['PATH']}",
        FBTASKS_SINKS__BACKEND__TOKEN=SECRET, FBTASKS_SINKS__BACKEND__KIND="webhook",
        FBTASKS_SINKS__BACKEND__URL="http://127.0.0.1:9/",
    )  # fmt: skip
    assert done.exit_code == 0, done.output()
    assert "format=onnx dynamic=True opset=17" in done.output()
    assert "secrets: []" in done.output()
    assert 'model = "mare"' in done.output()
    assert (model.added / "mare.onnx").is_file()
    assert sorted(path.name for path in tmp_path.glob("my*")) == ["my mare=1.pt"], "nothing is written beside it"


def test_an_export_that_fails_is_told(model: Command, yolo: Path, tmp_path: Path) -> None:
    (tmp_path / "mare.pt").write_text("bad weights")
    failed = model.run("export", "mare.pt", PATH=f"{yolo}{os.pathsep}{os.environ['PATH']}")
    assert failed.exit_code == 1
    assert "these weights cannot be read" in failed.output()
    assert "Ultralytics made no ONNX file of mare.pt (exit code 1)" in failed.output()
    nameless = model.run("export", "my mare.pt", PATH=f"{yolo}{os.pathsep}{os.environ['PATH']}")
    assert nameless.exit_code == 1
    assert "'my mare' can be no model's name" in nameless.output()
    assert "export with" not in nameless.output()


def test_an_export_by_an_interpreter_of_the_users(model: Command, tmp_path: Path) -> None:
    (tmp_path / "mare.pt").write_text("good weights")
    package = tmp_path / "site" / "ultralytics"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cfg.py").write_text("def entrypoint():\n    exec(" + repr(YOLO) + ", {})\n")
    done = model.run("export", "mare.pt", "--python", sys.executable, PYTHONPATH=str(package.parent))
    assert done.exit_code == 0, done.output()
    assert (model.added / "mare.onnx").is_file()


@pytest.mark.parametrize(
    ("python", "said"),
    [
        (None, "there is no command 'yolo'"),
        ("/nowhere/python", "there is no command '/nowhere/python'"),
        (sys.executable, f"{sys.executable} has no Ultralytics"),
    ],
)
def test_without_ultralytics_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str | None, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportFailed) as refused:
        export(tmp_path / "mare.pt", tmp_path, python, private="FBTASKS_")
    assert said in str(refused.value)
    assert "pip install ultralytics onnx onnxslim" in str(refused.value)
