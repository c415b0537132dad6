"""Cameras that are set at run time, in a real Redis."""

from typing import Any

import pytest
from redis import Redis

from fbtasks.errors import RegistryError
from fbtasks.keys import CAMERAS_CAP, Keys
from fbtasks.registry import Entry, Registry
from fbtasks.settings import Settings
from tests.servers import Valkey

pytestmark = pytest.mark.usefixtures("no_immortal_keys")

FILE = Settings.model_validate(
    {
        "cameras": [
            {"id": "box-1", "url": "rtsp://10.0.0.1/1", "fps": 4, "rules": {"lying": {"preset": "must_not"}}},
            {"id": "box-2", "url": "rtsp://10.0.0.2/1"},
        ]
    }
)
NEW = Entry(own=True, values={"url": "rtsp://anna:hay@10.0.0.7/1", "horse": "Luna"})


class Counting:
    """A client that counts its commands."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.commands = 0

    def __getattr__(self, name: str) -> Any:
        self.commands += 1
        return getattr(self._redis, name)


def registry(valkey: Valkey) -> Registry:
    return Registry(valkey.client(), FILE)


def ids(one: Registry) -> list[str]:
    return [camera.id for camera in one.settings().cameras]


def test_without_entries_the_cameras_are_those_of_the_file(valkey: Valkey) -> None:
    assert registry(valkey).settings() == FILE


def test_what_one_process_adds_another_sees_at_its_next_look(valkey: Valkey) -> None:
    here, there = registry(valkey), registry(valkey)
    assert ids(there) == ["box-1", "box-2"]
    here.change("box-7", NEW)
    assert ids(there) == ["box-1", "box-2", "box-7"]
    added = there.settings().camera("box-7")
    assert added is not None
    assert added.horse == "Luna"
    assert added.url.get_secret_value() == "rtsp://anna:hay@10.0.0.7/1"
    here.change("box-7", None)
    assert ids(there) == ["box-1", "box-2"]


def test_a_look_is_one_command_and_none_where_the_version_is_known(valkey: Valkey) -> None:
    writer = registry(valkey)
    writer.change("box-7", NEW)
    counting: Any = Counting(valkey.client())
    reader = Registry(counting, FILE)
    reader.settings()
    counting.commands = 0
    reader.settings()
    assert counting.commands == 1
    with valkey.client() as client:
        version: Any = client.hget(Keys().cameras, ":version")
    reader.at(version)
    assert counting.commands == 1


def test_changes_lie_over_the_files_camera_key_by_key(valkey: Valkey) -> None:
    one = registry(valkey)
    one.change("box-1", Entry(own=False, values={"fps": 2, "rules": {"lying": {"clear_after_s": 9}}}))
    changed = one.settings().camera("box-1")
    assert changed is not None
    assert changed.fps == 2
    assert changed.rules == {"lying": {"preset": "must_not", "clear_after_s": 9}}
    assert changed.url.get_secret_value() == "rtsp://10.0.0.1/1"
    assert one.settings().rule_tables("box-1")["lying"] == {"preset": "must_not", "clear_after_s": 9}


def test_the_file_wins_over_a_camera_that_was_added_under_its_name(valkey: Valkey) -> None:
    one = registry(valkey)
    one.change("box-2", NEW)
    assert one.settings().camera("box-2") == FILE.camera("box-2")


def test_changes_to_a_camera_that_left_the_file_make_none(valkey: Valkey) -> None:
    one = registry(valkey)
    one.change("box-3", Entry(own=False, values={"fps": 2}))
    assert ids(one) == ["box-1", "box-2"]


@pytest.mark.parametrize(
    "value",
    [b"no json", b"[]", b'{"own": true, "values": {"url": "nowhere"}}', b'{"own": true, "values": {"new_key": 1}}'],
)
def test_an_entry_of_no_use_is_left_out_and_the_others_stay(valkey: Valkey, value: bytes) -> None:
    one = registry(valkey)
    one.change("box-7", NEW)
    with valkey.client() as client:
        client.hset(Keys().cameras, "box-8", value)
    assert ids(registry(valkey)) == ["box-1", "box-2", "box-7"]


def test_of_two_changes_at_once_the_second_is_refused(valkey: Valkey) -> None:
    one, other = registry(valkey), registry(valkey)
    one.entries()
    other.entries()
    one.change("box-7", NEW)
    with pytest.raises(RegistryError, match="somebody else"):
        other.change("box-8", NEW)
    assert "box-8" not in ids(one)
    other.entries()
    other.change("box-8", NEW)
    assert ids(one) == ["box-1", "box-2", "box-7", "box-8"]


def test_there_is_an_end_to_how_many_there_can_be(valkey: Valkey) -> None:
    one = registry(valkey)
    one.change("box-7", NEW)
    with valkey.client() as client:
        client.hset(Keys().cameras, mapping={f"camera-{number}": "{}" for number in range(CAMERAS_CAP - 1)})
    with pytest.raises(RegistryError, match="remove some"):
        one.change("box-8", NEW)
    one.change("box-7", Entry(own=True, values={"url": "rtsp://10.0.0.8/1"}))
    changed = one.settings().camera("box-7")
    assert changed is not None
    assert changed.url.get_secret_value().endswith("10.0.0.8/1")


def test_who_remembers_puts_back_what_redis_lost(valkey: Valkey) -> None:
    writer, reader, forgetful = registry(valkey), registry(valkey), registry(valkey)
    writer.change("box-7", NEW)
    assert "box-7" in ids(reader)
    valkey.restart(empty=True)
    assert "box-7" in ids(reader)
    assert "box-7" in ids(forgetful)
    writer.entries()
    writer.change("box-7", None)
    assert "box-7" not in ids(reader), "what was removed on purpose is not lost"
