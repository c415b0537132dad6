"""The metrics of the Celery worker and of beat; `fbtasks.logic.tasks` imports this, and Celery's signals do the rest.

The processes of a worker that run its tasks keep their figures in files, which the main process adds up when it is
asked (the multiprocess mode of prometheus_client). A file belongs to a *place* in the pool, not to a process: whoever
follows a process that died goes on counting where that one was. So no counter falls back, and there are never more
files than places, however often processes are replaced.
"""

import os
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from time import monotonic, time
from typing import Any

from billiard import current_process
from celery.signals import (
    after_task_publish,
    beat_init,
    celeryd_after_setup,
    task_postrun,
    task_prerun,
    worker_process_init,
)
from prometheus_client import values
from prometheus_client.multiprocess import MultiProcessCollector

from fbtasks.alert import Alert
from fbtasks.celery import settings
from fbtasks.logic.delivery import Outcome
from fbtasks.logic.pipeline import Decision
from fbtasks.logic.queues import queues
from fbtasks.logic.runtime import Runtime
from fbtasks.logic.turn import Done
from fbtasks.metrics import BeatMetrics, LogicMetrics, MetricsServer, port_of, registry_of
from fbtasks.tracing import Traces, traces_of

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MAIN = "main"
_servers: list[MetricsServer] = []
_began: dict[str, float] = {}


@cache
def metrics() -> LogicMetrics:
    """This process's metrics; first called by a task, when the worker has begun to serve."""
    return LogicMetrics()


@cache
def traces() -> Traces | None:
    """This process's traces; first asked for by a task, when the worker has forked."""
    return traces_of(settings.trace, "logic")


class Steps:
    """Times the steps of one turn: each begins where the one before ended."""

    def __init__(self, camera_id: str) -> None:
        self._camera_id = camera_id
        self._taken_at = time()

    def decided(self, decisions: Sequence[Decision], alerts: Sequence[Alert]) -> None:
        """One step is committed."""
        now = time()
        pictures = [(decision.captured_at, decision.inferred_at) for decision in decisions]
        metrics().decided(self._camera_id, pictures, taken_at=self._taken_at, decided_at=now)
        if (told := traces()) is not None:
            for decision in decisions:
                told.stage(decision, "logic_wait", decision.inferred_at, self._taken_at)
                told.stage(decision, "logic", self._taken_at, now)
                told.frame(decision, now)
        self._taken_at = now
        note_alerts(alerts)


def note_alerts(alerts: Sequence[Alert]) -> None:
    """Note alerts as they enter the outbox, which each does once."""
    for alert in alerts:
        metrics().alert(alert.rule, alert.severity, alert.event)


def note(done: Done) -> None:
    """Note what a turn did not decide on."""
    metrics().dropped("late", done.late)
    metrics().dropped("refused", done.refused)


def note_delivery(sink: str, outcome: Outcome, seconds: float) -> None:
    """Note one run over an episode's deliveries to a sink, which took so long."""
    failed = int(outcome.retry_at is not None)
    metrics().delivery(sink, seconds, delivered=outcome.delivered, failed=failed, dead=outcome.dead)


def observe_queues(shared: Runtime, now: float) -> None:
    """Note what waits where at `now` (unix seconds)."""
    for queue in queues(shared.settings, shared.redis, shared.frames_redis, shared.store, now=now):
        metrics().waits(queue.name, queue.length, queue.oldest_s)
    for kind, count in shared.dead.counts().items():
        metrics().dead_letters(kind, count)


@celeryd_after_setup.connect
def _serve_worker(**_: object) -> None:
    """When the worker can log, and before it forks."""
    registry = registry_of("logic")
    server = _serve(MetricsServer(settings.prometheus, "logic", registry))
    if not server.is_serving:
        return
    folder = settings.data_dir / "metrics" / f"worker-{port_of(settings.prometheus, 'logic')}"
    # Only now that the port is ours: the files of another worker, which has it, are not to be touched.
    _empty(folder)
    os.environ[FOLDER_VARIABLE] = str(folder)
    # The library chose when it was imported, and Flower's plug-in for Celery's command line imports it before us.
    values.ValueClass = values.MultiProcessValue(_place)
    registry.register(MultiProcessCollector(None, str(folder)))


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _place() -> str:
    """Of this process in its pool."""
    return str(getattr(current_process(), "index", MAIN))


@worker_process_init.connect
def _leave_port_to_main(**_: object) -> None:
    for server in _servers:
        server.forget()


@beat_init.connect
def _serve_beat(**_: object) -> None:
    registry = registry_of("beat")
    beat = BeatMetrics(registry)
    after_task_publish.connect(lambda sender, **_: beat.sent(sender, time()), weak=False)
    _serve(MetricsServer(settings.prometheus, "beat", registry))


def _serve(server: MetricsServer) -> MetricsServer:
    server.start()
    _servers.append(server)
    return server


@task_prerun.connect
def _task_begins(task_id: str, **_: object) -> None:
    _began[task_id] = monotonic()


@task_postrun.connect
def _task_ends(task_id: str, task: Any, state: str | None = None, **_: object) -> None:
    began = _began.pop(task_id, None)
    if began is not None:
        metrics().task(task.name, monotonic() - began, failed=state != "SUCCESS")
