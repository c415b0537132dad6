"""What the tasks of one worker process share: connections, the store, the sinks, the pipelines."""

import logging
from collections import Counter
from functools import cache, cached_property, lru_cache
from time import time

from fbtasks.camera_history import CameraHistory
from fbtasks.celery import settings
from fbtasks.errors import ConfigError
from fbtasks.health import REPORT_EVERY_S, HealthBoard, News, report_of
from fbtasks.keys import Keys
from fbtasks.logic.bucket import Bucket
from fbtasks.logic.evidence import Evidence
from fbtasks.logic.pace import Paces
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.recorder import Recorder
from fbtasks.logic.sinks import Sink
from fbtasks.logic.sinks.making import routes_of, sinks_of
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.site import pipeline_of
from fbtasks.logic.store import Store, open_store
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.registry import Registry
from fbtasks.settings import Settings
from fbtasks.transport import DeadLetters, FrameQueue, connect

log = logging.getLogger(__name__)

PICTURES_WITHIN_S = 0.3
"""Alerts go without pictures when the frames' Redis takes longer; they would wait for it."""


class Runtime:
    """Made in the worker process by its first task, never before a fork: no connection may be shared across one."""

    def __init__(self) -> None:
        self.settings = settings
        self.keys = Keys(settings.redis.prefix)
        self.redis = connect(settings.state_url, settings.redis.timeout_s)
        self.frames_redis = connect(settings.frames_url, settings.redis.timeout_s)
        self.mailboxes = Mailboxes(self.redis, self.keys, length=settings.logic.mailbox_length)
        self.outbox = Outbox(self.redis, self.keys)
        self.camera_history = CameraHistory(self.redis, self.keys)
        self.dead = DeadLetters(self.redis, self.keys)
        self.paces = Paces(self.redis, self.keys)
        self.board = HealthBoard(self.redis, self.keys)
        self.news = News()
        self.registry = Registry(self.redis, settings)
        # Bounded, for camera names come from outside; a pipeline holds settings, no state, and is made again at will.
        self.pipeline = lru_cache(maxsize=4096)(self._pipeline)
        self.recorder = Recorder(settings.recording.folder) if settings.recording.folder else None
        self.evidence = self._evidence() if settings.evidence.enabled else None
        self._sinks: tuple[Settings, dict[str, Sink]] | None = None
        self._noted_site: Settings | None = None
        self._counters: Counter[str] = Counter()
        self._decided_at: float | None = None
        self._reported_at = 0.0

    def site(self) -> Settings:
        """The settings with the cameras of this moment."""
        return self.registry.settings()

    def _pipeline(self, camera_id: str, cameras: bytes | None) -> Pipeline:
        """The pipeline of a camera under that version of the registry; as in the file where its rules fit no more."""
        try:
            return pipeline_of(self.registry.at(cameras), camera_id)
        except ConfigError as error:
            log.error("camera %s: the rules set at run time are not used: %s", camera_id, error)  # noqa: TRY400 - no fault of ours
            return pipeline_of(self.settings, camera_id)

    @cached_property
    def store(self) -> Store:
        """The store, its tables up to date.

        Raises:
            StoreUnavailable: the database is away; asked again, it tries again.
        """
        store = open_store(self.settings.store_url)
        try:
            store.migrate()
        except BaseException:
            store.close()  # each try opens a store of its own
            raise
        return store

    @property
    def sinks(self) -> dict[str, Sink]:
        """Where alerts go, by name; some name the horses, and are made anew when the cameras have changed."""
        site = self.site()
        if self._sinks is None or self._sinks[0] is not site:
            self._sinks = site, self._made_sinks(site)
        return self._sinks[1]

    def _made_sinks(self, site: Settings) -> dict[str, Sink]:
        try:
            return sinks_of(site, self.redis)
        except ConfigError as error:
            log.error("the cameras set at run time do not suit the sinks: %s", error)  # noqa: TRY400 - no fault of ours
            return sinks_of(self.settings, self.redis)

    def note_cameras(self, now: float) -> None:
        """Let the store know the cameras of this moment, when they are others than at the call before.

        Raises:
            StoreUnavailable: the database is away; the next call does it.
        """
        site = self.site()
        if site is not self._noted_site:
            self.store.record_cameras([(camera.id, camera.horse, camera.enabled) for camera in site.cameras], now)
            self._noted_site = site

    @cached_property
    def routes(self) -> list[Route]:
        """Which alerts go to which of them."""
        return routes_of(self.settings)

    def _evidence(self) -> Evidence:
        frames = FrameQueue(connect(self.settings.frames_url, PICTURES_WITHIN_S), self.keys, settings.frames.max_length)
        return Evidence(self.settings.evidence_folder, frames, self.settings.zone, self.settings.evidence)

    @cached_property
    def bucket(self) -> Bucket | None:
        """Where pictures and films are copied to, if anywhere."""
        return Bucket(self.settings.evidence.s3) if self.settings.evidence.s3.bucket else None

    def report(self, decisions: int, late: int) -> None:
        """Count decisions and results that came late, and tell the health board at most once a second."""
        now = time()
        self._counters.update(decisions=decisions, results_late=late)
        self._decided_at = now if decisions else self._decided_at
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            counters = dict(self._counters)
            if self.recorder is not None:
                counters["recordings_failed"] = self.recorder.failures
            facts = {"late": counters["results_late"]}
            self.board.write(report_of("logic", now=now, progress_at=self._decided_at, facts=facts, counters=counters))


@cache
def runtime() -> Runtime:
    """This process's runtime."""
    return Runtime()
