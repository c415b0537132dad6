"""`fbtasks infer`."""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Literal, cast

import click

from fbtasks import timeslice
from fbtasks.cli import with_settings
from fbtasks.errors import ConfigError, EngineError
from fbtasks.gpu.catalogue import FOLDER, Catalogue
from fbtasks.health import PREPARING, HealthBoard, Report, report_of
from fbtasks.keys import TASKS_CAP, Keys
from fbtasks.lifecycle import leave, on_stop, settle
from fbtasks.mailbox import Mailboxes
from fbtasks.metrics import GpuMetrics, MetricsServer, ReportCollector, gpu_families, registry_of
from fbtasks.redaction import redact
from fbtasks.reporter import Reporter
from fbtasks.settings import Settings
from fbtasks.tracing import traces_of
from fbtasks.transport import REDIS_AWAY, DeadLetters, FrameQueue, connect

if TYPE_CHECKING:
    from fbtasks.gpu.engine import Engine, Provider
    from fbtasks.gpu.engines import Engines
    from fbtasks.gpu.worker import Progress

log = logging.getLogger(__name__)

EX_CONFIG = 78
"""Exit code of a worker that refuses its model or provider: starting it again changes nothing."""
EXIT_HUNG = 75
"""Exit code of a worker whose engine hangs (EX_TEMPFAIL): whatever supervises it starts another."""


def model_file(settings: Settings) -> Path:
    """The model to run, by its name in the list or by its path.

    Raises:
        ConfigError: none is set, or it is a name that is not in the list.
    """
    if settings.gpu.model is None:
        raise ConfigError("gpu.model is not set: name the ONNX export of a detector, such as YOLO11 (dynamic batch)")
    return Catalogue(settings.data_dir / FOLDER).find(settings.gpu.model)


def waker(settings: Settings) -> Callable[[list[str]], None]:
    """What sends one task for each camera that slept.

    What cannot be sent now is sent again when the camera's mark has expired. The newest `TASKS_CAP` tasks stay queued.
    """
    from kombu.exceptions import OperationalError

    from fbtasks.celery import PROCESS_CAMERA, WAKE_UP_EXPIRES_S, make_app, queue_key

    app = make_app(settings)
    # A broker that hangs must not hang this worker. Celery's workers wait for messages and may not have this limit.
    app.conf.broker_transport_options |= {"socket_timeout": settings.redis.timeout_s}
    broker, queue = connect(settings.state_url, settings.redis.timeout_s), queue_key(settings)

    def wake(cameras: list[str]) -> None:
        for camera_id in cameras:
            try:
                app.send_task(
                    PROCESS_CAMERA,
                    args=[camera_id],
                    expires=WAKE_UP_EXPIRES_S,
                    retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0},
                )
            except OperationalError as error:
                log.warning("camera %s: not woken, the broker is away (%s)", camera_id, error)
        with suppress(*REDIS_AWAY):
            broker.ltrim(queue, 0, TASKS_CAP - 1)

    return wake


def open_engines(settings: Settings) -> "Engines":
    """The engine for the full input, warm, and what opens more of the same provider.

    Raises:
        ConfigError: no model is set, or it is not in the list.
        EngineError: the model or the provider cannot be used here.
    """
    from fbtasks.cli.engine import engine_of
    from fbtasks.gpu.engines import Engines

    gpu, file = settings.gpu, model_file(settings)

    def opened(width: int, height: int, provider: "Provider | Literal['auto']") -> "Engine":
        engine = engine_of(settings, file, (width, height), provider=provider, max_batch=gpu.max_batch)
        engine.warm_up()
        return engine

    full = opened(gpu.input_width, gpu.input_height, gpu.provider)
    if gpu.input == "fixed":
        return Engines(full)
    provider = cast("Provider", full.provider)  # the same one, for `auto` might fall elsewhere now
    return Engines(full, lambda width, height: opened(width, height, provider))


def serve(settings: Settings, engines: "Engines") -> None:
    """Work until SIGTERM or SIGINT; ends the process with `EXIT_HUNG` when a run of the model hangs."""
    from fbtasks.cli.presence import Presence, batch_shown
    from fbtasks.gpu.worker import GpuWorker

    keys = Keys(settings.redis.prefix)
    state = connect(settings.state_url, settings.redis.timeout_s)
    board = HealthBoard(state, keys)
    registry, traces = registry_of("gpu"), traces_of(settings.trace, "infer")

    def end_hung() -> None:
        """The report stays on the board: it tells what happened, and the next process writes one of its own."""
        try:
            board.write(report())
        finally:
            leave(EXIT_HUNG)  # whatever the board said: nothing else ends this process

    worker = GpuWorker(
        engines,
        FrameQueue(connect(settings.frames_url, settings.redis.timeout_s), keys, settings.frames.max_length),
        Mailboxes(state, keys, length=settings.logic.mailbox_length),
        DeadLetters(state, keys),
        max_wait_ms=settings.gpu.max_wait_ms,
        max_age_s=settings.frames.max_age_s,
        min_confidence=settings.gpu.min_confidence,
        wake=waker(settings),
        hang_s=settings.gpu.hang_s,
        on_hang=end_hung,
        metrics=GpuMetrics(registry),
        traces=traces,
    )

    def report() -> Report:
        done = worker.progress
        return report_of(
            "gpu",
            now=time(),
            progress_at=done.batch_at,
            facts=_facts(engines, done),
            counters=dict(done.counters),
        )

    registry.register(ReportCollector(report, gpu_families))
    full = engines.full
    size = f"batches of up to {full.max_batch}" if full.at_once == 1 else f"{full.at_once} frames at once"
    log.info("ready: %s on %s, %s", full.model.model_id, full.provider, size)
    metrics = MetricsServer(settings.prometheus, "gpu", registry)
    with on_stop(worker.stop), Reporter(board, report), metrics, Presence("infer", report, batch_shown):
        settle()
        worker.run()
    if traces is not None:
        traces.close()
    log.info("stopped after %d batches", worker.progress.counters["batches"])
    if engines.is_opening:
        leave(0)


def _facts(engines: "Engines", done: "Progress") -> dict[str, str | float]:
    """Of the health report; what is not as it should be shows only while it is so."""
    facts: dict[str, str | float] = {
        "provider": engines.full.provider,
        "model": engines.full.model.model_id,
        "inputs": ",".join(f"{width}x{height}" for width, height in engines.sizes),
        "batch": done.batch_size,
        "run_ms": round(done.run_ms, 1),
    }
    if done.batch_limit < engines.full.max_batch:
        facts["batch_limit"] = done.batch_limit
    if done.hung is not None:
        facts["hung"] = done.hung
    return facts


@click.command(name="infer")
@with_settings("infer")
def command(settings: Settings) -> None:
    """Take frames from Redis in batches, run the model, push raw boxes to each camera's mailbox."""
    timeslice.ask(timeslice.RUN_S)  # before there are other threads, which inherit it
    board = HealthBoard(connect(settings.state_url, settings.redis.timeout_s), Keys(settings.redis.prefix))
    try:
        with Reporter(board, _preparing, is_ready=False):
            engines = open_engines(settings)
    except EngineError as error:
        click.echo(f"fbtasks: {redact(str(error))}", err=True)
        sys.exit(EX_CONFIG)
    serve(settings, engines)


def _preparing() -> Report:
    """Of a worker that opens its model, which may take minutes."""
    return report_of("gpu", now=time(), progress_at=None, facts={"state": PREPARING})
