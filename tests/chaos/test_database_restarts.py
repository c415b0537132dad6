"""PostgreSQL is killed under load, once in the middle of a transaction. No alert is lost, none is stored twice.

CHAOS_KILLS=20 makes it a long test.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import text

from fbtasks.alert import Alert, Event, alert_id, episode_id
from fbtasks.keys import Keys
from fbtasks.logic.store import Store, open_store
from fbtasks.logic.store.engine import make_engine
from fbtasks.mailbox import Outbox
from tests.acceptance.stable import Stable
from tests.alerts import STARTED_AT, as_decided
from tests.backend import Backend
from tests.integration.databases import Postgres, postgres
from tests.waiting import wait_until

__all__ = ["postgres"]

KILLS = int(os.environ.get("CHAOS_KILLS", "3"))
IN_TRANSACTION = 1
"""In this round the worker's transaction is open when the server dies."""
EVENTS: tuple[Event, ...] = ("raised", "escalated", "cleared")
EPISODES = 15
"""That begin in each round, and go on with one event before and one event after the kill."""
SETTINGS = """
[store]
url = "{store}"

[sinks.backend]
kind = "webhook"
url = "{backend}"
timeout_s = 2

[delivery]
max_per_s = 500
backoff_max_s = 2
"""


def event(number: int, round_number: int, place: int) -> Alert:
    """Event `number` of the episode at `place` of a round."""
    camera_id = f"box-{round_number}-{place}"
    episode = episode_id(camera_id, "lying", 1, STARTED_AT)
    return Alert(
        id=alert_id(episode, number),
        episode_id=episode,
        number=number,
        event=EVENTS[number],
        camera_id=camera_id,
        rule="lying",
        severity="warning",
        track_id=1,
        started_at=STARTED_AT,
        at=STARTED_AT + number,
        message="lies",
    )


class Load:
    """What a logic that goes on working puts into the outbox."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.put: list[Alert] = []

    def commit(self, number: int, round_number: int) -> None:
        """One event for each episode of the round."""
        for place in range(EPISODES):
            alert = event(number, round_number, place)
            self._redis.xadd(Keys().outbox, {"d": alert.model_dump_json()})
            self.put.append(alert)


def kill_all(server: Postgres) -> None:
    """SIGKILL to the server and all that it has started, which would else end by themselves, in order."""
    pid = server.pid
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    server.kill()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), message="all of it to be gone")


@contextmanager
def locked(url: str, episode: Alert) -> Iterator[None]:
    """Hold the row of an episode, until the server dies."""
    engine = make_engine(url)
    connection = engine.connect()
    try:
        query = text("SELECT id FROM episodes WHERE id = :id FOR UPDATE")
        assert connection.execute(query, {"id": str(episode.episode_id)}).scalar() is not None
        yield
    finally:
        connection.invalidate()
        connection.close()
        engine.dispose()


def waits_for_a_lock(server: Postgres) -> bool:
    """Whether a transaction is open that waits for a row."""
    engine = make_engine(server.url("postgres"))
    try:
        with engine.connect() as connection:
            waiting = connection.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
    finally:
        engine.dispose()
    return bool(waiting)


@pytest.fixture
def store_url(postgres: Postgres) -> str:
    return postgres.create_database()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.mark.timeout(180 + 60 * KILLS)
def test_every_alert_is_stored_once_and_told(
    stable: Stable, postgres: Postgres, store_url: str, store: Store, backend: Backend
) -> None:
    stable.settings(SETTINGS.format(store=store_url, backend=backend.url))
    redis = stable.state.client()
    load, outbox = Load(redis), Outbox(redis, Keys())
    stable.start("worker")
    stable.start("beat")

    for number in range(KILLS):
        load.commit(0, number)
        wait_until(lambda: len(outbox) == 0, 60, "the raises to be stored")
        if number == IN_TRANSACTION:
            with locked(store_url, event(0, number, 0)):
                load.commit(1, number)
                wait_until(lambda: waits_for_a_lock(postgres), 30, "the worker's transaction")
                kill_all(postgres)
        else:
            load.commit(1, number)
            kill_all(postgres)
        load.commit(2, number)
        assert len(outbox) >= EPISODES, "what cannot be stored stays in the outbox"
        postgres.start()

    wait_until(lambda: len(outbox) == 0 and store.backlog(0.0).pending == 0, 120, "everything to be stored and told")
    stored = store.recent_alerts(10_000)
    assert sorted(alert.id for alert in stored) == sorted(alert.id for alert in load.put)
    known = {alert.id: alert for alert in load.put}
    assert all(as_decided(alert) == known[alert.id] for alert in stored)

    keys = [str(request.headers["Idempotency-Key"]) for request in backend.requests]
    again = sum(Counter(keys).values()) - len(set(keys))
    print(f"{KILLS} kills, {len(stored)} alerts, {again} told again under the same key")
    assert set(keys) == set(known)
    firsts: dict[str, list[int]] = {}
    for key in dict.fromkeys(keys):
        episode, _, place = key.rpartition(":")
        firsts.setdefault(episode, []).append(int(place))
    assert all(numbers == sorted(numbers) for numbers in firsts.values()), "in order"
