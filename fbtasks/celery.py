"""The Celery application: `celery -A fbtasks worker -Q logic`, `celery -A fbtasks beat`, `celery -A fbtasks flower`.

JSON only, no result backend: tasks hand on through Redis and the store, never through return values. Start workers with
`--without-gossip --without-mingle`; workers need nothing of each other, and both slow the return after a Redis restart.
"""

import atexit
import logging
import os
import sys
from contextlib import suppress
from time import time
from typing import Any

from celery import Celery
from celery.app.trace import LOG_SUCCESS
from celery.signals import (
    after_task_publish,
    beat_init,
    before_task_publish,
    celeryd_init,
    setup_logging,
    worker_process_shutdown,
)

from fbtasks import logs, timeslice
from fbtasks.errors import ConfigError
from fbtasks.flower import flower_environment
from fbtasks.health import HealthBoard, Role, report_of
from fbtasks.keys import Keys
from fbtasks.settings import Settings, load_settings
from fbtasks.transport import REDIS_AWAY, connect

QUEUE = "logic"
PROCESS_CAMERA = "fbtasks.process_camera"
STORE_ALERTS = "fbtasks.store_alerts"
DELIVER = "fbtasks.deliver"
SWEEP = "fbtasks.sweep"
SHOW = "fbtasks.show"
CHECK_HEALTH = "fbtasks.check_health"
CLEAR_OUT = "fbtasks.clear_out"
MAKE_CLIP = "fbtasks.make_clip"
COPY_EVIDENCE = "fbtasks.copy_evidence"
CLEAR_BUCKET = "fbtasks.clear_bucket"
FORGET = "fbtasks.forget"
REPORT_NIGHT = "fbtasks.report_night"

SWEEP_EVERY_S = 2.0
"""How long a lost wake-up or a due delivery waits at most, beyond the expiry of its mark."""
CLEAR_OUT_EVERY_S = 60.0
COPY_EVERY_S = 60.0
"""How soon a bucket that was away is tried again."""
CLEAR_BUCKET_EVERY_S = 3600.0
FORGET_EVERY_S = 600.0
REPORT_EVERY_S = 300.0
"""How long after the night its report comes at most, beyond the two minutes that it waits for the last figures."""
SHOW_EVERY_S = 30.0
"""How soon what a sink shows is right again; Home Assistant doubts it after four times as long."""
LONGEST_TASK_S = 600.0
"""No task works for so long; one that hangs is killed, for it holds a process of the worker."""
SENT_AT = "sent_at"
"""Header of every task: when it was sent, unix seconds."""
WAKE_UP_EXPIRES_S = 30.0
"""A wake-up that nobody took for so long is worthless: the sweep has sent another."""


def queue_key(settings: Settings) -> str:
    """The Redis list behind the queue."""
    return settings.redis.prefix + QUEUE


def broker_url(redis_url: str) -> str:
    """The Redis URL as Kombu spells it."""
    return "redis+socket://" + redis_url.removeprefix("unix://") if redis_url.startswith("unix://") else redis_url


def make_app(settings: Settings) -> Celery:
    """The application for these settings."""
    app = Celery(
        "fbtasks",
        broker=broker_url(settings.state_url),
        include=["fbtasks.logic.tasks", "fbtasks.logic.evidence_tasks"],
        amqp="fbtasks.broker:AMQP",
    )
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_time_limit=LONGEST_TASK_S,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(settings),
        beat_schedule=_schedule(settings),
        # In memory: with no interval over minutes there is nothing to remember, and no file to be corrupted by a kill.
        beat_scheduler="celery.beat:Scheduler",
        beat_max_loop_interval=1.0,
    )
    return app


def _transport_options(settings: Settings) -> dict[str, Any]:
    return {
        "global_keyprefix": settings.redis.prefix,
        "socket_connect_timeout": settings.redis.timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 5,
        # Kombu would note each task in Redis while it is on its way to a process, a round trip before it runs and one
        # after, for the case that this worker dies meanwhile; the sweep sends again whatever has not come about.
        "ack_emulation": False,
        # Kombu's pace between attempts to publish; the default waits too long for a caller that has frames in hand.
        "max_retries": 1,
        "interval_start": 0.1,
        "interval_step": 0.1,
        "interval_max": 0.5,
    }


