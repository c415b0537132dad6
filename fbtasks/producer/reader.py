"""A reader process: a thread for each camera, and one that publishes the frames of all.

It is told what to read over the socket that it gets as standard input, reports over the same, and ends with it.
"""

import ctypes
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from fbtasks import logs, timeslice
from fbtasks.keys import Keys
from fbtasks.lifecycle import leave
from fbtasks.producer import capture
from fbtasks.producer.back_pressure import BackPressure, room_for
from fbtasks.producer.camera import Camera
from fbtasks.producer.encoder import Encoder
from fbtasks.producer.messages import Order, ReaderReport, Setup, is_same_stream
from fbtasks.producer.pacing import Pacer, Spacing
from fbtasks.producer.patience import PatientClock
from fbtasks.producer.publisher import Publisher
from fbtasks.producer.status import Status
from fbtasks.producer.turnstile import Turnstile
from fbtasks.settings import CameraSettings
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import Frame

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
CAMERAS_STOP_WITHIN_S = 2.0
PUBLISHER_STOPS_WITHIN_S = 1.0
REPORT_EVERY_S = 0.25
GOLDEN = 0.618034
"""Multiples of it, taken modulo 1, stay far apart however many there are: the phases of cameras that come and go."""


@dataclass(frozen=True, slots=True)
class _Reading:
    settings: CameraSettings
    camera: Camera
    thread: threading.Thread
    stop: threading.Event


