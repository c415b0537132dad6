"""What a service tells systemd, over a real socket, and the units that are shipped."""

import configparser
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fbtasks import systemd
from fbtasks.systemd import READY, WATCHDOG, notify, status

UNITS = sorted((Path(__file__).resolve().parents[2] / "ops" / "systemd").glob("*.service"))
INSTALLED = "/opt/fbtasks/bin/"
DAEMONS = {"fbtasks-produce", "fbtasks-infer", "fbtasks-watch", "fbtasks-up"}


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The other end of the socket, as systemd has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_lines_are_told_in_one_message(listening: socket.socket) -> None:
    notify(READY, status("reading 3 cameras\nand more"))
    assert listening.recv(1000) == b"READY=1\nSTATUS=reading 3 cameras"


def test_an_address_of_linux_own_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # Linux chooses one
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + listener.getsockname()[1:].decode())
        notify(WATCHDOG)
        assert listener.recv(100) == b"WATCHDOG=1"


def test_without_systemd_or_with_a_deaf_one_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(READY)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify(READY)


def test_a_flood_that_nobody_reads_does_not_block(listening: socket.socket) -> None:
    for _ in range(10_000):
        notify(WATCHDOG)
    assert listening.recv(100) == b"WATCHDOG=1"


def test_a_child_is_told_nothing_of_it() -> None:
    assert {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} == set(systemd.VARIABLES)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_run_our_commands_hardened_and_are_missed(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.read(unit)
    service = parser["Service"]
    command = service["ExecStart"].removeprefix(INSTALLED).split()[0]
    assert (Path(sys.executable).parent / command).exists()
    assert service["Restart"] == "always"
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["User"] == "fbtasks"
    if unit.stem in DAEMONS:
        assert service["Type"] == "notify"
        assert int(service["WatchdogSec"]) >= 30
    # Both hide devices.
    sees_devices = {"fbtasks-produce", "fbtasks-infer", "fbtasks-up"}
    assert ("PrivateDevices" in service or "ProtectClock" in service) == (unit.stem not in sees_devices)


def test_every_daemon_has_a_unit() -> None:
    assert {unit.stem for unit in UNITS} == DAEMONS | {"fbtasks-worker", "fbtasks-beat"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    target = UNITS[0].with_name("fbtasks.target")
    for unit in (*UNITS, target):
        text = unit.read_text().replace(INSTALLED, f"{Path(sys.executable).parent}/")
        (tmp_path / unit.name).write_text(text)
    told = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
