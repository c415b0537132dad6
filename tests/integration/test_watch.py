"""`fbtasks watch`: what it measures, and that a restart of Redis does not end it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import msgspec
import pytest
from redis import Redis

from fbtasks.cli.watch import STAGES, Tally, measure
from fbtasks.keys import Keys
from fbtasks.logic.pipeline import Decision
from fbtasks.transport import connect
from tests.servers import Valkey
from tests.waiting import wait_until

KEYS = Keys()


def decision(seq: int, camera_id: str = "box-3") -> Decision:
    return Decision(
        camera_id=camera_id,
        seq=seq,
        captured_at=100.0,
        sent_at=100.001,
        taken_at=100.003,
        inferred_at=100.013,
        width=64,
        height=64,
        tracks=[],
        events=[],
    )


def tell(redis: Redis, seq: int) -> int:
    """How many listeners heard it."""
    return cast(int, redis.publish(KEYS.decisions_channel, msgspec.json.encode(decision(seq))))


def test_rates_and_latencies_of_what_was_heard() -> None:
    tally = Tally()
    for seq in range(10):
        tally.add(decision(seq, "a" if seq % 2 else "b"), heard_at=100.020)
    summary = tally.summary(2.0)
    assert summary["decisions"] == 10
    assert summary["fps"] == {"a": 2.5, "b": 2.5}
    latency = summary["latency_ms"]
    assert isinstance(latency, dict)
    assert [latency[stage]["p95"] for stage in STAGES] == pytest.approx([1.0, 2.0, 10.0, 7.0, 20.0], abs=0.01)


def test_it_hears_on_after_a_restart_of_redis(valkey: Valkey) -> None:
    stop = threading.Event()
    listener, teller = connect(valkey.url, 1.0), connect(valkey.url, 1.0)
    with ThreadPoolExecutor(1) as threads, listener, teller:
        measuring = threads.submit(measure, listener, KEYS, 60.0, stop)
        try:
            wait_until(lambda: tell(teller, 1), message="it to listen")
            valkey.restart()
            wait_until(lambda: tell(teller, 2), message="it to listen again")
        finally:
            stop.set()
        tally, heard_for = measuring.result(5.0)
    assert len(tally.cameras["box-3"]) == 2
    assert 0 < heard_for < 60
