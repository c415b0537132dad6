"""What happens to cameras, from the producer over Redis into the store: once, whatever is away meanwhile."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fbtasks.camera_history import CameraChange, CameraHistory
from fbtasks.errors import StoreUnavailable
from fbtasks.keys import CAMERA_CHANGES_CAP, Keys
from fbtasks.logic.camera_changes import AT_ONCE, store_changes
from fbtasks.logic.store import Store, open_store
from fbtasks.producer.chronicler import Chronicler
from fbtasks.producer.status import Status
from fbtasks.transport import connect
from tests.servers import Valkey
from tests.waiting import wait_until


def change(number: int, camera_id: str = "box", state: str = "running") -> CameraChange:
    return CameraChange(camera_id, 1000.0 + number, state, 1000.0, "", "barn")


@pytest.fixture
def history(valkey: Valkey) -> Iterator[CameraHistory]:
    with connect(valkey.url, 1.0) as client:
        yield CameraHistory(client, Keys())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.mark.usefixtures("no_immortal_keys")
def test_changes_move_into_the_store_once(history: CameraHistory, store: Store) -> None:
    changes = [change(number) for number in range(AT_ONCE + 5)]
    history.append(changes)
    assert store_changes(history, store) == AT_ONCE
    assert store_changes(history, store) == 5
    assert store_changes(history, store) == 0
    history.append(changes[:3])  # as by a sweep that died between the store and Redis
    assert store_changes(history, store) == 3
    assert store.camera_changes_between("box", 0, 1e9) == changes
    assert store.camera_changes_between("box", 1001.0, 1003.0) == changes[1:3]
    assert store.camera_changes_between("other", 0, 1e9) == []
    assert store.forget_camera_changes(1500.0) == 500
    assert len(store.camera_changes_between("box", 0, 1e9)) == 5


def test_a_long_reason_is_cut_and_what_cannot_be_read_is_left_out(
    history: CameraHistory, store: Store, valkey: Valkey
) -> None:
    with valkey.client() as client:
        client.xadd(Keys().camera_changes, {"c": "no change"})
        client.xadd(Keys().camera_changes, {"else": "no change"})
    history.append([CameraChange("box", 1.0, "failed", 1.0, "x" * 1000, "barn")])
    assert store_changes(history, store) == 3
    (stored,) = store.camera_changes_between("box", 0, 2)
    assert stored.reason == "x" * 200


def test_changes_stay_in_redis_while_the_store_is_away(history: CameraHistory, tmp_path: Path) -> None:
    history.append([change(1)])
    with pytest.raises(StoreUnavailable):
        store_changes(history, open_store(f"sqlite:///{tmp_path}/nowhere/store.sqlite"))
    assert len(history.peek(10)) == 1


def test_without_a_store_redis_keeps_so_many(history: CameraHistory) -> None:
    for first in range(0, CAMERA_CHANGES_CAP + 1000, 1000):
        history.append([change(first + number) for number in range(1000)])
    kept = history.peek(2 * CAMERA_CHANGES_CAP)
    assert len(kept) == CAMERA_CHANGES_CAP
    assert kept[0][1] == change(1000)


def test_the_producer_writes_each_change_once_and_late_when_redis_was_away(
    valkey: Valkey, history: CameraHistory
) -> None:
    chronicler, over = Chronicler(history), threading.Event()
    valkey.kill()
    thread = threading.Thread(target=chronicler.run, args=(over,))
    thread.start()
    try:
        running, lost = Status("running", 5.0), Status("reconnecting", 6.0, "no answer")
        for status in (running, running, lost, lost, running):
            chronicler.note("box", status)
        chronicler.forget_all_but(set())
        chronicler.note("box", running)
        valkey.start()
        wait_until(lambda: len(history.peek(10)) == 4, 30, "the changes")
    finally:
        over.set()
        thread.join()
    told = [told for _, told in history.peek(10) if told is not None]
    assert [(one.state, one.since, one.reason) for one in told] == [
        ("running", 5.0, ""),
        ("reconnecting", 6.0, "no answer"),
        ("running", 5.0, ""),
        ("running", 5.0, ""),
    ]


def test_what_is_noted_last_is_written_at_the_end(history: CameraHistory) -> None:
    chronicler, over = Chronicler(history), threading.Event()
    chronicler.note("box", Status("running", 1.0))
    over.set()
    chronicler.run(over)
    assert [change.camera_id for _, change in history.peek(9) if change is not None] == ["box"]
