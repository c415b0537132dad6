"""Our own commands as subprocesses."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

BIN = Path(sys.executable).parent
TAG = "TEST_PROCESS_TAG"
"""Environment variable by which every descendant of a started process is known, whatever session it moved to."""
TAIL_LINES = 60


class Process:
    """One command, in a session of its own, its output in a file."""

    def __init__(self, name: str, argv: list[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._tag = uuid.uuid4().hex
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                env={**env, TAG: self._tag},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=folder,
            )

    @property
    def pid(self) -> int:
        """Process id of the command itself."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def output(self) -> str:
        """Standard output and standard error so far."""
        return self._log.read_text(errors="replace")

    def tail(self) -> str:
        """The last lines of the output, for a message."""
        return "\n".join(
            [f"--- {self.name}, exit code {self.exit_code} ---", *self.output().splitlines()[-TAIL_LINES:]]
        )

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; returns the exit code.

        Raises:
            AssertionError: it still ran after `timeout_s` seconds.
        """
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still ran after {timeout_s:g} s\n{self.tail()}") from None

    def terminate(self, timeout_s: float = 5.0) -> int:
        """SIGTERM to the command itself, as a supervisor sends it; returns the exit code."""
        self._process.terminate()
        return self.wait(timeout_s)

    def interrupt(self, timeout_s: float = 10.0) -> int:
        """Ctrl-C: SIGINT to its whole process group, as a terminal sends it; returns the exit code."""
        os.killpg(self.pid, signal.SIGINT)
        return self.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL to the command itself; its children live on."""
        self._process.kill()
        self._process.wait()

    def survivors(self) -> dict[int, str]:
        """Process id and command line of every living process that descends from the command (Linux; else none)."""
        return {pid: line for pid in _tagged(self._tag) if (line := _command_line(pid))}

    def end(self) -> None:
        """SIGKILL to the command and all that descends from it."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        for pid in self.survivors():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Processes:
    """Starts commands and ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Process] = []

    def start(self, *argv: str, env: Mapping[str, str] | None = None, name: str | None = None) -> Process:
        """Start a command of this virtual environment, `start("fbtasks", "infer", env={...})`.

        It runs in the test's own folder with this process's environment, less all `FBTASKS_…`, plus `env`. What it
        prints can be read at once.
        """
        clean = {key: value for key, value in os.environ.items() if not key.startswith("FBTASKS_")}
        clean["PYTHONUNBUFFERED"] = "1"
        own_name = f"{len(self._started)}-{name or '-'.join(argv[:2])}"
        process = Process(own_name, [str(BIN / argv[0]), *argv[1:]], {**clean, **(env or {})}, self._folder)
        self._started.append(process)
        return process

    def end_all(self) -> None:
        """End what still runs, the last started first."""
        for process in reversed(self._started):
            process.end()

    def tails(self) -> str:
        """The end of every process's output."""
        return "\n".join(process.tail() for process in self._started)


def _tagged(tag: str) -> list[int]:
    wanted = f"{TAG}={tag}".encode()
    return [
        int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if wanted in _read(path).split(b"\0")
    ]


def _command_line(pid: int) -> str:
    """Empty for a zombie or a process that is gone."""
    return _read(Path(f"/proc/{pid}/cmdline")).replace(b"\0", b" ").decode(errors="replace").strip()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
