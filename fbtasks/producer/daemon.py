"""The producer process: a thread for each camera, one that publishes, one that reports."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial

from redis import Redis

from fbtasks.health import HealthBoard, Report, report_of
from fbtasks.keys import Keys
from fbtasks.lifecycle import leave, on_stop
from fbtasks.producer import capture
from fbtasks.producer.camera import Camera
from fbtasks.producer.encoder import Encoder
from fbtasks.producer.pacing import Pacer, phases
from fbtasks.producer.publisher import Publisher
from fbtasks.reporter import Reporter
from fbtasks.settings import CameraSettings, Settings
from fbtasks.transport import FrameQueue, connect

log = logging.getLogger(__name__)

CAMERAS_STOP_WITHIN_S = 2.0
REST_STOPS_WITHIN_S = 1.5


class ProducerDaemon:
    """Reads all enabled cameras of the settings until it is stopped.

    Attributes:
        stuck: names of the threads that had not ended when `run` returned: a call into FFmpeg cannot be interrupted.
    """

    def __init__(self, settings: Settings) -> None:
        self.stuck: list[str] = []
        self._settings = settings
        self._keys = Keys(settings.redis.prefix)
        self._stop = threading.Event()
        self._end: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._publisher = Publisher(
            FrameQueue(self._connect(settings.frames_url), self._keys, settings.frames.max_length),
            pictures=settings.evidence.enabled,
        )
        enabled = [camera for camera in settings.cameras if camera.enabled]
        self._cameras = [
            self._camera(camera, phase) for camera, phase in zip(enabled, phases(len(enabled)), strict=True)
        ]

    def stop(self) -> None:
        """Let `run` return; may be called from any thread, and more than once."""
        self._end.put(None)

    def run(self) -> None:
        """Read the cameras until `stop`. Returns within `CAMERAS_STOP_WITHIN_S` and `REST_STOPS_WITHIN_S` of it.

        Raises:
            BaseException: whatever a thread died of; then nothing is being read any more.
        """
        capture.prepare(self._settings.producer.transport)
        publisher = self._start("publisher", self._publisher.run)
        reporter = self._start("reporter", self._report)
        cameras = [self._start(f"camera-{camera.id}", partial(camera.run, self._stop)) for camera in self._cameras]
        log.info("reading %d cameras", len(cameras))
        failure = self._end.get()
        self._stop.set()
        self._join(cameras, CAMERAS_STOP_WITHIN_S)
        # After the cameras, so that their last frames are still sent.
        self._publisher.stop()
        self._join([publisher, reporter], REST_STOPS_WITHIN_S)
        log.info("stopped")
        if failure is not None:
            raise failure

    def report(self) -> Report:
        """What this process does, for the health board."""
        totals = self._publisher.totals
        return report_of(
            "producer",
            now=time.time(),
            progress_at=totals.last_push_at,
            facts={"backlog": float(totals.backlog)},
            counters={
                "frames_read": sum(camera.frames_read for camera in self._cameras),
                "frames_damaged": sum(camera.frames_damaged for camera in self._cameras),
                "frames_sent": sum(totals.sent[camera.id] for camera in self._cameras),
                "frames_dropped": totals.replaced + totals.lost,
                "frames_displaced": totals.displaced,
                "reconnects": sum(camera.reconnects for camera in self._cameras),
            },
            cameras={camera.id: camera.report(totals.sent[camera.id]) for camera in self._cameras},
        )

    def _camera(self, camera: CameraSettings, phase: float) -> Camera:
        producer, gpu = self._settings.producer, self._settings.gpu
        pacer = Pacer(camera.fps or producer.fps, phase)
        encoder = Encoder(gpu.input_width, gpu.input_height, producer.jpeg_quality, tight=gpu.input == "auto")
        return Camera(camera, producer, pacer, encoder, self._publisher.offer)

    def _connect(self, url: str) -> Redis:
        return connect(url, self._settings.redis.timeout_s)

    def _report(self) -> None:
        with Reporter(HealthBoard(self._connect(self._settings.state_url), self._keys), self.report):
            self._stop.wait()

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Threads are daemons, for one that is stuck in FFmpeg must not keep the process alive."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again by `run`: a thread must not die unnoticed
                self._end.put(error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _join(self, threads: list[threading.Thread], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("%s did not stop within %.1f s and is left behind", thread.name, within_s)
                self.stuck.append(thread.name)


def run(settings: Settings) -> None:
    """Read the cameras until SIGTERM or SIGINT: the whole of `fbtasks produce`."""
    daemon = ProducerDaemon(settings)
    code = 0
    try:
        with on_stop(daemon.stop):
            daemon.run()
    except Exception:
        if not daemon.stuck:
            raise
        log.exception("a thread died")
        code = 1
    if daemon.stuck:
        leave(code)