def _schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    regular = {
        "sweep": {"task": SWEEP, "schedule": SWEEP_EVERY_S, "options": {"expires": 2 * SWEEP_EVERY_S}},
        "check-health": {
            "task": CHECK_HEALTH,
            "schedule": settings.health.interval_s,
            "options": {"expires": settings.health.interval_s},
        },
        "show": {"task": SHOW, "schedule": SHOW_EVERY_S, "options": {"expires": SHOW_EVERY_S}},
        "clear-out": {"task": CLEAR_OUT, "schedule": CLEAR_OUT_EVERY_S, "options": {"expires": CLEAR_OUT_EVERY_S}},
        "forget": {"task": FORGET, "schedule": FORGET_EVERY_S, "options": {"expires": FORGET_EVERY_S}},
        "report-night": {"task": REPORT_NIGHT, "schedule": REPORT_EVERY_S, "options": {"expires": REPORT_EVERY_S}},
    }
    if not settings.evidence.s3.bucket:
        return regular
    return regular | {
        "copy-evidence": {"task": COPY_EVIDENCE, "schedule": COPY_EVERY_S, "options": {"expires": COPY_EVERY_S}},
        "clear-bucket": {
            "task": CLEAR_BUCKET,
            "schedule": CLEAR_BUCKET_EVERY_S,
            "options": {"expires": CLEAR_BUCKET_EVERY_S},
        },
    }


@before_task_publish.connect
def _stamp(headers: dict[str, Any], **_: Any) -> None:
    headers[SENT_AT] = time()


@beat_init.connect
def _report_beat(**_: Any) -> None:
    """Beat tells the health board of each task that it has sent: that, and not that it lives, is its progress."""
    board = _board()

    def tell(**_: Any) -> None:
        now = time()
        with suppress(*REDIS_AWAY):
            board.write(report_of("beat", now=now, progress_at=now))

    after_task_publish.connect(tell, weak=False)
    atexit.register(_leave_board, "beat")


@worker_process_shutdown.connect
def _leave_as_logic(**_: Any) -> None:
    _leave_board("logic")


def _leave_board(role: Role) -> None:
    """This process ends in order: it is not to be shown as one that fell silent."""
    with suppress(*REDIS_AWAY):
        _board().remove(report_of(role, now=time(), progress_at=None))


def _board() -> HealthBoard:
    return HealthBoard(connect(settings.state_url, settings.redis.timeout_s), Keys(settings.redis.prefix))


@setup_logging.connect
def _use_our_logs(**_: Any) -> None:
    """Celery's own set-up would bypass the formatter that removes credentials.

    Its two lines for every task that went well, several a second and camera, would bury the rest; Flower shows tasks.
    """
    logs.configure("beat" if "beat" in sys.argv[1:] else "logic", settings.log.level, settings.log.format)
    if settings.log.level != "DEBUG":
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
        logging.getLogger("celery.beat").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("celery.app.trace").addFilter(lambda record: record.msg != LOG_SUCCESS)


@celeryd_init.connect
@beat_init.connect
def _let_the_model_run(**_: Any) -> None:
    timeslice.ask(timeslice.BACKGROUND_S)


def _open_flower(settings: Settings) -> None:
    """Give Flower, when this is its process, an address and a login, before it reads its options; it has no signal."""
    if "flower" not in sys.argv[1:]:
        return
    _let_the_model_run()
    flower = settings.flower
    os.environ.update(flower_environment(flower.address, flower.login, argv=sys.argv[1:], environ=os.environ))


try:
    settings = load_settings()
    _open_flower(settings)
except ConfigError as error:
    # Celery prints any other exception as a traceback; the reader is a technician with a typing error in a file.
    raise SystemExit(f"fbtasks: {error}") from None
app = make_app(settings)
