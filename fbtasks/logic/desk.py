"""The alerts desk: what people may ask of the alerts, whether by the command line or by a web page.

Works on the store alone, beside whatever runs. What it changes is told to the sinks by the next sweep, within seconds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time

from fbtasks.alert import SITE
from fbtasks.errors import RequestRefused
from fbtasks.logic.attention import STORM, Mute
from fbtasks.logic.localtime import Zone
from fbtasks.logic.plugins import known_rules
from fbtasks.logic.sinks.making import routes_of
from fbtasks.logic.store import AlertView, DeliveryView, Detail, EpisodeView, Store, Wanted, open_store
from fbtasks.logic.store.schema import NAME_LENGTH, NOTE_LENGTH
from fbtasks.logic.system import PARTS
from fbtasks.naming import nearest
from fbtasks.settings import Settings

LATELY_S = 7 * 86_400.0
LONGEST_MUTE_MIN = 7 * 24 * 60.0
"""A week: whoever wants none for longer switches the rule off, which everybody can see in the settings."""


class Desk:
    """The desk of one site. Every method may raise `StoreUnavailable`; all times are unix seconds."""

    def __init__(self, settings: Settings, store: Store, clock: Callable[[], float] = time) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock

    @property
    def zone(self) -> Zone:
        """The stable's time zone."""
        return self._settings.zone

    @property
    def evidence_folder(self) -> Path:
        """Where pictures and clips are, as the settings of this machine say."""
        return self._settings.evidence_folder

    def episodes(self, wanted: Wanted, limit: int = 100) -> list[EpisodeView]:
        """The episodes that are wanted: the open ones first, then by their last change, the newest first.

        Raises:
            RequestRefused: there is no such camera or rule.
        """
        self._check_names(wanted.camera_id, wanted.rule)
        return self._store.episodes(wanted, limit)

    def find(self, beginning: str) -> str:
        """The identifier of the one episode that begins so; that of one of its alerts will do.

        Raises:
            RequestRefused: there is none, or there are several.
        """
        wanted = beginning.strip().lower().partition(":")[0]
        found = self._store.episodes_begun_with(wanted) if wanted else []
        if not found:
            raise RequestRefused(f"no alert begins with {beginning!r}; `fbtasks alerts list --all` shows all there are")
        if len(found) > 1 and wanted not in found:
            raise RequestRefused(f"several alerts begin with {beginning!r}: {', '.join(found)}; write more of it")
        return found[0]

    def show(self, beginning: str) -> Detail:
        """All that is known of an episode.

        Raises:
            RequestRefused: as `find`.
        """
        return self._store.detail(self.find(beginning))

    def acknowledge(self, beginning: str, by: str, note: str | None = None) -> tuple[EpisodeView, bool]:
        """Note that somebody has seen to an open episode, and tell the sinks, once.

        It stays open until it is cleared. When it grows graver it is told of again and wants a new acknowledgement.

        Returns:
            The episode as it is now, and whether this was the first acknowledgement at its present severity.

        Raises:
            RequestRefused: as `find`; or it is over; or the name or the note is too long, or there is no name.
        """
        _check_length("the name", by, NAME_LENGTH)
        if not by.strip():
            raise RequestRefused("say who acknowledges: the name is empty")
        _check_length("the note", note or "", NOTE_LENGTH)
        identifier = self.find(beginning)
        told = self._store.acknowledge(identifier, routes_of(self._settings), self._clock(), by=by, note=note)
        episode = self._store.detail(identifier).episode
        if told is None and episode.state == "cleared":
            raise RequestRefused(f"this alert is over by itself, nothing is left to acknowledge: {episode.message}")
        return episode, told is not None

    def mute(
        self, camera_id: str | None, rule: str | None, minutes: float, by: str, *, even_critical: bool = False
    ) -> Mute:
        """Hold back the alerts of a camera (None: of all) and a rule (None: of all) from now on, for so many minutes.

        They are stored all the same. What is still open when the mute ends is told then. Critical alerts, and what
        grows critical, are told at once, unless `even_critical`.

        Raises:
            RequestRefused: there is no such camera or rule, the time is not between none and a week, or the name is too
                long.
        """
        self._check_names(camera_id, rule)
        _check_length("the name", by, NAME_LENGTH)
        if not 0 < minutes <= LONGEST_MUTE_MIN:
            raise RequestRefused(f"alerts can be muted for 1 to {LONGEST_MUTE_MIN:.0f} minutes, not for {minutes:g}")
        now = self._clock()
        until = now + 60 * minutes
        return self._store.mute(Mute(0, camera_id, rule, now, until, even_critical=even_critical, by=by))

    def unmute(self, camera_id: str | None, rule: str | None) -> list[Mute]:
        """End the mutes of a camera (None: all mutes) and rule (None: of any); returns those that it ended.

        Raises:
            RequestRefused: there is no such camera or rule.
        """
        self._check_names(camera_id, rule)
        return self._store.unmute(camera_id, rule, self._clock())

    def mutes(self) -> list[Mute]:
        """The mutes that hold now, the first to end first."""
        return self._store.mutes(self._clock())

    def recorded_since(self, since: float, limit: int = 1000) -> list[AlertView]:
        """The newest alerts that were stored then or later, oldest first, without their deliveries."""
        return self._store.recorded_since(since, limit)

    def dead_letters(self, beginning: str | None = None) -> list[DeliveryView]:
        """The deliveries that were given up, of one episode or of all, the longest ago first.

        Raises:
            RequestRefused: as `find`.
        """
        return self._store.dead_letters(self.find(beginning) if beginning is not None else None)

    def retry(self, beginning: str | None = None) -> int:
        """Have deliveries that were given up tried anew, of one episode or of all; returns how many.

        Raises:
            RequestRefused: as `find`.
        """
        return self._store.retry(self.find(beginning) if beginning is not None else None, self._clock())

    def _check_names(self, camera_id: str | None, rule: str | None) -> None:
        """A mute or a filter with a mistyped name would do nothing, and nobody would notice."""
        cameras = [camera.id for camera in self._settings.cameras]
        if camera_id not in (None, SITE, *cameras) and not self._is_watched(str(camera_id)):
            raise RequestRefused(f"there is no camera {camera_id!r}{nearest(str(camera_id), cameras)}")
        rules = [*known_rules(), STORM, *(part.rule for part in PARTS.values())]
        if rule not in (None, *rules) and not self._store.episodes(Wanted(rule=rule), 1):
            raise RequestRefused(f"there is no rule {rule!r}{nearest(str(rule), rules)}")

    def _is_watched(self, camera_id: str) -> bool:
        """Whether there is a camera of that name that these settings do not know of."""
        now = self._clock()
        lately = self._store.watched_cameras(now - LATELY_S, now)
        return camera_id in lately or bool(self._store.episodes(Wanted(camera_id=camera_id), 1))


def _check_length(what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise RequestRefused(f"{what} is too long: {len(text)} characters, {most} at most")


@contextmanager
def open_desk(settings: Settings) -> Iterator[Desk]:
    """The desk of a site, its store's tables up to date.

    Raises:
        StoreUnavailable: the database is away.
        ConfigError: it cannot be opened as it is set, or was made by a newer build.
    """
    store = open_store(settings.store_url)
    try:
        store.migrate()
        yield Desk(settings, store)
    finally:
        store.close()