class Reader:
    """Reads the cameras that it is told to, from `run` until `stop`."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._end: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._law = BackPressure(room_for(setup.gpu.max_batch))
        redis = connect(setup.frames_url, setup.redis.timeout_s)
        self._publisher = Publisher(
            FrameQueue(redis, Keys(setup.redis.prefix), setup.frames.max_length, setup.evidence.clip.seconds),
            pictures=setup.evidence.enabled,
            films=setup.evidence.films,
            law=self._law if setup.producer.back_pressure else None,
        )
        self._spacing = Spacing()
        self._turnstile = Turnstile(setup.producer.opens_per_s)
        self._clock = PatientClock(2 * REPORT_EVERY_S)
        self._changes: queue.SimpleQueue[tuple[str, Status]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._readings: dict[str, _Reading] = {}
        self._leaving: list[threading.Thread] = []
        self._begun = 0
        self._ended: Counter[str] = Counter()

    def assign(self, cameras: Sequence[CameraSettings]) -> None:
        """Read exactly these from now on; those that are read already, from the same stream, go on undisturbed."""
        wanted = {camera.id: camera for camera in cameras}
        if cameras:
            self._spacing.fps = sum(camera.fps or self._setup.producer.fps for camera in cameras)
        with self._lock:
            for camera_id, reading in list(self._readings.items()):
                if camera_id not in wanted or not is_same_stream(wanted[camera_id], reading.settings):
                    reading.stop.set()
                    self._leaving = [*(thread for thread in self._leaving if thread.is_alive()), reading.thread]
                    self._ended.update(_counted(reading.camera))
                    del self._readings[camera_id]
            for camera_id in wanted.keys() - self._readings.keys():
                self._readings[camera_id] = self._begin(wanted[camera_id])

    def stop(self, failure: BaseException | None = None) -> None:
        """Let `run` return, or raise this; may be called from any thread, and more than once."""
        self._end.put(failure)

    def run(self) -> None:
        """Publish until `stop`. Returns within `CAMERAS_STOP_WITHIN_S` and `PUBLISHER_STOPS_WITHIN_S` of it.

        Raises:
            BaseException: whatever a thread died of; then nothing is being read any more.
        """
        publisher = self._start("publisher", self._publisher.run)
        failure = self._end.get()
        with self._lock:
            for reading in self._readings.values():
                reading.stop.set()
            threads = [*self._leaving, *(reading.thread for reading in self._readings.values())]
        self._join(threads, CAMERAS_STOP_WITHIN_S)
        # After the cameras, so that their last frames are still sent.
        self._publisher.stop()
        self._join([publisher], PUBLISHER_STOPS_WITHIN_S)
        if failure is not None:
            raise failure

    def report(self) -> ReaderReport:
        """What it has done; one caller alone, every `REPORT_EVERY_S`, for each change is told once."""
        with self._lock:
            cameras = {camera_id: reading.camera for camera_id, reading in self._readings.items()}
            counters = Counter(self._ended)
            for camera in cameras.values():
                counters.update(_counted(camera))
        totals = self._publisher.totals
        counters |= {
            "frames_sent": totals.sent.total(),
            "frames_dropped": totals.replaced + totals.lost,
            "frames_displaced": totals.displaced,
        }
        self._clock.tick()
        overdue_s = {camera_id: camera.overdue_s() for camera_id, camera in cameras.items()}
        return ReaderReport(
            counters=dict(counters),
            backlog=totals.backlog,
            last_push_at=totals.last_push_at,
            cameras={camera_id: camera.report(totals.sent[camera_id]) for camera_id, camera in cameras.items()},
            overdue_s={camera_id: seconds for camera_id, seconds in overdue_s.items() if seconds > 0},
            changes=[self._changes.get() for _ in range(self._changes.qsize())],
        )

    def _join(self, threads: Sequence[threading.Thread], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("%s did not stop within %.1f s and is left behind", thread.name, within_s)

    def _begin(self, settings: CameraSettings) -> _Reading:
        stop = threading.Event()
        camera = self._camera(settings, stop)
        thread = self._start(f"camera-{settings.id}", partial(camera.run, stop))
        return _Reading(settings, camera, thread, stop)

    def _camera(self, settings: CameraSettings, stop: threading.Event) -> Camera:
        producer, gpu = self._setup.producer, self._setup.gpu
        pacer = Pacer(settings.fps or producer.fps, self._begun * GOLDEN % 1)
        self._begun += 1
        encoder = Encoder(gpu.input_width, gpu.input_height, producer.jpeg_quality, tight=gpu.input == "auto")

        def offer(frame: Frame) -> None:
            """A camera that has been taken away may still be in the middle of its last frame."""
            if not stop.is_set():
                self._publisher.offer(frame)

        def tell(status: Status) -> None:
            self._changes.put((settings.id, status))

        return Camera(
            settings,
            producer,
            pacer,
            encoder,
            spacing=self._spacing,
            law=self._law,
            turnstile=self._turnstile,
            offer=offer,
            tell=tell,
            clock=self._clock,
        )

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


def _counted(camera: Camera) -> Counter[str]:
    return Counter(frames_read=camera.frames_read, frames_damaged=camera.frames_damaged, reconnects=camera.reconnects)


def main() -> None:
    """Serve the producer that has started this process."""
    _die_with_parent()
    timeslice.ask(timeslice.BACKGROUND_S)
    connection: Connection[ReaderReport, Order | Setup] = Connection(os.dup(0))
    setup = connection.recv()
    assert isinstance(setup, Setup)
    logs.configure("produce", setup.log.level, setup.log.format)
    capture.prepare(setup.producer.transport)
    reader, over = Reader(setup), threading.Event()
    threading.Thread(target=_obey, args=(reader, connection), name="orders", daemon=True).start()
    teller = threading.Thread(target=_tell, args=(reader, connection, over), name="reports", daemon=True)
    teller.start()
    code = 0
    try:
        reader.run()
    except Exception:
        log.exception("a thread died")
        code = 1
    over.set()
    teller.join(REPORT_EVERY_S)
    # Not by the interpreter's own end, under threads that are stuck; and it would take its time on a busy machine.
    leave(code)


def _obey(reader: Reader, connection: "Connection[ReaderReport, Order | Setup]") -> None:
    """Until the end; that of the connection is that of the producer."""
    try:
        while (order := connection.recv()) is not None:
            assert not isinstance(order, Setup)
            reader.assign(order)
        reader.stop()
    except (EOFError, OSError):
        log.debug("the producer is gone")
        reader.stop()
    except Exception as error:  # noqa: BLE001 - raised by `run`
        reader.stop(error)


def _tell(reader: Reader, connection: "Connection[ReaderReport, Order | Setup]", over: threading.Event) -> None:
    """Once more at the end, for what was done until then."""
    last = False
    try:
        while not last:
            last = over.wait(REPORT_EVERY_S)
            connection.send(reader.report())
    except OSError:
        log.debug("nobody takes reports any more")


def _die_with_parent() -> None:
    """At once, where the kernel can (Linux): native code that holds the interpreter would never hear of its end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
