"""Pictures of alerts: kept by the producer for seconds, drawn when an alert is stored, and never waited for."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from time import monotonic, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from celery import Celery
from PIL import Image
from redis import Redis

from fbtasks.alert import Alert
from fbtasks.keys import PICTURE_TTL_S, Keys
from fbtasks.logic.evidence import SUFFIX, Evidence
from fbtasks.logic.picture import COLOURS
from fbtasks.logic.retention import clear_out
from fbtasks.logic.store import open_store
from fbtasks.mailbox import Mailboxes
from fbtasks.producer.publisher import Publisher
from fbtasks.settings import EvidenceSettings
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import Frame, decode_frame, encode
from tests.acceptance.stable import Stable
from tests.alerts import STARTED_AT, first_alert
from tests.conftest import ValkeyFactory
from tests.frames import grey_frame
from tests.processes import Processes
from tests.results import START, lying, result, standing
from tests.servers import Valkey
from tests.waiting import wait_until

KEYS = Keys()
BOX = {"box_left": 400.0, "box_top": 400.0, "box_right": 800.0, "box_bottom": 560.0}
ALERT = first_alert("box-3", evidence={**BOX, "held_s": 60.0}, message="Horse in box-3 lies")


def frame(camera_id: str = "box-3", captured_at: float = ALERT.at, seq: int = 7, shade: int = 90) -> Frame:
    """A grey picture of 1280 x 720, as the producer sends it."""
    return grey_frame(camera_id, captured_at=captured_at, seq=seq, shade=shade)


class Site:
    """The frames' Redis and the folder of pictures."""

    def __init__(self, redis: Redis, folder: Path) -> None:
        self.frames = FrameQueue(redis, KEYS, max_length=10)
        self.folder = folder
        self.evidence = Evidence(folder, self.frames, ZoneInfo("Europe/Berlin"), EvidenceSettings())

    def show(self, *frames: Frame) -> None:
        messages = [encode(one) for one in frames]
        self.frames.push(messages, {one.camera_id: each for one, each in zip(frames, messages, strict=True)})

    def attach(self, alert: Alert = ALERT) -> Alert:
        [attached] = self.evidence.attach([alert])
        return attached

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def site(valkey: Valkey, tmp_path: Path) -> Iterator[Site]:
    with connect(valkey.url, timeout_s=5.0) as redis:
        yield Site(redis, tmp_path / "evidence")


def framed(jpeg: bytes) -> bool:
    """Whether the warning's colour is where the box's upper edge belongs, and not beside it."""
    picture = np.asarray(Image.open(BytesIO(jpeg)).convert("RGB"), int)
    orange = np.array(list(bytes.fromhex(COLOURS["warning"][1:])))
    on_edge, beside = (np.abs(picture[200 + 1, column] - orange).max() for column in (300, 180))
    return bool(on_edge < 60 < beside)


@pytest.mark.usefixtures("no_immortal_keys")
def test_an_alert_gets_the_newest_picture_with_its_box(site: Site) -> None:
    site.show(frame(captured_at=ALERT.at - 1.0))
    site.show(frame(captured_at=ALERT.at + 0.4))
    attached = site.attach()
    assert attached.picture == f"2023-11-14/box-3.lying.{ALERT.episode_id}.0.alert.jpg"
    assert attached.evidence == {**ALERT.evidence, "picture_after_s": 0.4}
    assert site.files() == [attached.picture]
    jpeg = (site.folder / attached.picture).read_bytes()
    assert framed(jpeg)


def test_a_repeat_after_a_crash_keeps_the_picture_and_says_the_same(site: Site) -> None:
    site.show(frame(captured_at=ALERT.at + 0.4))
    first = site.attach()
    kept = (site.folder / str(first.picture)).read_bytes()
    site.show(frame(captured_at=ALERT.at + 3.0, shade=200))
    assert site.attach() == first
    assert (site.folder / str(first.picture)).read_bytes() == kept


def test_a_picture_that_was_only_begun_is_drawn_again(site: Site) -> None:
    site.show(frame())
    first = site.attach()
    path = site.folder / str(first.picture)
    path.write_bytes(b"")
    assert site.attach() == first
    assert framed(path.read_bytes())


def test_what_a_kill_left_half_done_is_cleared_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise SystemExit

    site.show(frame())
    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(SystemExit):
        site.attach()
    [left] = site.files()
    assert clear_out(site.folder, SUFFIX, time() + 60.0, keep_s=1.0, max_bytes=1_000_000) == 1
    assert not (site.folder / left).parent.exists()


@pytest.mark.parametrize(("after_s", "said"), [(60.0, "60.0 s later"), (-15.0, "15.0 s earlier")])
def test_a_picture_of_another_time_is_none_of_the_alert(site: Site, after_s: float, said: str) -> None:
    site.show(frame(captured_at=ALERT.at + after_s))
    attached = site.attach()
    assert attached.picture is None
    assert attached.evidence["no_picture"] == f"the camera's newest picture was from {said}"
    assert not site.folder.exists()


def test_without_a_picture_the_alert_says_so(site: Site) -> None:
    site.show(frame("box-4"))
    assert site.attach() == ALERT.model_copy(
        update={"evidence": {**ALERT.evidence, "no_picture": "the camera's last picture was gone"}}
    )


