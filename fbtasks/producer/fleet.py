"""The reader processes, and what becomes of cameras whose process hangs or falls.

A call into FFmpeg or the system's name look-up can hang for good, or crash, and takes its process along. So cameras are
read in a few processes (`reader.py`), each for several cameras:

- A call that is far over its limit hangs. The other cameras of its process move to a fresh one, each leaving the old
  one as soon as it runs in the new; then the old one is killed. The camera that hung is tried again with back-off,
  alone in its process.
- A process that dies or says nothing any more tells not which camera was to blame. It is replaced by two, each for
  half of its cameras, so that a camera which brings every process down is soon alone.

A process in which Python code failed is not replaced: that is no camera's fault.
"""

import logging
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from time import monotonic, time

from fbtasks.errors import FbtasksError
from fbtasks.health import CameraReport
from fbtasks.producer.backoff import pause_before
from fbtasks.producer.messages import ReaderReport, Setup, is_same_stream
from fbtasks.producer.patience import PatientClock
from fbtasks.producer.status import Stall, Status, after
from fbtasks.settings import CameraSettings

log = logging.getLogger(__name__)

CAMERAS_PER_PROCESS = 8
TICK_S = 0.25
"""`Fleet.mend` is to be called so often."""
SILENT_S = 30.0
"""A process that has reported nothing for so long hangs as a whole; it reports four times a second."""
START_WITHIN_S = 120.0
"""Until its first report: sixteen seconds were seen on two cores under a load of twenty."""
MOVE_WITHIN_S = 30.0
"""Cameras that do not run in the fresh process by then do not run at all at present: the old one is ended."""
HEALTHY_S = 60.0
"""A camera whose process has lived for so long has not brought it down."""
STOP_WITHIN_S = 3.5
KILLED_WITHIN_S = 0.5
HUNG = "a call into the decoder or the name look-up hangs; its process was ended"
FELL = "its process ended"
COUNTERS = ("frames_read", "frames_damaged", "frames_sent", "frames_dropped", "frames_displaced", "reconnects")
_HELD = {signal.SIGINT, signal.SIGTERM}


class ReaderFailed(FbtasksError):
    """A reader process ended by a fault of ours."""


