"""A process of ours shows itself to Flower, and again when the broker was away."""

import base64
import json
from typing import Any

from redis.client import PubSub

from tests.processes import Processes
from tests.servers import Valkey
from tests.waiting import wait_until

SHOWN = """
import threading, time
from itertools import count
from fbtasks.cli.presence import Presence, batch_shown
from fbtasks.health import report_of
from fbtasks.lifecycle import on_stop

batches, stop = count(1), threading.Event()


def report():
    facts = {"batch": 4, "run_ms": 20.0, "provider": "cpu"}
    return report_of("gpu", now=time.time(), progress_at=None, facts=facts, counters={"batches": next(batches)})


with on_stop(stop.set), Presence("infer", report, batch_shown):
    stop.wait()
"""


def heard(channel: PubSub) -> dict[str, Any]:
    """The next event, by its kind; none while nothing is told."""
    message = channel.get_message(timeout=0.1)
    if message is None:
        return {}
    body: dict[str, Any] = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
    return {body["type"]: body}


def test_it_is_told_of_again_when_the_broker_is_back(valkey: Valkey, processes: Processes) -> None:
    with valkey.client() as redis:
        channel = redis.pubsub(ignore_subscribe_messages=True)
        channel.psubscribe("/0.celeryev*")
        process = processes.start("python", "-c", SHOWN, env={"FBTASKS_REDIS_URL": valkey.url})
        wait_until(lambda: "worker-online" in heard(channel), 60, "it to be there")
        wait_until(lambda: "task-succeeded" in heard(channel), 30, "a batch")
    valkey.restart()
    with valkey.client() as redis:
        channel = redis.pubsub(ignore_subscribe_messages=True)
        channel.psubscribe("/0.celeryev*")
        wait_until(lambda: "task-succeeded" in heard(channel), 30, "a batch after the restart")
        wait_until(lambda: "worker-heartbeat" in heard(channel), 30, "a heartbeat")
        assert process.terminate(10) == 0
        wait_until(lambda: "worker-offline" in heard(channel), 10, "it to say that it goes")
        assert not list(redis.scan_iter("*celeryev*")), "events are not stored"
    assert "Traceback" not in process.output()
