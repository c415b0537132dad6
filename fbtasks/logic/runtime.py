"""What the tasks of one worker process share: connections, the store, the sinks, the pipelines."""

from collections import Counter
from functools import cache, cached_property, lru_cache, partial
from time import time

from fbtasks.celery import settings
from fbtasks.health import REPORT_EVERY_S, HealthBoard, report_of
from fbtasks.keys import Keys
from fbtasks.logic.evidence import Evidence
from fbtasks.logic.recorder import Recorder
from fbtasks.logic.sinks import Sink
from fbtasks.logic.sinks.pubsub import PubSub
from fbtasks.logic.sinks.webhook import webhook_of
from fbtasks.logic.site import pipeline_of
from fbtasks.logic.store import Store, open_store
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.transport import DeadLetters, FrameQueue, connect

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
        self.dead = DeadLetters(self.redis, self.keys)
        self.board = HealthBoard(self.redis, self.keys)
        # Bounded, for camera names come from outside; a pipeline holds settings, no state, and is made again at will.
        self.pipeline = lru_cache(maxsize=4096)(partial(pipeline_of, settings))
        self.recorder = Recorder(settings.recording.folder) if settings.recording.folder else None
        self.evidence = self._evidence() if settings.evidence.enabled else None
        self._counters: Counter[str] = Counter()
        self._decided_at: float | None = None
        self._reported_at = 0.0

    @cached_property
    def store(self) -> Store:
        """The store, its tables up to date.

        Raises:
            StoreUnavailable: the database is away; asked again, it tries again.
        """
        store = open_store(self.settings.store_url)
        store.migrate()
        return store

    @cached_property
    def sinks(self) -> dict[str, Sink]:
        """Where alerts go, by name: Redis pub/sub always, the backend's webhook when it has a URL."""
        pubsub = PubSub(self.redis, self.keys.alerts_channel, self.settings.redis.timeout_s)
        webhook = webhook_of(self.settings.webhook)
        sinks: list[Sink] = [pubsub, webhook] if webhook else [pubsub]
        return {sink.name: sink for sink in sinks}

    def _evidence(self) -> Evidence:
        frames = FrameQueue(connect(self.settings.frames_url, PICTURES_WITHIN_S), self.keys, settings.frames.max_length)
        return Evidence(self.settings.evidence_folder, frames, self.settings.zone)

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
