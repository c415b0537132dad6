"""`fbtasks infer`."""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time

import click

from fbtasks.cli import with_settings
from fbtasks.errors import ConfigError
from fbtasks.gpu.catalogue import FOLDER, Catalogue
from fbtasks.health import HealthBoard, Report, report_of
from fbtasks.keys import TASKS_CAP, Keys
from fbtasks.lifecycle import on_stop
from fbtasks.mailbox import Mailboxes
from fbtasks.reporter import Reporter
from fbtasks.settings import Settings
from fbtasks.transport import REDIS_AWAY, DeadLetters, FrameQueue, connect

log = logging.getLogger(__name__)


def model_file(settings: Settings) -> Path:
    """The model to run, by its name in the list or by its path.

    Raises:
        ConfigError: none is set, or it is a name that is not in the list.
    """
    if settings.gpu.model is None:
        raise ConfigError("gpu.model is not set: name the ONNX export of a YOLOv8 or YOLO11 detector (dynamic batch)")
    return Catalogue(settings.data_dir / FOLDER).find(settings.gpu.model)


def waker(settings: Settings) -> Callable[[list[str]], None]:
    """What sends one task for each camera that slept.

    What cannot be sent now is sent again when the camera's mark has expired. The newest `TASKS_CAP` tasks stay queued.
    """
    from kombu.exceptions import OperationalError

    from fbtasks.celery import PROCESS_CAMERA, WAKE_UP_EXPIRES_S, app, queue_key

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


@click.command(name="infer")
@with_settings("infer")
def command(settings: Settings) -> None:
    """Take frames from Redis in batches, run the model, push raw boxes to each camera's mailbox."""
    from fbtasks.gpu.engine import open_engine
    from fbtasks.gpu.model import prepare
    from fbtasks.gpu.worker import GpuWorker

    gpu = settings.gpu
    cache = settings.data_dir / "models"
    prepared = prepare(
        model_file(settings), cache, top_k=gpu.candidates, input_size=(gpu.input_width, gpu.input_height)
    )
    engine = open_engine(
        prepared,
        provider=gpu.provider,
        max_batch=gpu.max_batch,
        threads=gpu.threads,
        precision=gpu.precision,
        cache_dir=cache,
    )
    engine.warm_up()
    keys = Keys(settings.redis.prefix)
    state = connect(settings.state_url, settings.redis.timeout_s)
    worker = GpuWorker(
        engine,
        FrameQueue(connect(settings.frames_url, settings.redis.timeout_s), keys, settings.frames.max_length),
        Mailboxes(state, keys, length=settings.logic.mailbox_length),
        DeadLetters(state, keys),
        max_wait_ms=gpu.max_wait_ms,
        max_age_s=settings.frames.max_age_s,
        min_confidence=gpu.min_confidence,
        wake=waker(settings),
    )

    def report() -> Report:
        done = worker.progress
        return report_of(
            "gpu",
            now=time(),
            progress_at=done.batch_at,
            facts={
                "provider": engine.provider,
                "model": prepared.model_id,
                "batch": done.batch_size,
                "run_ms": round(done.run_ms, 1),
            },
            counters=dict(done.counters),
        )

    log.info("ready: %s on %s, batches of up to %d", prepared.model_id, engine.provider, engine.max_batch)
    with on_stop(worker.stop), Reporter(HealthBoard(state, keys), report):
        worker.run()
    log.info("stopped after %d batches", worker.progress.counters["batches"])
