"""Our own processes beside the Celery workers in Flower, by Celery's own events.

A process appears as a worker, `infer@host` or `produce@host`, and what it does as tasks: of all batches at most one a
second, for Flower keeps every task that it is told of. Nothing of this is stored: Redis hands events on to who listens
at that moment, so without Flower they cost one `PUBLISH` each.
"""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from fbtasks import __version__
from fbtasks.health import Report

log = logging.getLogger(__name__)

EVERY_S = 1.0
HEARTBEAT_EVERY_S = 2
ABOUT = {"sw_ident": "fbtasks", "sw_ver": __version__, "sw_sys": "Linux" if os.name == "posix" else os.name}
STOP_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """What a process did, as a task: what it is called, what it was given, what came of it and how long it took."""

    name: str
    args: str
    result: str
    runtime_s: float


def batch_shown(before: Report | None, now: Report) -> Shown | None:
    """A GPU worker's last batch, when there is a new one since the report before."""
    batches = _more("batches", before, now)
    if not batches:
        return None
    facts = now.facts
    return Shown(
        "gpu.batch",
        f"({facts['batch']:.0f} frames on {facts['provider']},)",
        f"{batches} batches, {_more('results', before, now)} results since the one shown before",
        float(facts["run_ms"]) / 1000,
    )


def push_shown(before: Report | None, now: Report) -> Shown | None:
    """The frames that a producer sent since the report before."""
    sent = _more("frames_sent", before, now)
    if not sent:
        return None
    running = sum(camera.state == "running" for camera in now.cameras.values())
    return Shown("producer.push", f"({sent} frames,)", f"{running} of {len(now.cameras)} cameras running", 0.0)


def _more(counter: str, before: Report | None, now: Report) -> int:
    return now.counters.get(counter, 0) - (before.counters.get(counter, 0) if before else 0)


class Presence:
    """Shows this process in Flower while the `with` block runs. A broker that is away is waited for.

    Args:
        name: stands before the host's name.
        report: what the process has done.
        shown: makes a task of two reports that follow one another.
    """

    def __init__(
        self,
        name: str,
        report: Callable[[], Report],
        shown: Callable[[Report | None, Report], Shown | None],
    ) -> None:
        self._hostname = f"{name}@{socket.gethostname()}"
        self._report = report
        self._shown = shown
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._before: Report | None = None
        self._processed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        # Imported here, in a thread: a role starts no later for being shown.
        from fbtasks.celery import app

        while not self._stop.is_set():
            with app.connection_for_write(connect_timeout=EVERY_S) as connection:
                try:
                    self._tell(app, connection)
                except (*connection.connection_errors, *connection.channel_errors) as error:
                    log.debug("not shown in Flower: the broker is away (%s)", error)
            self._stop.wait(EVERY_S)

    def _tell(self, app: Any, connection: Any) -> None:
        with app.events.Dispatcher(connection, hostname=self._hostname, buffer_while_offline=False) as events:
            self._send(events, "worker-online")
            ticks = 0
            while not self._stop.wait(EVERY_S):
                ticks += 1
                if ticks % HEARTBEAT_EVERY_S == 0:
                    self._send(events, "worker-heartbeat")
                self._show(events)
            with suppress(*connection.connection_errors):
                self._send(events, "worker-offline")

    def _send(self, events: Any, kind: str) -> None:
        load = [round(figure, 2) for figure in os.getloadavg()]
        events.send(kind, freq=HEARTBEAT_EVERY_S, active=0, processed=self._processed, loadavg=load, **ABOUT)

    def _show(self, events: Any) -> None:
        now = self._report()
        shown = self._shown(self._before, now)
        self._before = now
        if shown is None:
            return
        self._processed += 1
        identifier = str(uuid.uuid4())
        events.send("task-received", uuid=identifier, name=shown.name, args=shown.args, kwargs="{}", retries=0)
        events.send("task-started", uuid=identifier)
        events.send("task-succeeded", uuid=identifier, result=shown.result, runtime=shown.runtime_s)
