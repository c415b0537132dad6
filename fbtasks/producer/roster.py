"""Which cameras this producer reads: those of the file and the registry, as far as it holds their leases."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from fbtasks.health import Report
from fbtasks.keys import Keys
from fbtasks.producer.leases import LOOKS, Leases
from fbtasks.producer.rendezvous import INSTANCE
from fbtasks.registry import Registry
from fbtasks.settings import CameraSettings, ProducerSettings, Settings
from fbtasks.transport import REDIS_AWAY, connect

log = logging.getLogger(__name__)

RELEASE_WITHIN_S = 0.5
READER_STARTS_S = 20.0
"""A process that reads cameras may take as long to start on a busy machine."""


class Roster:
    """Tells the producer which cameras to read, again whenever that changes.

    Args:
        assign: is called with all of them, from the thread of `run`.
        report: what the producer does, see `fbtasks.health`.
    """

    def __init__(
        self,
        settings: Settings,
        assign: Callable[[Sequence[CameraSettings]], None],
        report: Callable[[], Report],
    ) -> None:
        # An answer must come well within a lease, whatever the site has patience for elsewhere.
        timeout_s = min(settings.redis.timeout_s, settings.producer.lease_s / LOOKS)
        redis = connect(settings.state_url, timeout_s)
        self._assign = assign
        self._report = report
        self._registry = Registry(redis, settings)
        self._leases = Leases(
            redis,
            Keys(settings.redis.prefix),
            producer_id(settings.producer),
            lease_s=settings.producer.lease_s,
            trial_s=READER_STARTS_S + settings.producer.open_timeout_s,
            has_picture=self._has_picture,
        )
        self._cameras: list[CameraSettings] = []
        self._assigned: list[CameraSettings] | None = None
        self._away = False

    def run(self, stop: threading.Event) -> None:
        """Look again and again until `stop` is set, then give the leases back.

        Raises:
            Exception: a fault; nothing is assigned any more.
        """
        while not stop.wait(self._leases.pause_s):
            self.look()
        try:
            self._leases.release()
        except REDIS_AWAY as error:
            log.debug("leases not given back: Redis is away (%s)", error)

    def look(self) -> None:
        """Bring the cameras up to date once."""
        reading = self._look()
        # Those that were disabled while it read them are told of too, so that it can say so.
        before = self._assigned if self._assigned is not None else self._cameras
        told = {camera.id for camera in before}
        self._tell([camera for camera in self._cameras if camera.id in (reading if camera.enabled else told)])

    def _look(self) -> set[str]:
        try:
            settings = self._registry.settings()
            self._cameras = settings.cameras
            enabled = [camera.id for camera in self._cameras if camera.enabled]
            reading = self._leases.look(enabled, time.monotonic())
        except REDIS_AWAY as error:
            return self._without_redis(error)
        self._away = False
        return reading

    def _without_redis(self, error: Exception) -> set[str]:
        before = self._leases.reading
        reading = self._leases.expire(time.monotonic())
        if not self._away:
            self._away = True
            log.warning("no word on who reads which camera: Redis is away (%s)", error)
        if before and not reading:
            log.warning("no camera is read any more until Redis is back: another producer may read them by now")
        return reading

    def _tell(self, cameras: list[CameraSettings]) -> None:
        if cameras == self._assigned:
            return
        self._assign(cameras)
        before = {camera.id for camera in self._assigned or [] if camera.enabled}
        now = {camera.id for camera in cameras if camera.enabled}
        for verb, changed in (("reads", now - before), ("leaves", before - now)):
            if changed:
                log.info("this producer %s %s", verb, ", ".join(sorted(changed)))
        self._assigned = cameras

    def _has_picture(self, camera_id: str, since: float) -> bool:
        """`since` is in monotonic seconds, reports are in unix seconds; both are of this machine."""
        told = self._report().cameras.get(camera_id)
        began_at = time.time() - (time.monotonic() - since)
        return told is not None and told.state == "running" and (told.last_frame_at or 0.0) >= began_at


@contextmanager
def on_duty(
    settings: Settings,
    assign: Callable[[Sequence[CameraSettings]], None],
    report: Callable[[], Report],
    end: Callable[[], None],
) -> Iterator[None]:
    """Keep a `Roster` in a thread while the `with` block runs; what that dies of calls `end`, and is raised after it.

    The first look is over when the block begins, so a lone producer starts without delay. The leases are given back at
    its end, when nothing is read any more.
    """
    roster, stop, failures = Roster(settings, assign, report), threading.Event(), []
    roster.look()

    def run() -> None:
        try:
            roster.run(stop)
        except Exception as error:  # noqa: BLE001 - raised again below: a thread must not die unnoticed
            failures.append(error)
            end()

    thread = threading.Thread(target=run, name="roster", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        # Leases that are not given back run out; a Redis that does not answer must not hold up the end.
        thread.join(RELEASE_WITHIN_S)
    if failures:
        raise failures[0]


def producer_id(settings: ProducerSettings) -> str:
    """The id of this process among producers; that of the settings may have been given to two."""
    if settings.id:
        return f"{settings.id}{INSTANCE}{uuid4().hex[:8]}"
    return f"{socket.gethostname()}:{os.getpid()}"
