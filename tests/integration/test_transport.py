"""The frame list and the dead letters on a real server."""

import base64
from collections.abc import Iterator
from time import monotonic

import pytest
from redis import Redis

from fbtasks.errors import FbtasksError
from fbtasks.keys import DEAD_LETTER_CAP, Keys
from fbtasks.transport import MAX_DEAD_PAYLOAD, REDIS_AWAY, DeadLetters, FrameQueue, Pushed, connect
from tests.servers import Valkey

KEYS = Keys()

pytestmark = pytest.mark.usefixtures("no_immortal_keys")


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    with connect(valkey.url, timeout_s=2.0) as client:
        yield client


def test_the_list_keeps_the_newest_and_tells_what_was_cut(redis: Redis) -> None:
    frames = FrameQueue(redis, KEYS, max_length=3)
    assert frames.push([b"1", b"2"]) == Pushed(backlog=2, dropped=0)
    assert frames.push([b"3", b"4"]) == Pushed(backlog=4, dropped=1)
    assert len(frames) == 3
    assert frames.drain() == [b"2", b"3", b"4"]


def test_frames_are_taken_oldest_first_and_only_once(redis: Redis) -> None:
    frames = FrameQueue(redis, KEYS, max_length=10)
    frames.push([b"1", b"2", b"3", b"4"])
    assert frames.take(3, timeout_s=1.0) == [b"1", b"2", b"3"]
    assert frames.take(3, timeout_s=1.0) == [b"4"]
    assert len(frames) == 0


def test_an_empty_list_is_waited_for_as_long_as_asked(redis: Redis) -> None:
    frames = FrameQueue(redis, KEYS, max_length=10)
    began = monotonic()
    assert frames.take(3, timeout_s=0.2) == []
    assert 0.15 <= monotonic() - began < 1.5
    assert frames.drain() == []


def test_frames_that_nobody_takes_expire(redis: Redis) -> None:
    FrameQueue(redis, KEYS, max_length=10).push([b"1"])
    assert 0 < redis.ttl(KEYS.batch_frames) <= 60  # type: ignore[operator]  # redis-py's types fit its async client too


def test_after_a_restart_the_first_command_succeeds(valkey: Valkey, redis: Redis) -> None:
    frames = FrameQueue(redis, KEYS, max_length=10)
    frames.push([b"1"])
    valkey.restart()
    assert frames.push([b"2"]) == Pushed(backlog=1, dropped=0)


def test_a_server_that_is_down_or_frozen_counts_as_away(valkey: Valkey) -> None:
    with connect(valkey.url, timeout_s=0.2) as client:
        client.ping()
        valkey.pause()
        began = monotonic()
        with pytest.raises(REDIS_AWAY):
            client.ping()
        assert monotonic() - began < 1.0
        valkey.resume()
        valkey.kill()
        with pytest.raises(REDIS_AWAY):
            client.ping()
        valkey.start()


def test_a_wrong_password_is_told_without_it(valkey: Valkey) -> None:
    url = valkey.url.replace("//", "//:hunter2@")
    with connect(url, timeout_s=1.0) as client, pytest.raises(REDIS_AWAY) as refused:
        client.ping()
    assert "hunter2" not in repr(refused.value)
    assert not issubclass(refused.type, FbtasksError)


def test_dead_letters_are_kept_newest_first_with_reason_and_content(redis: Redis) -> None:
    dead = DeadLetters(redis, KEYS)
    dead.add("frames", [("truncated", b"\xff\xd8"), ("no map", b"x")], now=12.5)
    dead.add("results", [("a box is not finite", b"y")], now=13.5)
    newest, oldest = dead.list("frames")
    assert (newest["reason"], oldest["reason"]) == ("no map", "truncated")
    assert (oldest["at"], oldest["size"], base64.b64decode(oldest["payload"])) == (12.5, 2, b"\xff\xd8")
    assert dead.counts() == {"frames": 2, "results": 1}


def test_dead_letters_are_capped_in_number_and_size_but_all_counted(redis: Redis) -> None:
    dead = DeadLetters(redis, KEYS)
    huge = bytes(MAX_DEAD_PAYLOAD + 1)
    for number in range(3):
        dead.add("frames", [(f"{number}-{letter}", huge) for letter in range(50)], now=1.0)
    kept = dead.list("frames")
    assert len(kept) == DEAD_LETTER_CAP
    assert kept[0]["reason"] == "2-49"
    assert kept[0]["size"] == len(huge)
    assert len(base64.b64decode(kept[0]["payload"])) == MAX_DEAD_PAYLOAD
    assert dead.counts() == {"frames": 150}


def test_no_dead_letters_leave_nothing_behind(redis: Redis) -> None:
    DeadLetters(redis, KEYS).add("frames", [], now=1.0)
    assert redis.dbsize() == 0
