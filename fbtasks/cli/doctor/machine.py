"""The machine, and the versions of what is installed on it."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from fbtasks import __version__
from fbtasks.cli.doctor.diagnosis import Diagnosis
from fbtasks.health import Level

LITTLE_DISK_MB, NO_DISK_MB = 2000, 200
LITTLE_MEMORY_MB = 500
BUSY = 1.5
"""Load per core from which on every deadline is at risk."""
NVIDIA_S = 10.0


def machine(data_dir: Path) -> Iterator[Diagnosis]:
    """Cores, load, memory and the disk of the data folder."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    if load > BUSY * cores:
        yield Diagnosis("warning", "machine", f"{system}, {cores} cores, load {load:.1f}", "see what else works here")
    else:
        yield Diagnosis("ok", "machine", f"{system}, {cores} cores, load {load:.1f}")
    yield from _memory()
    yield _disk(data_dir)


def processes(count: int) -> Iterator[Diagnosis]:
    """Whether `fbtasks up` gives the Celery worker enough processes."""
    if count == 1:
        text = "up.concurrency is 1: while a place that alerts go to hangs, nothing is decided for up to 5 s"
        yield Diagnosis("warning", "worker", text, "set up.concurrency to 2, which is the default")


def _memory() -> Iterator[Diagnosis]:
    file = Path("/proc/meminfo")
    if not file.exists():
        return
    lines = (line.split() for line in file.read_text().splitlines())
    told = {words[0].rstrip(":"): int(words[1]) // 1024 for words in lines if len(words) > 1}
    free = told.get("MemAvailable", 0)
    text = f"{free} of {told.get('MemTotal', 0)} MB free"
    if free < LITTLE_MEMORY_MB:
        yield Diagnosis("warning", "memory", text, "give the machine more, or let it do less")
    else:
        yield Diagnosis("ok", "memory", text)


def _disk(data_dir: Path) -> Diagnosis:
    there = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free // 1_000_000
    text = f"{free} MB free for {data_dir}"
    if not os.access(there, os.W_OK):
        return Diagnosis("critical", "disk", f"{there} cannot be written", "change its owner, or set another data_dir")
    level: Level = "critical" if free < NO_DISK_MB else "warning" if free < LITTLE_DISK_MB else "ok"
    return Diagnosis(level, "disk", text, "" if level == "ok" else "make room, or set data_dir to a larger disk")


def versions() -> Iterator[Diagnosis]:
    """What is installed, against what this build was made for."""
    wrong = list(_wrong())
    for name, text in wrong:
        yield Diagnosis("critical", "versions", text, f"pip install --upgrade '{name}'")
    if not wrong:
        told = ", ".join(
            f"{name} {version(name)}" for name in ("celery", "redis", "onnxruntime-gpu", "numpy") if _has(name)
        )
        yield Diagnosis("ok", "versions", f"fbtasks {__version__}, {told}")


def _wrong() -> Iterator[tuple[str, str]]:
    """What is required without any extra, and is missing or of another version."""
    for line in requires("fbtasks") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        plain = f"{wanted.name}{wanted.specifier}"
        if not _has(wanted.name):
            yield plain, f"{wanted.name} is not installed"
        elif not wanted.specifier.contains(version(wanted.name), prereleases=True):
            yield plain, f"{wanted.name} is {version(wanted.name)}, but must be {wanted.specifier}"


def _has(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def nvidia() -> list[str]:
    """Name, driver and memory of each NVIDIA GPU, none where there is no driver or no GPU."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name,driver_version,memory.total,memory.free", "--format=csv,noheader"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return asked.stdout.strip().splitlines() if asked.returncode == 0 else []
