"""What the store forgets after its time, and what it never forgets; the cameras that it knows."""

from collections.abc import Iterator

import pytest

from fbtasks.alert import Alert, alert_id
from fbtasks.logic.attention import Mute
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import Store, Wanted, open_store
from tests.alerts import STARTED_AT, first_alert
from tests.integration.databases import database_url, mariadb, postgres

__all__ = ["database_url", "mariadb", "postgres"]
NOW = STARTED_AT + 100.0
LATER = STARTED_AT + 1_000_000.0
ROUTE = Route("backend")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = open_store(database_url)
    opened.migrate()
    yield opened
    opened.close()


def record(store: Store, camera_id: str, *, cleared: bool) -> list[Alert]:
    """An episode, told of to its end or still open."""
    raised = first_alert(camera_id)
    over = raised.model_copy(update={"number": 1, "id": alert_id(raised.episode_id, 1), "event": "cleared"})
    alerts = [raised, over] if cleared else [raised]
    store.record(alerts, [ROUTE], NOW)
    return alerts


def deliver_all(store: Store, alert: Alert) -> None:
    while (claim := store.claim(str(alert.episode_id), "backend", NOW, 30.0)) is not None:
        store.delivered(claim, NOW)


def cameras(store: Store) -> list[str]:
    return sorted(episode.camera_id for episode in store.episodes(Wanted(), 100))


def test_what_is_over_and_delivered_goes_with_all_that_belongs_to_it(store: Store) -> None:
    for camera_id in ("over-1", "over-2", "over-3", "open", "undelivered"):
        alerts = record(store, camera_id, cleared=camera_id != "open")
        if camera_id != "undelivered":
            deliver_all(store, alerts[0])
    assert store.forget_episodes(STARTED_AT, 10) == 0, "nothing is so old"
    assert [store.forget_episodes(LATER, 2) for _ in range(3)] == [2, 1, 0]
    assert cameras(store) == ["open", "undelivered"]
    assert {alert.camera_id for alert in store.recent_alerts(100)} == {"open", "undelivered"}
    assert store.backlog(NOW).pending == 2


def test_a_dead_letter_is_forgotten_like_what_was_delivered(store: Store) -> None:
    [raised, _] = record(store, "box-1", cleared=True)
    while (claim := store.claim(str(raised.episode_id), "backend", NOW, 30.0)) is not None:
        store.failed(claim, "refused", NOW, None)
    assert store.forget_episodes(LATER, 10) == 1
    assert store.dead_letters() == []


def test_mutes_that_ended_are_forgotten(store: Store) -> None:
    for until in (NOW + 10.0, NOW + 1000.0):
        store.mute(Mute(0, "box-1", "lying" if until > NOW + 10 else None, NOW, until, False, "Ada"))
    assert store.forget_mutes(NOW + 100.0) == 1
    assert [one.until for one in store.mutes(NOW + 100.0)] == [NOW + 1000.0]


def test_the_cameras_that_there_are_and_were(store: Store) -> None:
    assert store.record_cameras([("box-1", "Ada", True), ("Box-1", "", True)], 100.0) == 2
    assert store.record_cameras([("box-1", "Ada", True), ("Box-1", "", True)], 200.0) == 0
    assert store.record_cameras([("box-1", "Bea", False)], 300.0) == 2
    assert store.record_cameras([("box-1", "Bea", False)], 400.0) == 0
    gone, there = sorted(store.known_cameras(), key=lambda camera: camera.id)
    assert (gone.id, gone.added_at, gone.removed_at) == ("Box-1", 100.0, 300.0)
    assert (there.horse, there.enabled, there.added_at, there.changed_at) == ("Bea", False, 100.0, 300.0)
    assert there.removed_at is None
    assert store.record_cameras([("box-1", "Bea", False), ("Box-1", "", True)], 500.0) == 1
    assert all(camera.removed_at is None for camera in store.known_cameras())
