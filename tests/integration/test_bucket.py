"""Copies of pictures and clips in a bucket, on a real server of S3's protocol."""

import os
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest
from celery import Celery

from fbtasks.errors import CopyFailed
from fbtasks.keys import Keys
from fbtasks.logic.bucket import Bucket
from fbtasks.logic.copies import await_copy, copy_waiting, oldest_s, waiting
from fbtasks.settings import S3Settings
from fbtasks.transport import FrameQueue
from fbtasks.wire import encode
from tests.acceptance.stable import Stable
from tests.alerts import first_alert
from tests.conftest import ValkeyFactory
from tests.frames import grey_frame
from tests.ports import LOOPBACK
from tests.processes import Processes
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed
from tests.waiting import wait_until

NAME = "2023-11-14/box-3.lying.0.alert.jpg"
CONTENT = b"\xff\xd8a picture"


def settings(server: Seaweed, **changes: Any) -> S3Settings:
    """The bucket `alerts` below `yard/`."""
    login = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    return S3Settings.model_validate({"bucket": "alerts", "endpoint": server.url, "prefix": "yard/"} | login | changes)


def objects(server: Seaweed) -> dict[str, Any]:
    """All that is in the bucket, by name, whatever the prefix."""
    everything = Bucket(settings(server, prefix=""))._objects
    return {entry["path"]: everything.get(entry["path"]) for piece in everything.list() for entry in piece}


@pytest.fixture
def server(processes: Processes, tmp_path: Path) -> Iterator[Seaweed]:
    opened = Seaweed(tmp_path / "seaweed", processes)
    opened.start()
    # It takes objects a moment after it says that it is there.
    wait_until(lambda: _takes(opened), 30, "the S3 server to take objects")
    yield opened
    opened.end()


def _takes(server: Seaweed) -> bool:
    """Whether it takes an object; the first makes the bucket."""
    bucket = Bucket(settings(server))
    try:
        bucket.put("first", b"")
    except CopyFailed:
        return False
    bucket._objects.delete("first")
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = tmp_path / "evidence"
    (kept / NAME).parent.mkdir(parents=True)
    (kept / NAME).write_bytes(CONTENT)
    return kept


def test_what_waits_is_copied_once_and_stays_in_the_folder(server: Seaweed, folder: Path) -> None:
    bucket = Bucket(settings(server))
    await_copy(folder, NAME)
    await_copy(folder, NAME)
    assert copy_waiting(folder, bucket, lambda: False) == 1
    assert copy_waiting(folder, bucket, lambda: False) == 0
    [(name, held)] = objects(server).items()
    assert (name, bytes(held.bytes()), held.attributes["Content-Type"]) == (f"yard/{NAME}", CONTENT, "image/jpeg")
    assert (folder / NAME).read_bytes() == CONTENT


def test_while_the_server_is_away_nothing_is_lost(server: Seaweed, folder: Path) -> None:
    bucket = Bucket(settings(server))
    await_copy(folder, NAME)
    server.end()
    with pytest.raises(CopyFailed, match="bucket alerts"):
        copy_waiting(folder, bucket, lambda: False)
    [link] = waiting(folder)
    os.utime(link, (100.0, 100.0))
    assert oldest_s([link], 160.0) == 60.0
    server.start()
    wait_until(lambda: _takes(server), 30, "the S3 server to take objects again")
    assert copy_waiting(folder, bucket, lambda: False) == 1
    assert list(objects(server)) == [f"yard/{NAME}"]


def test_old_copies_are_cleared_out_below_the_prefix_alone(server: Seaweed) -> None:
    bucket = Bucket(settings(server, keep_days=2))
    bucket.put(NAME, CONTENT)
    Bucket(settings(server, prefix="")).put("of somebody else", b"")
    assert bucket.clear_out(time() + 86_400) == 0
    assert bucket.clear_out(time() + 3 * 86_400) == 1
    assert list(objects(server)) == ["of somebody else"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bucket": "nobodys"}, "NoSuchBucket"),
        ({"secret_key": "a wrong one"}, "SignatureDoesNotMatch"),
        ({"endpoint": f"http://{LOOPBACK}:1"}, "error sending request"),
    ],
)
def test_what_keeps_us_out_is_said_without_the_key(server: Seaweed, changes: dict[str, str], says: str) -> None:
    bucket = Bucket(settings(server, **changes))
    with pytest.raises(CopyFailed, match=says) as raised:
        bucket.reach()
    assert SECRET_KEY not in str(raised.value)
    assert "a wrong one" not in str(raised.value)


def test_a_worker_copies_the_picture_of_an_alert(
    server: Seaweed, tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes
) -> None:
    state, frames = valkey_factory(), valkey_factory()
    stable = Stable(tmp_path, state, frames, processes)
    login = f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"'
    stable.settings(f'[evidence.s3]\nbucket = "alerts"\nendpoint = "{server.url}"\n{login}\n')
    stable.start("worker")
    alert = first_alert("box-3")
    with state.client() as redis, frames.client() as frames_redis:
        picture = encode(grey_frame(captured_at=alert.at))
        FrameQueue(frames_redis, Keys(), 10).push([picture], {"box-3": picture})
        redis.xadd(Keys().outbox, {"d": alert.model_dump_json()})
        Celery(broker=state.url).send_task("fbtasks.store_alerts", queue="logic")
        wait_until(lambda: len(objects(server)) == 1, 30, "the copy")
    assert list(objects(server)) == [f"2023-11-14/box-3.lying.{alert.episode_id}.0.alert.jpg"]
    evidence = tmp_path / "data" / "evidence"
    wait_until(lambda: not waiting(evidence), 10, "nothing to wait any more")
    assert "0 pictures and clips wait" in stable.run("fbtasks", "check").output()
    [kept] = evidence.glob("2*/*")
    await_copy(evidence, str(kept.relative_to(evidence)))
    os.utime(kept, (100.0, 100.0))
    [told] = [line for line in stable.run("fbtasks", "check").output().splitlines() if "bucket" in line]
    assert told.startswith("WARN")
