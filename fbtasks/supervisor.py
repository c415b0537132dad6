"""Several commands as one: started in order, restarted when they die, stopped in order.

Every child gets a session of its own, so that a Ctrl-C in the terminal reaches only the supervisor, which then stops
the children one after the other. Children of a supervisor that is killed outright are told by the kernel (Linux).
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from fbtasks.errors import FbtasksError
from fbtasks.systemd import WATCHDOG, notify

log = logging.getLogger(__name__)

POLL_S = 0.1
RESTART_MIN_S = 0.5
RESTART_MAX_S = 30.0
HEALTHY_S = 60.0
"""After a child that ran for so long the pause before its restart begins again at the shortest."""
MOST_REFUSALS = 3
"""More than one, for a driver may be still loading when the machine has just started."""
_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec, where it is used, nothing may be loaded.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ChildFailed(FbtasksError):
    """A child did not become ready, or ended before it was."""


class ChildRefused(ChildFailed):
    """A child refuses to work as it is set."""


@dataclass(frozen=True)
class Child:
    """One command to keep running.

    Attributes:
        name: in logs.
        argv: the command line.
        ready: asked until it is true before the next child starts.
        stop_s: how long it may take to end after SIGTERM, seconds; then it is killed.
        refusals: exit codes that say that it will not work as it is set, however often it is started.
    """

    name: str
    argv: Sequence[str]
    ready: Callable[[], bool] | None = None
    ready_s: float = 30.0
    stop_s: float = 10.0
    refusals: frozenset[int] = frozenset()


@dataclass
class _Running:
    child: Child
    process: "subprocess.Popen[bytes]"
    started_at: float
    restarts: int = 0
    restart_at: float | None = None
    refusals: int = 0
    has_worked: bool = False


class Supervisor:
    """Keeps `children` running from `start` to `stop`.

    Args:
        children: in the order of starting.
        stop_order: names in the order of stopping; first the source of the work, last what all depend on. A child that
            is not named ends after them.
        env: environment of every child.
    """

    def __init__(self, children: Sequence[Child], *, stop_order: Sequence[str], env: Mapping[str, str]) -> None:
        self._children = children
        self._stop_order = stop_order
        self._env = dict(env)
        self._running: dict[str, _Running] = {}

    def start(self, stop: threading.Event) -> None:
        """Start all children, each when the one before is ready; returns early when `stop` is set.

        Raises:
            ChildFailed: one ended or did not become ready in time.
        """
        for child in self._children:
            if stop.is_set():
                return
            self._running[child.name] = _Running(child, self._launch(child), monotonic())
            if child.ready is not None:
                self._await_ready(child, child.ready, stop)

    def watch(self, stop: threading.Event) -> None:
        """Restart what dies until `stop` is set.

        Raises:
            ChildRefused: one that has never worked refused `MOST_REFUSALS` times to. What has worked once is started
                again for ever: its driver or its device may come back.
        """
        while not stop.wait(POLL_S):
            notify(WATCHDOG)
            for running in self._running.values():
                self._revive(running)

    def stop(self) -> None:
        """End all children in order; safe to call at any point after the constructor.

        What interrupts it, a second Ctrl-C for one, ends those that are left at once.
        """
        try:
            for name in [*self._stop_order, *self._running]:
                if name in self._running:
                    _end(self._running[name])
                    del self._running[name]
        finally:
            for running in self._running.values():
                _kill(running.process)

    def _launch(self, child: Child) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            child.argv,
            env=self._env,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent if _libc is not None else None,  # noqa: PLW1509 - one system call, see _libc
        )

    def _await_ready(self, child: Child, ready: Callable[[], bool], stop: threading.Event) -> None:
        deadline = monotonic() + child.ready_s
        while not ready():
            code = self._running[child.name].process.poll()
            if code is not None:
                raise ChildFailed(f"{child.name} ended with exit code {code}; its last lines above say why")
            if monotonic() > deadline:
                raise ChildFailed(f"{child.name} was not ready within {child.ready_s:.0f} s")
            if stop.wait(POLL_S):
                return

    def _revive(self, running: _Running) -> None:
        code = running.process.poll()
        if code is None:
            return
        now = monotonic()
        if running.restart_at is None:
            _kill(running.process)  # what it has left behind would work beside its successor
            self._count_refusals(running, code, ran_s=now - running.started_at)
            running.restarts = 0 if now - running.started_at > HEALTHY_S else running.restarts
            pause_s = min(RESTART_MIN_S * 2.0 ** min(running.restarts, 30), RESTART_MAX_S)
            running.restart_at = now + pause_s
            log.error("%s ended with exit code %d; starting again in %.1f s", running.child.name, code, pause_s)
        elif now >= running.restart_at:
            running.process = self._launch(running.child)
            running.started_at, running.restart_at = now, None
            running.restarts += 1

    def _count_refusals(self, running: _Running, code: int, *, ran_s: float) -> None:
        child = running.child
        running.has_worked |= ran_s > HEALTHY_S
        running.refusals = running.refusals + 1 if code in child.refusals else 0
        if running.refusals >= MOST_REFUSALS and not running.has_worked:
            raise ChildRefused(
                f"{child.name} refused to start {MOST_REFUSALS} times; its last lines above say why. "
                "Put that right and start again"
            )


def _end(running: _Running) -> None:
    """SIGTERM to the child, then SIGKILL to whatever of its process group is left."""
    process, child = running.process, running.child
    process.terminate()
    try:
        process.wait(child.stop_s)
    except subprocess.TimeoutExpired:
        log.error("%s did not stop within %.0f s and is killed", child.name, child.stop_s)  # noqa: TRY400 - no fault of ours
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL to the whole process group of a child, which outlives its leader as long as it has members."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _die_with_parent() -> None:
    """Runs in the child between fork and exec."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
