"""Fixtures that put real servers and real processes under the tests."""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import rtsp_server as rtsp
from tests.backend import Backend
from tests.clips import loop_clip
from tests.processes import Processes
from tests.servers import Valkey, immortal_keys

ROOT = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "FBTASKS_TEST_DATA"
DATA = Path(os.environ.get(DATA_VARIABLE, ROOT.parent / "shared" / "data"))
FAILED = pytest.StashKey[bool]()

# How long an example takes is the machine's affair; benchmarks measure, tests do not.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ValkeyFactory = Callable[..., Valkey]
LoopedClip = Callable[[str, float], Path]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know at their end whether the test failed."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set for daily use must not change a test."""
    for name in [name for name in os.environ if name.startswith("FBTASKS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the test models, clips and pictures, which are not part of this project."""
    if not DATA.is_dir():
        pytest.skip(f"the test data is not at {DATA}; set {DATA_VARIABLE} to its folder")
    return DATA


@pytest.fixture(scope="session")
def looped_clip(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> LoopedClip:
    """`looped_clip(name, seconds)`: the clip of that name (with or without `.mp4`), repeated to last so long."""
    folder = tmp_path_factory.mktemp("clips")

    def looped(name: str, seconds: float) -> Path:
        stem = name.removesuffix(".mp4")
        target = folder / f"{stem}-{seconds:g}.mp4"
        return target if target.exists() else loop_clip(shared_data / "clips" / f"{stem}.mp4", target, seconds)

    return looped


@pytest.fixture
def valkey_factory(tmp_path: Path) -> Iterator[ValkeyFactory]:
    """`valkey_factory(appendonly="yes")`: a started Valkey of its own, with those lines of configuration."""
    started: list[Valkey] = []

    def start(**options: str) -> Valkey:
        folder = tmp_path / f"valkey-{len(started)}"
        folder.mkdir()
        server = Valkey(folder, {name.replace("_", "-"): value for name, value in options.items()})
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def valkey(valkey_factory: ValkeyFactory) -> Valkey:
    """A private, empty Valkey."""
    return valkey_factory()


@pytest.fixture
def no_immortal_keys(valkey: Valkey) -> Iterator[None]:
    """Fails the test when it leaves a key in `valkey` that nothing bounds."""
    yield
    with valkey.client() as client:
        left = immortal_keys(client)
    assert not left, f"keys without a time to live or a length cap: {left}"


@pytest.fixture
def rtsp_server(tmp_path: Path) -> Iterator[rtsp.RtspServer]:
    """A real RTSP server without cameras."""
    if not rtsp.is_installed():
        pytest.skip(rtsp.MISSING)
    server = rtsp.RtspServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def backend() -> Iterator[Backend]:
    """The alerts' backend."""
    server = Backend()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def processes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processes]:
    """Starts our commands; at the end all of them are gone, and a failed test shows what they printed."""
    started = Processes(tmp_path)
    yield started
    started.end_all()
    if request.node.stash.get(FAILED, False):
        print(started.tails())
