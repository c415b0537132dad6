"""The watcher outside of Celery, with a real Redis, store and backend, and no Celery at all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from fbtasks.alert import SITE, Alert
from fbtasks.errors import StoreUnavailable
from fbtasks.health import Finding, HealthBoard, Report, Role
from fbtasks.keys import Keys
from fbtasks.logic import watcher as watcher_module
from fbtasks.logic.checkup import findings
from fbtasks.logic.sinks.making import routes_of, sinks_of
from fbtasks.logic.store import Store, open_store
from fbtasks.logic.watcher import FILE, Watcher
from fbtasks.settings import HealthSettings, Settings, WebhookSettings
from fbtasks.transport import connect
from tests.backend import Backend
from tests.servers import Valkey
from tests.waiting import wait_until

STALE_S = 4.0
STEP_S = 2.0


class Site:
    """A site at a time that the test sets, with reports of processes that are not there."""

    def __init__(self, folder: Path, valkey: Valkey, backend: Backend) -> None:
        self.backend = backend
        self.valkey = valkey
        self.now = 1_700_000_000.0
        self.url = f"sqlite:///{folder / 'data' / 'alerts.sqlite'}"
        self.settings = Settings.model_validate(
            {
                "data_dir": folder / "data",
                "redis_url": valkey.url,
                "redis": {"timeout_s": 1.0},
                "health": HealthSettings(interval_s=STEP_S, stale_after_s=STALE_S, start_grace_s=0.0),
                "sinks": {"backend": WebhookSettings.model_validate({"kind": "webhook", "url": backend.url})},
            }
        )
        self.redis: Redis = connect(valkey.url, 1.0)
        self.board = HealthBoard(self.redis, Keys())

    def report(self, *roles: Role) -> None:
        for role in roles:
            self.board.write(Report(role, "stable", 1, self.now, self.now))

    @contextmanager
    def watcher(self, store: Store | None = None) -> Iterator[Watcher]:
        settings = self.settings
        with Watcher(
            settings,
            self.redis,
            self.redis,
            store or open_store(self.url),
            sinks={"backend": sinks_of(settings, self.redis)["backend"]},
            routes=[route for route in routes_of(settings) if route.sink == "backend"],
            clock=lambda: self.now,
        ) as watcher:
            yield watcher

    def look(self, watcher: Watcher, times: int, *alive: Role) -> None:
        """So many looks, between which time goes by and those roles report."""
        for _ in range(times):
            self.now += STEP_S
            if alive:
                self.report(*alive)
            watcher.look()

    def look_until(self, watcher: Watcher, condition: Callable[[], object], *alive: Role) -> None:
        """Look until it is so; a sink that is being told something is told the rest after another look."""

        def looked() -> object:
            self.look(watcher, 1, *alive)
            return condition()

        wait_until(looked, 30, "what the watcher is to tell")

    def told(self) -> list[tuple[str, str]]:
        return [(one.json["event"], one.json["rule"]) for one in self.backend.requests]

    def stored(self) -> list[tuple[str, str]]:
        alerts = open_store(self.url).recent_alerts(100)
        return [(alert.event, alert.rule) for alert in reversed(alerts)]


class AwayStore(Store):
    """A store whose database is away while the test says so."""

    is_away = True

    def record(self, alerts: Sequence[Alert], *rest: Any, **options: Any) -> int:
        self._refuse()
        return super().record(alerts, *rest, **options)

    def migrate(self) -> None:
        self._refuse()
        super().migrate()

    def _refuse(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the database is away")


@pytest.fixture
def site(tmp_path: Path, valkey: Valkey, backend: Backend) -> Site:
    return Site(tmp_path, valkey, backend)


def test_logic_that_consumes_nothing_is_told_without_celery_once_and_its_return_too(site: Site) -> None:
    with site.watcher() as watcher:
        site.look(watcher, 2, "beat", "logic")
        site.look_until(watcher, site.told, "beat")
        assert site.told() == [("raised", "system.logic")]
        site.look(watcher, 5, "beat")
        site.look_until(watcher, lambda: len(site.told()) > 1, "beat", "logic")
        site.look(watcher, 5, "beat", "logic")
    assert site.told() == [("raised", "system.logic"), ("cleared", "system.logic")]
    assert site.stored() == site.told()


def test_beat_that_sends_nothing_is_told_and_the_idle_logic_is_not(site: Site) -> None:
    with site.watcher() as watcher:
        site.look(watcher, 2, "beat", "logic")
        site.look_until(watcher, site.told)
        site.look(watcher, 5)
    assert site.told() == [("raised", "system.beat")]


def test_redis_that_is_away_is_told_and_what_it_hid_is_not_blamed(site: Site) -> None:
    with site.watcher() as watcher:
        site.look(watcher, 2, "beat", "logic")
        site.valkey.kill()
        site.look_until(watcher, site.told)
        site.valkey.restart()
        site.look_until(watcher, lambda: len(site.told()) > 1, "beat", "logic")
    assert site.told() == [("raised", "system.redis"), ("cleared", "system.redis")]


def test_time_in_which_redis_did_not_answer_is_not_the_logics_fault(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    visible_since: list[float] = []

    def slow_findings(*args: Any, **options: Any) -> list[Finding]:
        visible_since.append(options["visible_since"])
        found = findings(*args, **options)
        site.now += STALE_S
        return found

    monkeypatch.setattr(watcher_module, "findings", slow_findings)
    with site.watcher() as watcher:
        site.look(watcher, 1, "beat", "logic")
        site.valkey.pause()
        site.look(watcher, 1)
        away_until = site.now
        site.valkey.resume()
        site.look(watcher, 1, "beat", "logic")
    assert visible_since[1] < visible_since[2] == away_until


@pytest.mark.parametrize("forgets", [False, True])
def test_a_watcher_that_is_started_again_goes_on(site: Site, forgets: bool) -> None:
    with site.watcher() as watcher:
        site.look_until(watcher, site.told, "beat")
    if forgets:
        (site.settings.data_dir / FILE).unlink()
    with site.watcher() as watcher:
        site.look(watcher, 6, "beat")
        site.look_until(watcher, lambda: len(site.told()) > 1, "beat", "logic")
    assert site.told() == [("raised", "system.logic"), ("cleared", "system.logic")]


def test_with_the_store_away_the_sinks_are_told_all_the_same_and_the_store_learns_of_it_later(site: Site) -> None:
    opened = open_store(site.url)
    store = AwayStore(opened._engine)
    with site.watcher(store) as watcher:
        site.look_until(watcher, lambda: ("raised", "system.logic") in site.told(), "beat")
        store.is_away = False
        site.look(watcher, 2, "beat")
        assert ("raised", "system.logic") in site.stored()
        site.look_until(watcher, lambda: ("cleared", "system.logic") in site.told(), "beat", "logic")
    assert len(site.told()) == len(set(site.told()))
    assert not open_store(site.url).due(site.now, 10), "Celery would send it once more"
    assert not open_store(site.url).open_episodes(SITE)


def test_a_backend_that_refuses_is_told_later(site: Site) -> None:
    site.backend.answer_with([503])
    with site.watcher() as watcher:
        site.look_until(watcher, lambda: len(site.told()) > 1, "beat")
    first, second = site.backend.requests[:2]
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
