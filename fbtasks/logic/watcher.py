"""The watcher outside of Celery: it notices when Celery is there and does nothing, and can tell somebody all the same.

It looks after the parts that the check in the logic cannot: while one of them is down, that check is not made, or
nobody hears of it. What it raises goes into the store and out by its own hands, under the same claims by which Celery
delivers: whoever is first sends it, once. Where the store is away, the sinks are told directly, and an episode that
began so goes on so. What it knows is kept in a file, so that it may be started again at any time.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import msgspec
from redis import Redis

from fbtasks.alert import SITE, Alert
from fbtasks.errors import DeliveryFailed, StoreUnavailable
from fbtasks.health import Finding
from fbtasks.logic.checkup import findings
from fbtasks.logic.delivery import deliver_next
from fbtasks.logic.pace import Pace
from fbtasks.logic.sinks import Sink
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import Store
from fbtasks.logic.system import OUTSIDE, Troubles, troubles_of
from fbtasks.redaction import redact
from fbtasks.settings import Settings

log = logging.getLogger(__name__)

FILE = "watch.json"
"""In the data folder."""
MOST_EPISODES = 50
"""As many of the newest episodes are still delivered; older ones are Celery's alone."""
DUE_AT_ONCE = 100


class Errand(msgspec.Struct):
    """An alert that is told without the store.

    Attributes:
        alert: as JSON.
        left: the sinks that have not taken it yet.
    """

    alert: str
    left: list[str]


class Memory(msgspec.Struct):
    """What the watcher must not forget.

    Attributes:
        troubles: what is down.
        unstored: alerts that the store has not taken yet, as JSON, in their order.
        episodes: identifiers of the episodes in the store that it delivers, the newest last.
        direct: those that are told without the store.
        errands: what is still to be told of these, in its order.
    """

    troubles: Troubles = msgspec.field(default_factory=Troubles)
    unstored: list[str] = []
    episodes: list[str] = []
    direct: list[str] = []
    errands: list[Errand] = []


