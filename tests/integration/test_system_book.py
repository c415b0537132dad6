"""What is down, kept in a real Redis together with the alerts it makes."""

from collections.abc import Iterator

import pytest
from redis import Redis

from fbtasks.alert import Alert
from fbtasks.health import Finding, Level
from fbtasks.keys import Keys
from fbtasks.logic.system_book import tell_system
from fbtasks.mailbox import Outbox
from fbtasks.transport import connect
from tests.servers import Valkey

KEYS = Keys()
NOW = 1_700_000_000.0

pytestmark = pytest.mark.usefixtures("no_immortal_keys")


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    with connect(valkey.url, timeout_s=1.0) as client:
        yield client


class Checks:
    """The checks of a site, one every five seconds; the store keeps what it was told of open episodes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._now = NOW
        self.open: list[Alert] = []

    def look(self, *levels: Level) -> list[Alert]:
        told: list[Alert] = []
        for level in levels:
            self._now += 5.0
            finding = Finding(level, "gpu", "last heard of 40 s ago")
            told += tell_system(self._redis, KEYS, [finding], lambda _: list(self.open), now=self._now, patience_s=10.0)
        return told


def in_outbox(redis: Redis) -> list[Alert]:
    return [Alert.model_validate_json(entry) for _, entry in Outbox(redis, KEYS).peek(100)]


def test_what_is_down_is_in_the_outbox_once_and_its_end_too(redis: Redis) -> None:
    checks = Checks(redis)
    told = checks.look("ok", "critical", "critical", "critical", "critical", "ok", "ok", "ok")
    assert [alert.event for alert in told] == ["raised", "cleared"]
    assert in_outbox(redis) == told


def test_redis_that_has_forgotten_is_told_by_the_store_what_is_open(redis: Redis) -> None:
    checks = Checks(redis)
    (raised,) = checks.look("critical", "critical", "critical")
    redis.flushall()
    checks.open = [raised]
    (cleared,) = checks.look("critical", "critical", "critical", "ok", "ok")
    assert (cleared.event, cleared.episode_id) == ("cleared", raised.episode_id)
    assert in_outbox(redis) == [cleared]


def test_of_two_checks_at_once_one_writes(redis: Redis) -> None:
    (raised,) = Checks(redis).look("critical", "critical", "critical")
    redis.delete(KEYS.system)
    checks, other = Checks(redis), Checks(redis)
    checks.open = other.open = [raised]
    checks.look("ok")

    def overtake(_: str) -> list[Alert]:
        other.look("ok", "ok")
        return [raised]

    redis.delete(KEYS.system)
    well = [Finding("ok", "gpu", "")]
    assert not tell_system(redis, KEYS, well, overtake, now=NOW, patience_s=10.0)
    assert [alert.event for alert in in_outbox(redis)] == ["raised", "cleared"]
