"""The SQL store on every database it supports."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from fbtasks.alert import Alert, Event, alert_id, episode_id
from fbtasks.errors import ConfigError, StoreUnavailable
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import Claim, Store, open_store
from fbtasks.logic.store.engine import make_engine
from fbtasks.logic.store.schema import metadata
from tests.integration.databases import DatabaseServer, database_server, database_url, mariadb, postgres
from tests.integration.racing import Race, fork_server, race
from tests.waiting import wait_until

__all__ = ["database_server", "database_url", "fork_server", "mariadb", "postgres", "race"]

T0 = 1_700_000_000.123_456_7
LEASE_S = 30.0
SINKS = (Route("webhook"), Route("pubsub"))


def make_alert(number: int, event: Event, camera_id: str = "box-1", began: float = T0) -> Alert:
    episode = episode_id(camera_id, "lying", 3, began)
    return Alert(
        id=alert_id(episode, number),
        episode_id=episode,
        number=number,
        event=event,
        camera_id=camera_id,
        rule="lying",
        severity="warning",
        track_id=3,
        started_at=began,
        at=began + 60 * (number + 1),
        message="Liegt seit 10 Minuten, bitte prüfen 🐴",
        evidence={"seconds": 600.25, "posture": "lying", "blind": None},
    )


RAISED, ESCALATED, CLEARED = make_alert(0, "raised"), make_alert(1, "escalated"), make_alert(2, "cleared")
EPISODE = str(RAISED.episode_id)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(open_store(database_url)) as opened:
        opened.migrate()
        yield opened


def take(store: Store, now: float = T0, sink: str = "webhook", episode: str = EPISODE) -> Claim:
    claim = store.claim(episode, sink, now, LEASE_S)
    assert claim is not None
    return claim


def rows(url: str, table: str) -> int:
    engine = make_engine(url)
    with engine.begin() as connection:
        counted = connection.scalar(text(f"SELECT count(*) FROM {table}"))
    engine.dispose()
    return int(counted or 0)


def test_an_alert_is_recorded_once_and_comes_back_unchanged(store: Store) -> None:
    assert store.record([RAISED, RAISED], SINKS, T0) == 1
    assert store.record([RAISED, ESCALATED], SINKS, T0 + 5) == 1
    assert store.recent_alerts(10) == [ESCALATED, RAISED]
    assert store.recent_alerts(1) == [ESCALATED]
    assert store.backlog(T0 + 7).pending == 4
    assert store.backlog(T0 + 7).oldest_pending_s == pytest.approx(7, abs=1e-6)


def test_nothing_to_record_and_no_sinks(store: Store) -> None:
    assert store.record([], SINKS, T0) == 0
    assert store.record([RAISED], [], T0) == 1
    assert store.due(T0, 10) == []


def test_a_recording_that_fails_leaves_nothing(store: Store) -> None:
    impostor = RAISED.model_copy(update={"id": "another id of the same event"})
    with pytest.raises(IntegrityError):
        store.record([make_alert(0, "raised", "box-2"), RAISED, impostor], SINKS, T0)
    assert store.recent_alerts(10) == []
    assert store.open_episodes("box-2") == []
    assert store.record([RAISED], SINKS, T0) == 1


def test_evidence_that_is_no_number_does_not_block_the_outbox(store: Store) -> None:
    odd = RAISED.model_copy(update={"evidence": {"speed": float("nan"), "limit": float("inf")}})
    assert store.record([odd], SINKS, T0) == 1
    assert store.recent_alerts(1)[0].evidence == {"speed": None, "limit": None}


def test_open_episodes_are_told_by_their_last_alert(store: Store) -> None:
    later, other = make_alert(0, "raised", began=T0 + 100), make_alert(0, "raised", "BOX-1")
    store.record([later, RAISED, other], SINKS, T0)
    assert store.open_episodes("box-1") == [RAISED, later]
    store.record([ESCALATED], SINKS, T0)
    assert store.open_episodes("box-1") == [ESCALATED, later]
    store.record([CLEARED], SINKS, T0)
    assert store.open_episodes("box-1") == [later]
    assert store.open_episodes("BOX-1") == [other]


def test_recording_an_old_alert_again_does_not_reopen_its_episode(store: Store) -> None:
    store.record([RAISED, CLEARED], SINKS, T0)
    store.record([RAISED], SINKS, T0)
    assert store.open_episodes("box-1") == []


def test_a_clear_waits_for_its_raise(store: Store) -> None:
    store.record([RAISED, CLEARED], [Route("webhook")], T0)
    first = take(store)
    assert (first.alert, first.attempt, first.since) == (RAISED, 1, T0)
    assert store.claim(EPISODE, "webhook", T0, LEASE_S) is None
    store.failed(first, "no answer", T0, T0 + 60)
    assert store.due(T0 + 59, 10) == []
    assert store.claim(EPISODE, "webhook", T0 + 59, LEASE_S) is None
    assert store.due(T0 + 60, 10) == [(EPISODE, "webhook")]
    again = take(store, T0 + 60)
    assert (again.alert, again.attempt, again.since) == (RAISED, 2, T0)
    store.delivered(again, T0 + 61)
    assert take(store, T0 + 61).alert == CLEARED


def test_a_dead_raise_lets_its_clear_go(store: Store) -> None:
    store.record([RAISED, CLEARED], [Route("webhook")], T0)
    store.failed(take(store), "x" * 10_000, T0 + 1, None)
    assert take(store, T0 + 1).alert == CLEARED
    assert store.backlog(T0 + 2).dead == 1
    assert store.backlog(T0 + 2, dead_within_s=0.5).dead == 0


def test_sinks_and_episodes_do_not_wait_for_each_other(store: Store) -> None:
    other = make_alert(0, "raised", "box-2")
    store.record([RAISED], SINKS, T0)
    store.record([other], [Route("webhook")], T0 - 1)
    assert store.due(T0, 10)[0] == (str(other.episode_id), "webhook")
    assert set(store.due(T0, 10)[1:]) == {(EPISODE, "webhook"), (EPISODE, "pubsub")}
    assert len(store.due(T0, 2)) == 2
    store.failed(take(store), "down", T0, T0 + 60)
    assert take(store, sink="pubsub").alert == RAISED
    assert take(store, episode=str(other.episode_id)).alert == other


def test_a_claim_runs_out_with_its_lease(store: Store) -> None:
    store.record([RAISED], [Route("webhook")], T0)
    lost = take(store)
    assert store.claim(EPISODE, "webhook", T0 + LEASE_S - 1, LEASE_S) is None
    heir = take(store, T0 + LEASE_S)
    assert heir.attempt == 2
    store.failed(lost, "late news", T0 + LEASE_S + 1, T0 + LEASE_S + 1)
    assert store.claim(EPISODE, "webhook", T0 + LEASE_S + 1, LEASE_S) is None, "the heir's claim holds"
    store.delivered(lost, T0 + LEASE_S + 2)
    store.failed(heir, "refused as seen before", T0 + LEASE_S + 3, None)
    assert store.backlog(T0 + LEASE_S + 4) == store.backlog(T0, dead_within_s=1e9)
    assert (store.backlog(T0).pending, store.backlog(T0).dead) == (0, 0)


def test_any_reason_of_a_failure_is_noted(store: Store) -> None:
    store.record([RAISED], [Route("webhook")], T0)
    store.failed(take(store), "the siren said \0 and \udcff", T0, None)
    (dead,) = store.dead_letters()
    assert dead.last_error == "the siren said  and ?"


def test_migrations_make_the_schema_of_the_code(store: Store, database_url: str) -> None:
    store.migrate()
    engine = make_engine(database_url)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


def test_a_migration_that_was_cut_off_is_completed(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        metadata.tables["episodes"].create(connection)
    engine.dispose()
    with closing(open_store(database_url)) as opened:
        opened.migrate()
        assert opened.record([RAISED], SINKS, T0) == 1


def test_a_database_of_a_newer_build_is_refused(store: Store, database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with closing(open_store(database_url)) as other:
        for opened in (store, other, store):
            with pytest.raises(ConfigError, match="newer"):
                opened.migrate()


def migrate(url: str) -> None:
    with closing(open_store(url)) as opened:
        opened.migrate()


def migrate_each(urls: list[str]) -> None:
    for url in urls:
        migrate(url)


def test_new_databases_migrated_by_processes_at_once(database_server: DatabaseServer, race: Race) -> None:
    """Many, because what goes wrong here goes wrong seldom."""
    race.run(migrate_each, [database_server.create_database() for _ in range(12)])


def record_all(url: str, alerts: list[Alert]) -> int:
    with closing(open_store(url)) as opened:
        return sum(opened.record(alerts[first : first + 5], SINKS, T0) for first in range(0, len(alerts), 5))


def claim_all(url: str) -> list[tuple[str, str]]:
    claimed = []
    with closing(open_store(url)) as opened:
        while due := opened.due(T0, 5):
            for episode, sink in due:
                if claim := opened.claim(episode, sink, T0, LEASE_S):
                    claimed.append((claim.alert.id, sink))
                    opened.delivered(claim, T0)
    return claimed


def test_processes_at_once(database_url: str, race: Race) -> None:
    """Migrate, record the same alerts and deliver them, each in four processes at the same moment."""
    events: tuple[Event, ...] = ("raised", "escalated", "cleared")
    alerts = [make_alert(number, events[number], f"box-{camera}") for number in range(3) for camera in range(10)]
    race.run(migrate, database_url)
    recorded = race.run(record_all, database_url, alerts)
    assert sum(recorded) == len(alerts) == rows(database_url, "alerts")
    assert rows(database_url, "deliveries") == len(alerts) * len(SINKS)
    claimed = [claim for claims in race.run(claim_all, database_url) for claim in claims]
    assert len(claimed) == len(set(claimed)) == len(alerts) * len(SINKS)


def test_processes_at_once_in_different_orders(database_url: str, race: Race) -> None:
    """Transactions over the same episodes in opposite orders do not end each other for good."""
    migrate(database_url)
    raises = [make_alert(0, "raised", f"box-{camera}") for camera in range(40)]
    race.run(record_shuffled, database_url, raises)
    assert rows(database_url, "alerts") == len(raises)


def record_shuffled(url: str, alerts: list[Alert]) -> None:
    own_order = sorted(alerts, key=lambda alert: hash((os.getpid(), alert.id)))
    with closing(open_store(url)) as opened:
        for first in range(0, len(own_order), 4):
            opened.record(own_order[first : first + 4], SINKS, T0)


def test_a_killed_writer_leaves_whole_recordings(database_url: str, fork_server: ForkServerContext) -> None:
    migrate(database_url)
    writer = fork_server.Process(target=record_for_ever, args=(database_url,))
    writer.start()
    wait_until(lambda: rows(database_url, "alerts") > 20, 30, "the writer to have written")
    writer.kill()
    writer.join(10)
    assert writer.exitcode == -signal.SIGKILL
    alerts = rows(database_url, "alerts")
    assert alerts % 2 == 0
    assert rows(database_url, "deliveries") == alerts * len(SINKS)
    assert rows(database_url, "episodes") == alerts / 2
    with closing(open_store(database_url)) as opened:
        assert opened.record([make_alert(0, "raised", "after")], SINKS, T0) == 1


def record_for_ever(url: str) -> None:
    opened = open_store(url)
    began = T0
    while True:
        began += 1
        opened.record([make_alert(0, "raised", began=began), make_alert(1, "cleared", began=began)], SINKS, T0)


def test_the_store_heals_when_its_server_restarts(database_server: DatabaseServer) -> None:
    with closing(open_store(database_server.create_database())) as opened:
        opened.migrate()
        opened.record([RAISED], SINKS, T0)
        database_server.kill()
        with pytest.raises(StoreUnavailable):
            opened.record([ESCALATED], SINKS, T0)
        with pytest.raises(StoreUnavailable):
            opened.migrate()
        database_server.start()
        assert opened.record([RAISED, ESCALATED], SINKS, T0) == 1


def test_sqlite_survives_power_loss_by_its_settings(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new folder' / 'alerts.sqlite'}"
    migrate(url)
    engine = make_engine(url)
    with engine.begin() as connection:
        found = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    engine.dispose()
    assert found == ["wal", 2, 1]


def test_a_locked_sqlite_is_unavailable(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'alerts.sqlite'}"
    migrate(url)
    other = make_engine(url)
    with closing(open_store(f"{url}?timeout=0.1")) as opened, other.begin() as connection:
        connection.execute(text("UPDATE episodes SET state = 'open'"))
        with pytest.raises(StoreUnavailable, match="locked"):
            opened.record([RAISED], SINKS, T0)
        assert opened.recent_alerts(1) == [], "readers go on"
    other.dispose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense:hunter2", "is no URL"),
        ("postgresql://me:hunter2@host:port/db", "is no URL"),
        ("oracle://me:hunter2@host/db", "'oracle' is not supported"),
        ("sqlite://", "names no SQLite file"),
        ("sqlite:///:memory:", "names no SQLite file"),
        ("mysql+nosuchdriver://me:hunter2@host/db", "no driver"),
        ("postgresql+pg8000://me:hunter2@host/db", "pg8000 is missing"),
    ],
)
def test_a_wrong_url_is_refused_without_showing_it(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "mysql", "mariadb"])
def test_a_server_that_is_not_there(scheme: str) -> None:
    with closing(open_store(f"{scheme}://me:hunter2@127.0.0.1:1/db")) as opened:
        with pytest.raises(StoreUnavailable) as caught:
            opened.due(T0, 1)
        assert "hunter2" not in str(caught.value)
