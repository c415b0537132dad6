"""Clips: a camera's last seconds stay in Redis for as long as a film may need them, and become one then."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import time

import av
import msgspec
import numpy as np
import pytest
from celery import Celery

from fbtasks.errors import BadMessage
from fbtasks.keys import FILM_FPS, FILM_SLACK_S, Keys
from fbtasks.logic.clips import SUFFIX, make_clip, wants_clip
from fbtasks.logic.film import write_film
from fbtasks.logic.retention import clear_out
from fbtasks.logic.store import open_store
from fbtasks.mailbox import Outbox
from fbtasks.producer.publisher import Publisher
from fbtasks.settings import ClipSettings, EvidenceSettings
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import decode_frame, encode
from tests.acceptance.stable import Stable
from tests.alerts import first_alert
from tests.conftest import ValkeyFactory
from tests.frames import grey_frame
from tests.processes import Processes
from tests.servers import Valkey
from tests.waiting import wait_until

KEYS = Keys()
SECONDS = 10.0
AT = 1_700_000_060.0
FOLDER = "2023-11-14"


@pytest.fixture
def queue(valkey: Valkey) -> Iterator[FrameQueue]:
    with connect(valkey.url, timeout_s=5.0) as redis:
        yield FrameQueue(redis, KEYS, max_length=10, film_s=SECONDS)


def fill(queue: FrameQueue, until: float = AT, seconds: float = 20.0) -> None:
    """What a camera with 5 frames a second sends until then; the pictures grow brighter."""
    for number in range(round(seconds * FILM_FPS) + 1):
        at = until - seconds + number / FILM_FPS
        message = encode(grey_frame(captured_at=at, seq=number, shade=50 + number, size=(320, 180)))
        queue.push([message], films={"box-3": message})


def pictures(path: Path) -> list[tuple[float, int]]:
    """Time (seconds) and brightness of each picture of a film."""
    with av.open(str(path)) as container:
        return [
            (frame.time or 0.0, round(float(np.mean(frame.to_ndarray(format="gray")))))
            for frame in container.decode(video=0)
        ]


@pytest.mark.usefixtures("no_immortal_keys")
def test_a_clip_shows_the_seconds_before_in_their_own_time(queue: FrameQueue, tmp_path: Path) -> None:
    fill(queue, until=AT + 4)
    path = tmp_path / FOLDER / f"a{SUFFIX}"
    assert make_clip(path, queue, "box-3", at=AT, seconds=SECONDS)
    shown = pictures(path)
    assert len(shown) == 53, "from 10 s before to 0.5 s after it, at 5 a second"
    assert shown[0][0] == 0.0
    assert shown[-1][0] == pytest.approx(10.4, abs=0.01)
    shades = [shade for _, shade in shown]
    assert all(later >= earlier for earlier, later in pairwise(shades))
    assert shades[0] == pytest.approx(80, abs=3)
    assert shades[-1] == pytest.approx(132, abs=3)
    assert path.stat().st_size < 100_000
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_clip_is_made_once(queue: FrameQueue, tmp_path: Path) -> None:
    fill(queue)
    path = tmp_path / FOLDER / f"a{SUFFIX}"
    make_clip(path, queue, "box-3", at=AT, seconds=SECONDS)
    kept = path.read_bytes()
    fill(queue, until=AT + 30)
    assert not make_clip(path, queue, "box-3", at=AT, seconds=SECONDS)
    assert path.read_bytes() == kept


def test_without_pictures_there_is_no_clip_and_no_file(queue: FrameQueue, tmp_path: Path) -> None:
    fill(queue, until=AT - 60)
    path = tmp_path / FOLDER / f"a{SUFFIX}"
    with pytest.raises(BadMessage, match="of the 10 s before it 0 pictures were left"):
        make_clip(path, queue, "box-3", at=AT, seconds=SECONDS)
    with pytest.raises(BadMessage):
        make_clip(path, queue, "box-4", at=AT, seconds=SECONDS)
    assert not path.exists()


def test_what_cannot_be_decoded_or_has_another_size_is_left_out(tmp_path: Path) -> None:
    good = [grey_frame(captured_at=AT + number, size=(321, 181)) for number in range(4)]
    broken = msgspec.structs.replace(good[1], jpeg=memoryview(bytes(good[1].jpeg)[:100]))
    other = grey_frame(captured_at=AT + 2.5, size=(320, 320))
    early = grey_frame(captured_at=AT - 5, size=(321, 181))
    count = write_film(tmp_path / "film.mp4", [good[0], broken, good[2], other, early, good[3]])
    assert count == 3
    assert [at for at, _ in pictures(tmp_path / "film.mp4")] == [0.0, 2.0, 3.0]


def test_old_clips_are_cleared_out(queue: FrameQueue, tmp_path: Path) -> None:
    fill(queue)
    path = tmp_path / FOLDER / f"a{SUFFIX}"
    make_clip(path, queue, "box-3", at=AT, seconds=SECONDS)
    os.utime(path, (0, 0))
    assert clear_out(tmp_path, SUFFIX, time(), keep_s=60.0, max_bytes=1_000_000) == 1
    assert not path.parent.exists()


def test_the_producer_keeps_films_of_the_cameras_that_are_to_have_them(valkey: Valkey) -> None:
    settings = EvidenceSettings(clip=ClipSettings(seconds=SECONDS, cameras=["box-3"]))
    with connect(valkey.url, timeout_s=2.0) as redis:
        queue = FrameQueue(redis, KEYS, max_length=1000, film_s=SECONDS)
        publisher = Publisher(queue, films=settings.films)
        for number in range(25 * 40):
            for camera_id in ("box-3", "box-4"):
                publisher.offer(grey_frame(camera_id, captured_at=AT + number / 25, seq=number, size=(64, 36)))
            publisher._push(publisher._take())
        kept = [decode_frame(message) for message in queue.film("box-3")]
        assert queue.film("box-4") == []
        assert len(kept) == FILM_FPS * (SECONDS + FILM_SLACK_S)
        assert kept[-1].captured_at - kept[0].captured_at == pytest.approx(SECONDS + FILM_SLACK_S, abs=0.5)
        assert 0 < redis.pttl(KEYS.film("box-3")) <= 1000 * (SECONDS + FILM_SLACK_S)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"event": "escalated"}, True),
        ({"event": "cleared"}, False),
        ({"severity": "info"}, False),
        ({"camera_id": "box-4"}, False),
        ({"camera_id": "_system"}, False),
    ],
)
def test_which_alerts_have_a_clip(changes: dict[str, str], wanted: bool) -> None:
    settings = EvidenceSettings(clip=ClipSettings(seconds=SECONDS, cameras=["box-3"]))
    alert = first_alert("box-3").model_copy(update=changes)
    assert wants_clip(alert, settings) is wanted
    assert not wants_clip(alert, EvidenceSettings())


def test_a_worker_promises_a_clip_and_makes_it(
    tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes
) -> None:
    state, frames = valkey_factory(), valkey_factory()
    stable = Stable(tmp_path, state, frames, processes)
    stable.settings(f"[evidence.clip]\nseconds = {SECONDS:g}\n")
    stable.start("worker")
    alert = first_alert("box-3", at=AT)
    with state.client() as redis, frames.client() as frames_redis:
        queue = FrameQueue(frames_redis, KEYS, 10, SECONDS)
        fill(queue)
        picture = encode(grey_frame(captured_at=AT))
        queue.push([picture], {"box-3": picture})
        redis.xadd(KEYS.outbox, {"d": alert.model_dump_json()})
        Celery(broker=state.url).send_task("fbtasks.store_alerts", queue="logic")
        wait_until(lambda: len(Outbox(redis, KEYS)) == 0, 30, "the alert to be stored")
    store = open_store(f"sqlite:///{tmp_path / 'data' / 'fbtasks.sqlite'}")
    [stored] = store.recent_alerts(10)
    store.close()
    assert stored.picture is not None
    assert stored.clip == stored.picture.removesuffix(".alert.jpg") + SUFFIX
    path = tmp_path / "data" / "evidence" / stored.clip
    wait_until(path.exists, 20, "the clip")
    assert len(pictures(path)) == 51
    shown = stable.run("fbtasks", "alerts", "show", str(alert.episode_id))
    assert f"clip: {path}" in shown.output()
