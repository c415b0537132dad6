"""`fbtasks top`: what it measures, that it prints sanely into a file, and that a restart of Redis does not end it."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import cast

import msgspec
import pytest
from redis import Redis

from fbtasks.cli.top.observer import STAGES, Observer
from fbtasks.health import CameraReport, HealthBoard, report_of
from fbtasks.keys import Keys
from fbtasks.logic.pipeline import Decision
from fbtasks.settings import load_settings
from fbtasks.transport import connect
from tests.alerts import first_alert
from tests.processes import Processes
from tests.servers import Valkey
from tests.waiting import wait_until

KEYS = Keys()


def decision(camera_id: str = "box-3") -> Decision:
    now = time.time()
    return Decision(
        camera_id=camera_id, seq=1, captured_at=now - 0.4, sent_at=now - 0.3, taken_at=now - 0.25,
        inferred_at=now - 0.05, width=64, height=64, tracks=[], events=[],
    )  # fmt: skip


def tell(redis: Redis, camera_id: str = "box-3") -> int:
    """How many listeners heard it."""
    return cast(int, redis.publish(KEYS.decisions_channel, msgspec.json.encode(decision(camera_id))))


@pytest.fixture
def observer(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Observer:
    monkeypatch.setenv("FBTASKS_REDIS_URL", valkey.url)
    return Observer(load_settings(), window_s=60.0)


def heard_while(observer: Observer, done: Callable[[], object]) -> None:
    """Let the observer listen until `done()`."""
    stop = Event()
    with ThreadPoolExecutor(1) as threads:
        listening = threads.submit(observer.listen, 60.0, stop)
        try:
            wait_until(done, 20, "the observer to hear")
        finally:
            stop.set()
            listening.result(10.0)


def test_rates_and_latencies_of_what_was_heard(valkey: Valkey, observer: Observer) -> None:
    with connect(valkey.url, 1.0) as redis:
        told = [0]

        def enough() -> bool:
            told[0] += tell(redis, "a" if told[0] % 2 else "b")
            return told[0] >= 10

        heard_while(observer, enough)
        redis.publish(KEYS.alerts_channel, first_alert().model_dump_json())
        report = report_of(
            "producer", now=time.time(), progress_at=time.time(),
            cameras={"c": CameraReport("reconnecting", 0.0, None, "rtsp://me:oats@host refused", "", 0)},
        )  # fmt: skip
        HealthBoard(redis, KEYS).write(report)
        heard_while(observer, lambda: observer.snapshot(time.time()).alerts)
    seen = observer.snapshot(time.time())
    assert seen.decisions == 10
    assert {camera.id: round(camera.fps * seen.seconds) for camera in seen.cameras} == {"a": 5, "b": 5, "c": 0}
    # Heard some time after it was made, which on a busy machine may be long.
    for stage, at_least in zip(STAGES, (100, 50, 200, 50, 400), strict=True):
        assert seen.stages[stage]["p50"] >= at_least - 0.1
    assert seen.stages["capture"]["p99"] == pytest.approx(100, abs=0.1)
    silent = next(camera for camera in seen.cameras if camera.id == "c")
    assert (silent.state, silent.detail) == ("reconnecting", "rtsp://***@host refused")
    assert seen.alerts[0].message == first_alert().message
    assert [queue.name for queue in seen.queues] == ["frames", "results", "tasks", "outbox"]


def test_it_hears_on_after_a_restart_of_redis(valkey: Valkey, observer: Observer) -> None:
    with connect(valkey.url, 1.0) as teller:
        told = [0]

        def heard() -> bool:
            """Of as many decisions as are to be told now; a told one may not be heard yet."""
            if not told[0]:
                told[0] = tell(teller)
            return told[0] > 0 and observer.snapshot(time.time()).decisions == wanted

        wanted = 1
        heard_while(observer, heard)
        valkey.kill()
        assert "Redis is away" in observer.snapshot(time.time()).trouble
        valkey.start()
        told, wanted = [0], 2
        heard_while(observer, heard)


def test_into_a_file_it_prints_once(valkey: Valkey, processes: Processes) -> None:
    env = {"FBTASKS_REDIS_URL": valkey.url}
    top = processes.start("fbtasks", "top", "--seconds", "1", env=env)
    assert top.wait(60) == 1
    assert "nothing runs here; is `fbtasks up` running?" in top.output()
    assert "\x1b" not in top.output()


def test_as_json_it_is_the_same_for_programs(valkey: Valkey, processes: Processes) -> None:
    top = processes.start("fbtasks", "top", "--json", "--seconds", "1", env={"FBTASKS_REDIS_URL": valkey.url})
    assert top.wait(60) == 1
    told = json.loads(top.output())
    assert told["decisions"] == 0
    assert told["cameras"] == []
    assert told["trouble"] == "nothing runs here; is `fbtasks up` running?"
