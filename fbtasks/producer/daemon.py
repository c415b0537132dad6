"""The producer: it tells reader processes what to read, watches over them, and reports of all."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from multiprocessing.connection import Pipe, wait

from redis import Redis

from fbtasks.camera_history import CameraHistory
from fbtasks.health import SILENT_READER_S, CameraReport, HealthBoard, Report, report_of
from fbtasks.keys import Keys
from fbtasks.lifecycle import on_stop
from fbtasks.producer.choice import check
from fbtasks.producer.chronicler import Chronicler
from fbtasks.producer.fleet import TICK_S, Fleet
from fbtasks.producer.messages import Setup
from fbtasks.producer.roster import on_duty
from fbtasks.producer.status import Status
from fbtasks.reporter import Reporter
from fbtasks.settings import CameraSettings, S3Settings, Settings
from fbtasks.transport import connect

log = logging.getLogger(__name__)

REST_STOPS_WITHIN_S = 1.0
SILENCE_TOLD_S = 2.0
"""A process that reads cameras is silent for so long on a busy machine too."""
Observed = Callable[[Settings, Callable[[], Report]], AbstractContextManager[None]]


class ProducerDaemon:
    """Reads all enabled cameras of the settings, or those that it is told to, until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys(settings.redis.prefix)
        self._over = threading.Event()
        self._chronicler = Chronicler(CameraHistory(self._connect(), self._keys))
        self._lock = threading.Lock()
        self._wanted: Sequence[CameraSettings] | None = settings.cameras
        self._disabled: dict[str, CameraReport] = {}
        self._report = report_of("producer", now=time.time(), progress_at=None)
        self._woken, self._waker = Pipe(duplex=False)
        self._fleet = Fleet(
            Setup(
                producer=settings.producer,
                gpu=settings.gpu,
                frames=settings.frames,
                redis=settings.redis,
                frames_url=settings.frames_url,
                evidence=settings.evidence.model_copy(update={"s3": S3Settings()}),  # whose keys a reader does not need
                log=settings.log,
            ),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        )

    def assign(self, cameras: Sequence[CameraSettings]) -> None:
        """Read exactly these from now on, as far as they are enabled; may be called from any thread, and before `run`.

        New ones are started, those that are gone are stopped, those whose stream or rate changed are started anew;
        the others are not disturbed. Returns at once.
        """
        with self._lock:
            self._wanted = list(cameras)
        self._wake()

    def stop(self) -> None:
        """Let `run` return; may be called from any thread, and more than once."""
        self._over.set()
        self._wake()

    def run(self) -> None:
        """Read the cameras until `stop`; returns within five seconds of it.

        Raises:
            ReaderFailed: a reader process ended by a fault of ours; then nothing is being read any more.
        """
        others: list[threading.Thread] = []
        try:
            self._look()
            others += [self._start("reporter", self._tell), self._start("chronicler", self._write_down)]
            while not self._over.is_set():
                wait([self._woken, *self._fleet.connections()], TICK_S)
                self._look()
        finally:
            self._over.set()
            self._chronicler.wake()
            self._fleet.stop()
            deadline = time.monotonic() + REST_STOPS_WITHIN_S
            for thread in others:
                thread.join(max(0.0, deadline - time.monotonic()))
        log.info("stopped")

    def report(self) -> Report:
        """What this process does, for the health board; may be called from any thread."""
        return self._report

    def _look(self) -> None:
        """Take in what has happened, and do what it asks for."""
        while self._woken.poll():
            self._woken.recv()
        self._fleet.hear()
        with self._lock:
            wanted, self._wanted = self._wanted, None
        if wanted is not None:
            self._assign(wanted)
        self._fleet.mend()
        self._note()
        self._report = self._made_report()

    def _assign(self, cameras: Sequence[CameraSettings]) -> None:
        enabled = [camera for camera in cameras if camera.enabled]
        now = time.time()
        self._disabled = {
            camera.id: self._disabled.get(camera.id) or CameraReport("disabled", now, None, "", "", 0)
            for camera in cameras
            if not camera.enabled
        }
        self._fleet.assign(enabled)
        self._chronicler.forget_all_but({camera.id for camera in cameras})
        log.info("reading %d cameras", len(enabled))

    def _note(self) -> None:
        for camera_id, status in self._fleet.take_changes():
            self._chronicler.note(camera_id, status)
        for camera_id, report in self._disabled.items():
            self._chronicler.note(camera_id, Status("disabled", report.since))

    def _made_report(self) -> Report:
        told = self._fleet.reports()
        facts = {"backlog": float(max((one.backlog for one in told), default=0)), "processes": float(len(told))}
        if (silent_s := self._fleet.silent_s()) > SILENCE_TOLD_S:
            facts[SILENT_READER_S] = round(silent_s, 1)
        pushed_at = max((one.last_push_at for one in told if one.last_push_at is not None), default=None)
        return report_of(
            "producer",
            now=time.time(),
            progress_at=pushed_at or self._report.progress_at,
            facts=facts,
            counters=dict(self._fleet.counters()),
            cameras=self._fleet.cameras() | self._disabled,
        )

    def _connect(self) -> Redis:
        return connect(self._settings.state_url, self._settings.redis.timeout_s)

    def _tell(self) -> None:
        with Reporter(HealthBoard(self._connect(), self._keys), self.report):
            self._over.wait()

    def _write_down(self) -> None:
        self._chronicler.run(self._over)

    def _wake(self) -> None:
        with suppress(OSError):  # `run` has returned, or will look by itself
            self._waker.send(None)

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Threads are daemons, for one that waits for Redis must not keep the process alive."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread


def run(settings: Settings, observed: Observed | None = None) -> None:
    """Read the cameras that fall to this producer until SIGTERM or SIGINT: the whole of `fbtasks produce`.

    Args:
        observed: entered with the settings and what makes a report, while the daemon works.

    Raises:
        ConfigError: no backend that is installed can read a camera as the settings want it.
    """
    for camera in settings.cameras:
        check(camera, settings.producer)
    daemon = ProducerDaemon(settings)
    with (
        on_stop(daemon.stop),
        observed(settings, daemon.report) if observed else nullcontext(),
        on_duty(settings, daemon.assign, daemon.report, daemon.stop),
    ):
        daemon.run()