class Watcher:
    """Looks when it is told to. A context: at its end what is being sent is sent to its end.

    Args:
        store: its tables may be missing yet.
        sinks: by name.
        routes: which of them hears of what.
        clock: unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        frames_redis: Redis,
        store: Store,
        *,
        sinks: Mapping[str, Sink],
        routes: Sequence[Route],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._frames_redis = frames_redis
        self._store = store
        self._sinks = sinks
        self._routes = routes
        self._clock = clock
        self._file = settings.data_dir / FILE
        self._memory: Memory | None = None
        self._lock = Lock()
        self._visible_since = clock()
        self._is_migrated = False
        self._messengers = ThreadPoolExecutor(max_workers=max(1, len(sinks)), thread_name_prefix="sink")
        self._sending: dict[str, Future[None]] = {}
        self._paces = {name: Pace() for name in sinks}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._messengers.shutdown(cancel_futures=True)

    def look(self) -> list[Finding]:
        """Look once, and tell what has to be told; each sink is told in a thread of its own."""
        now = self._clock()
        with suppress(StoreUnavailable):
            self._migrate()
        found = findings(
            self._settings,
            self._redis,
            self._frames_redis,
            self._store,
            now=now,
            visible_since=self._visible_since,
        )
        if any(finding.subject == "beat" and finding.level == "unknown" for finding in found):
            # When Redis is back, the reports in it are old. It was away until now: this look has waited for its answer.
            self._visible_since = self._clock()
        memory = self._remembered()
        alerts = memory.troubles.step(found, OUTSIDE, now=now, patience_s=self._settings.health.stale_after_s)
        for alert in alerts:
            log.warning("%s: %s", alert.event, redact(alert.message))
        self._file_alerts(memory, alerts)
        for name in self._sinks:
            self._send(name)
        return found

    def _remembered(self) -> Memory:
        if self._memory is None:
            self._memory = _read(self._file) or Memory(troubles_of(self._open_episodes(), OUTSIDE))
        return self._memory

    def _open_episodes(self) -> list[Alert]:
        """None where the store is away: what it holds open is then raised once more, sooner than never."""
        try:
            return self._store.open_episodes(SITE)
        except StoreUnavailable:
            return []

    def _migrate(self) -> None:
        if not self._is_migrated:
            self._store.migrate()
            self._is_migrated = True

    def _file_alerts(self, memory: Memory, alerts: Sequence[Alert]) -> None:
        """Put what is new into the store. An episode that it does not take from its beginning goes out without it."""
        if alerts:
            with self._lock:
                memory.unstored += [alert.model_dump_json() for alert in alerts]
                memory.errands += [self._errand(alert) for alert in alerts if str(alert.episode_id) in memory.direct]
                self._keep()
        while memory.unstored:
            alert = Alert.model_validate_json(memory.unstored[0])
            episode = str(alert.episode_id)
            if not self._record(alert, [] if episode in memory.direct else self._routes):
                self._go_direct(memory)
                return
            with self._lock:
                del memory.unstored[0]
                if episode not in memory.direct:
                    memory.episodes = [*(one for one in memory.episodes if one != episode), episode][-MOST_EPISODES:]
                self._keep()

    def _go_direct(self, memory: Memory) -> None:
        """Tell without the store of the episodes whose beginning it has not taken."""
        waiting = [Alert.model_validate_json(alert) for alert in memory.unstored]
        begun = {str(alert.episode_id) for alert in waiting if alert.event == "raised"} - set(memory.direct)
        with self._lock:
            memory.direct = [*memory.direct, *sorted(begun)][-MOST_EPISODES:]
            memory.errands += [self._errand(alert) for alert in waiting if str(alert.episode_id) in begun]
            self._keep()

    def _errand(self, alert: Alert) -> Errand:
        audience = [route.sink for route in self._routes if route.concerns(alert.camera_id, alert.rule)]
        return Errand(alert.model_dump_json(), audience)

    def _record(self, alert: Alert, routes: Sequence[Route]) -> bool:
        try:
            self._migrate()
            self._store.record([alert], routes, self._clock())
        except StoreUnavailable as error:
            log.warning("%s", redact(str(error)))
            return False
        return True

    def _send(self, sink: str) -> None:
        """Begin to tell a sink what it has not been told, unless that is going on."""
        sending = self._sending.get(sink)
        if sending is not None and not sending.done():
            return
        if sending is not None and (error := sending.exception()) is not None:
            log.error("telling %s failed", sink, exc_info=error)
        self._sending[sink] = self._messengers.submit(self._tell, sink)

    def _tell(self, sink: str) -> None:
        memory = self._remembered()
        for errand in [one for one in memory.errands if sink in one.left]:
            try:
                self._sinks[sink].send(Alert.model_validate_json(errand.alert))
            except DeliveryFailed as failure:
                log.warning("%s was not told: %s", sink, redact(str(failure)))
                if failure.retryable:
                    return
            with self._lock:
                errand.left.remove(sink)
                memory.errands = [one for one in memory.errands if one.left]
                self._keep()
        self._deliver(sink, set(memory.episodes))

    def _deliver(self, sink: str, mine: set[str]) -> None:
        try:
            due = self._store.due(self._clock(), DUE_AT_ONCE, sink) if mine else []
            for episode in [episode for episode, _ in due if episode in mine]:
                deliver_next(
                    self._store,
                    self._sinks,
                    episode,
                    sink,
                    self._paces[sink],
                    settings=self._settings.delivery,
                    clock=self._clock,
                )
        except StoreUnavailable as error:
            log.warning("%s", redact(str(error)))

    def _keep(self) -> None:
        """Write the memory, whole or not at all, under the lock."""
        unfinished = self._file.with_suffix(".part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(msgspec.json.encode(self._memory))
            unfinished.replace(self._file)
        except OSError as error:
            log.warning("%s: cannot be written (%s): what is down is forgotten with this process", self._file, error)


def _read(file: Path) -> Memory | None:
    """What was kept, None where there is nothing, or nothing that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Memory)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s: cannot be read (%s); starting without it", file, error)
        return None