class ReaderProcess:
    """One reader process, from outside.

    Attributes:
        cameras: what it is told to read.
        alone: it was started because of a fall; it gets no further cameras.
        report: its last.
        began_at, heard_at: when it was started, and last heard of; seconds of `clock`.
        has_reported: it has been heard of.
        started_at: when it was started; unix seconds.
        successor: where its cameras move to, for one of them hangs here.
        gone_by: when it is killed, having been asked to end; seconds of `clock`.
    """

    def __init__(
        self, setup: Setup, cameras: Mapping[str, CameraSettings], clock: Callable[[], float], *, alone: bool
    ) -> None:
        self.cameras = dict(cameras)
        self.alone = alone
        self.report = ReaderReport()
        self._clock = clock
        self.began_at = self.heard_at = clock()
        self.has_reported = False
        self.started_at = time()
        self.successor: ReaderProcess | None = None
        self.gone_by: float | None = None
        ours, its = socket.socketpair()
        # A Ctrl-C in the terminal reaches all processes; when they end is said by this one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        try:
            with its:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", "from fbtasks.producer import reader; reader.main()"], stdin=its.fileno()
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.connection: Connection[object, ReaderReport] = Connection(ours.detach())
        self._untold = False
        self._send(setup)
        self._send(list(self.cameras.values()))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def tell(self) -> None:
        """Let it read `cameras`, and nothing else, as soon as it reports: to one that takes nothing we would wait."""
        self._untold = True

    def hear(self) -> list[ReaderReport]:
        """Its reports since the last call."""
        heard = []
        try:
            while self.connection.poll():
                self.report = self.connection.recv()
                self.heard_at, self.has_reported = self._clock(), True
                heard.append(self.report)
        except (EOFError, OSError):  # it ends; its exit code tells
            pass
        if heard and self._untold:
            self._untold = False
            self._send(list(self.cameras.values()))
        return heard

    def runs(self, camera_id: str) -> bool:
        """Whether it gives pictures of the camera."""
        told = self.report.cameras.get(camera_id)
        return told is not None and told.state == "running"

    def told_of(self, camera_id: str) -> CameraReport:
        """How one of its cameras is; until it has reported, the camera is being connected."""
        told = self.report.cameras.get(camera_id)
        return told or CameraReport("connecting", self.started_at, None, "", "", 0)

    def ask_to_stop(self) -> None:
        self._send(None)

    def end(self, within_s: float) -> None:
        """Wait for its end; then kill it."""
        try:
            self._process.wait(max(0.0, within_s))
        except subprocess.TimeoutExpired:
            log.warning("the reader process %d did not stop in time and is killed", self.pid)
            self.kill()
        self.connection.close()

    def kill(self) -> None:
        """End it at once: native code that hangs hears nothing else."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps even a killed process
            self._process.wait(KILLED_WITHIN_S)
        self.connection.close()

    def _send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except OSError:
            log.debug("the reader process %d takes no more messages", self.pid)


@dataclass(slots=True)
class _Resting:
    """A camera that brought its process down, until it is tried again."""

    settings: CameraSettings
    report: CameraReport
    until: float


@dataclass(slots=True)
class Fleet:
    """All reader processes. Use it in one thread only; see the top of this module."""

    setup: Setup
    cores: int
    _changes: list[tuple[str, Status]] = field(default_factory=list)
    _readers: list[ReaderProcess] = field(default_factory=list)
    _resting: dict[str, _Resting] = field(default_factory=dict)
    _falls: Counter[str] = field(default_factory=Counter)
    _past: Counter[str] = field(default_factory=Counter)
    _clock: PatientClock = field(default_factory=lambda: PatientClock(2 * TICK_S))

    def assign(self, cameras: Iterable[CameraSettings]) -> None:
        """Read exactly these from now on; see `ProducerDaemon.assign`."""
        wanted = {camera.id: camera for camera in cameras}
        for camera_id, resting in list(self._resting.items()):
            if camera_id not in wanted or not is_same_stream(wanted[camera_id], resting.settings):
                del self._resting[camera_id]
        told = {id(reader): dict(reader.cameras) for reader in self._readers}
        for reader in self._readers:
            reader.cameras = {camera_id: wanted[camera_id] for camera_id in reader.cameras if camera_id in wanted}
        read = {camera_id for reader in self._readers for camera_id in reader.cameras}
        self._place([wanted[camera_id] for camera_id in wanted if camera_id not in read | self._resting.keys()])
        for reader in self._readers:
            if reader.cameras != told.get(id(reader)):
                reader.tell()

    def _place(self, new: Sequence[CameraSettings]) -> None:
        """Each new camera goes where the fewest are, in as many processes as there should be."""
        shared = [one for one in self._readers if not one.alone and one.successor is None and one.gone_by is None]
        together = sum(len(reader.cameras) for reader in shared) + len(new)
        wanted = self.setup.producer.processes or min(self.cores, -(-together // CAMERAS_PER_PROCESS))
        shares: list[dict[str, CameraSettings]] = [reader.cameras for reader in shared]
        shares += [{} for _ in range(min(wanted, together) - len(shares))]
        for camera in new:
            min(shares, key=len)[camera.id] = camera
        for share in shares[len(shared) :]:
            self._start(share, alone=False)

    def hear(self) -> None:
        """Take in what the processes report."""
        for reader in self._readers:
            for report in reader.hear():
                self._changes += [change for change in report.changes if change[0] in reader.cameras]

    def mend(self) -> None:
        """Replace what hangs or fell, and end what is not needed any more.

        Raises:
            ReaderFailed: a process ended by a fault of ours.
        """
        now = self._clock.tick()
        for reader in list(self._readers):
            if reader.gone_by is not None:
                self._see_off(reader, reader.gone_by, now)
            elif (code := reader.exit_code) is not None:
                self._fell(reader, code)
            elif now - reader.heard_at > (SILENT_S if reader.has_reported else START_WITHIN_S):
                reader.kill()
                self._fell(reader, -signal.SIGKILL)
            elif hung := self._hung(reader):
                self._condemn(reader, hung)
            elif reader.successor is not None:
                self._move(reader, reader.successor, now)
            elif not reader.cameras:
                reader.ask_to_stop()
                reader.gone_by = now + STOP_WITHIN_S
        self._forgive(now)
        self._retry(now)

    def cameras(self) -> dict[str, CameraReport]:
        """How each camera is."""
        told = {camera_id: resting.report for camera_id, resting in self._resting.items()}
        # A camera that moves is told of by the process that it leaves, which comes before its successor.
        for reader in reversed(self._readers):
            told |= {camera_id: reader.told_of(camera_id) for camera_id in reader.cameras}
        return told

    def take_changes(self) -> list[tuple[str, Status]]:
        """The statuses that cameras have come into since the last call, in their order."""
        taken, self._changes = self._changes, []
        return taken

    def counters(self) -> Counter[str]:
        """Totals of all processes, those that have ended too."""
        totals = Counter(dict.fromkeys(COUNTERS, 0))
        totals.update(self._past)
        for reader in self._readers:
            totals.update(reader.report.counters)
        return totals

    def reports(self) -> list[ReaderReport]:
        """The last of each process."""
        return [reader.report for reader in self._readers]

    def silent_s(self) -> float:
        """For how long the process has been silent that was heard of the longest ago, seconds."""
        at_work = [reader for reader in self._readers if reader.has_reported and reader.gone_by is None]
        return max((self._clock() - reader.heard_at for reader in at_work), default=0.0)

    def connections(self) -> list["Connection[object, ReaderReport]"]:
        """What to wait for."""
        return [reader.connection for reader in self._readers]

    def stop(self) -> None:
        """End all processes, within `STOP_WITHIN_S`."""
        for reader in self._readers:
            reader.ask_to_stop()
        deadline = monotonic() + STOP_WITHIN_S
        for reader in self._readers:
            reader.end(deadline - monotonic())
        self._readers.clear()

    def _hung(self, reader: ReaderProcess) -> set[str]:
        limit_s = self.setup.producer.hang_s
        return {
            camera_id
            for camera_id, overdue_s in reader.report.overdue_s.items()
            if overdue_s > limit_s and camera_id in reader.cameras
        }

    def _condemn(self, reader: ReaderProcess, hung: set[str]) -> None:
        """Its other cameras get a fresh process; it ends when they run there."""
        if reader.successor is not None:  # which has this camera too by now
            for camera_id in hung:
                del reader.cameras[camera_id]
            return
        for camera_id in hung:
            log.error("camera %s: %s", camera_id, HUNG)
            self._rest(reader, camera_id, HUNG)
        if reader.cameras:
            reader.successor = self._start(reader.cameras, alone=reader.alone)
        else:
            reader.kill()
            self._forget(reader)

    def _move(self, reader: ReaderProcess, successor: ReaderProcess, now: float) -> None:
        """A camera leaves the old process when it runs in the fresh one, or does not run in the old one."""
        late = now - successor.began_at > MOVE_WITHIN_S
        staying = {
            camera_id: camera
            for camera_id, camera in reader.cameras.items()
            if camera_id in successor.cameras and reader.runs(camera_id) and not successor.runs(camera_id) and not late
        }
        if not staying:
            reader.kill()
            self._forget(reader)
        elif staying.keys() != reader.cameras.keys():
            reader.cameras = staying
            reader.tell()

    def _fell(self, reader: ReaderProcess, code: int) -> None:
        if code > 0:
            raise ReaderFailed(f"a reader process ended with exit code {code}; its last lines above say why")
        self._forget(reader)
        if reader.successor is not None:
            return
        log.error("a process that read %d cameras ended (%s)", len(reader.cameras), _how(code))
        cameras = list(reader.cameras.values())
        if len(cameras) == 1:
            self._rest(reader, cameras[0].id, FELL)
            return
        for half in filter(None, (cameras[::2], cameras[1::2])):
            self._start({camera.id: camera for camera in half}, alone=True)

    def _rest(self, reader: ReaderProcess, camera_id: str, reason: str) -> None:
        settings = reader.cameras.pop(camera_id)
        told = reader.told_of(camera_id)
        status = after(Status("connecting", told.since, told.reason), Stall(reason), time())
        self._changes.append((camera_id, status))
        self._falls[camera_id] += 1
        limits = self.setup.producer
        pause = pause_before(self._falls[camera_id], limits.backoff_min_s, limits.backoff_max_s, random.random())
        report = replace(told, state=status.state, since=status.since, reason=status.reason)
        self._resting[camera_id] = _Resting(settings, report, self._clock() + pause)

    def _retry(self, now: float) -> None:
        for camera_id, resting in list(self._resting.items()):
            if now >= resting.until:
                del self._resting[camera_id]
                self._start({camera_id: resting.settings}, alone=True)

    def _forgive(self, now: float) -> None:
        for reader in self._readers:
            if now - reader.began_at > HEALTHY_S:
                for camera_id in reader.cameras:
                    self._falls.pop(camera_id, None)

    def _start(self, cameras: Mapping[str, CameraSettings], *, alone: bool) -> ReaderProcess:
        reader = ReaderProcess(self.setup, cameras, self._clock, alone=alone)
        self._readers.append(reader)
        return reader

    def _see_off(self, reader: ReaderProcess, gone_by: float, now: float) -> None:
        if reader.exit_code is not None or now > gone_by:
            reader.kill()
            self._forget(reader)

    def _forget(self, reader: ReaderProcess) -> None:
        self._readers.remove(reader)
        reader.connection.close()
        self._past.update(reader.report.counters)


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