def test_a_picture_that_cannot_be_decoded_is_said(site: Site) -> None:
    site.frames.push([b"x"], {"box-3": encode(frame())[:-200]})
    assert site.attach().picture is None
    site.frames.push([b"x"], {"box-3": b"\xc1"})
    assert site.attach().picture is None
    assert site.files() == []


def test_a_redis_that_hangs_is_waited_for_once(valkey: Valkey, tmp_path: Path) -> None:
    with connect(valkey.url, timeout_s=0.3) as redis:
        site = Site(redis, tmp_path / "evidence")
        valkey.pause()
        began = monotonic()
        try:
            said = [site.attach().evidence["no_picture"] for _ in range(50)]
        finally:
            valkey.resume()
        assert said == ["the Redis with the frames was away"] * 50
        assert monotonic() - began < 10, "each asked Redis again"


def test_a_folder_that_cannot_be_written_is_said(site: Site) -> None:
    site.show(frame())
    site.folder.write_text("in the way")
    assert site.attach().evidence["no_picture"] == "it could not be written: Not a directory"


@pytest.mark.parametrize("changes", [{"camera_id": "../../etc"}, {"rule": "a/b"}, {"at": 1e300}, {"at": float("nan")}])
def test_no_text_from_outside_becomes_a_path(site: Site, changes: dict[str, Any]) -> None:
    site.show(frame())
    attached = site.attach(ALERT.model_copy(update=changes))
    assert attached.picture is None
    assert site.files() == []


def test_many_alerts_at_once_are_not_held_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fbtasks.logic.evidence.DRAWING_S", 0.0)
    site.show(frame())
    assert site.attach().evidence["no_picture"] == "too many alerts at once"


def published(valkey: Valkey, *frames: Frame, pictures: bool) -> dict[str, bytes]:
    """What is kept beside the list after these frames were offered, each pushed before the next."""
    with connect(valkey.url, timeout_s=2.0) as redis:
        queue = FrameQueue(redis, KEYS, max_length=10)
        publisher = Publisher(queue, pictures=pictures)
        for each in frames:
            publisher.offer(each)
            publisher._push(publisher._take())
        assert len(queue) == len(frames)
        for name in redis.scan_iter(match=KEYS.picture("*")):
            assert 0 < redis.pttl(name) <= PICTURE_TTL_S * 1000
        return queue.pictures(["box-3", "box-4"])


def test_the_producer_keeps_one_picture_a_second_of_each_camera(valkey: Valkey) -> None:
    kept = published(valkey, frame(seq=1), frame(seq=2), frame("box-4", seq=3), frame(seq=4), pictures=True)
    assert {camera_id: decode_frame(message).seq for camera_id, message in kept.items()} == {"box-3": 1, "box-4": 3}


def test_without_evidence_no_picture_is_kept(valkey: Valkey) -> None:
    assert published(valkey, frame(), pictures=False) == {}


def test_a_worker_stores_alerts_with_pictures_and_clears_old_ones(
    tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes
) -> None:
    state, frames = valkey_factory(), valkey_factory()
    stable = Stable(tmp_path, state, frames, processes)
    stable.settings("[evidence]\nkeep_days = 1\n[rules.lying]\ninfo_after_s = 5\nwarning_after_s = 10\n")
    stable.start("worker")
    poses = [standing()] * 25 + [lying()] * 80
    messages = [encode(result(number * 0.2, [pose], seq=number)) for number, pose in enumerate(poses)]
    with state.client() as redis, frames.client() as frames_redis:
        jpeg, queue = encode(frame(captured_at=START + 15)), FrameQueue(frames_redis, KEYS, 10)
        Mailboxes(redis, KEYS, length=1000).push({"box-3": messages})
        client = Celery(broker=state.url)
        store = open_store(f"sqlite:///{tmp_path / 'data' / 'fbtasks.sqlite'}")

        def both() -> bool:
            """As long as the camera's producer runs there is a picture."""
            queue.push([jpeg], {"box-3": jpeg})
            return len(_lying(store.recent_alerts(10))) == 2

        queue.push([jpeg], {"box-3": jpeg})
        client.send_task("fbtasks.process_camera", args=["box-3"], queue="logic")
        wait_until(both, 30, "both alerts")
        stored = _lying(store.recent_alerts(10))
        store.close()
        assert all(alert.picture for alert in stored), [alert.evidence for alert in stored]
        pictures = [tmp_path / "data" / "evidence" / str(alert.picture) for alert in stored]
        assert framed(pictures[0].read_bytes()), "the second alert is the warning"
        for alert in stored:
            assert {"capture_to_push_ms", "inferred_to_decided_ms", "threshold_s", *BOX} <= alert.evidence.keys()
            assert alert.evidence["picture_after_s"] == pytest.approx(START + 15 - alert.at, abs=0.001)

        long_ago = STARTED_AT
        os.utime(pictures[1], (long_ago, long_ago))
        client.send_task("fbtasks.clear_out", queue="logic")
        wait_until(lambda: not pictures[1].exists(), 20, "the old picture to be removed")
    assert pictures[0].exists()


def _lying(alerts: list[Alert]) -> list[Alert]:
    return [alert for alert in alerts if alert.rule == "lying"]
