"""Several sinks at once in a real Celery worker: each gets what is meant for it, one that is away holds up none."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from fbtasks.alert import Alert, Event, alert_id
from tests.acceptance.stable import Stable
from tests.alerts import first_alert
from tests.backend import Backend
from tests.mosquitto import MISSING, Mosquitto, heard, program
from tests.ports import LOOPBACK, free_port
from tests.processes import Processes
from tests.servers import Valkey
from tests.waiting import wait_until

SETTINGS = """
[sinks.backend]
kind = "webhook"
url = "{backend}"

[sinks.away]
kind = "webhook"
url = "http://{loopback}:{nobody}/"

[sinks.groom]
kind = "apprise"
url = "{groom}"
min_severity = "critical"

[sinks.vet]
kind = "webhook"
url = "{vet}"
escalate_after_min = 0.1

[sinks.home]
kind = "mqtt"
host = "{loopback}"
port = {broker}

[[cameras]]
id = "box-1"
url = "rtsp://{loopback}:1/1"
horse = "Luna"
"""


@pytest.fixture
def others() -> Iterator[list[Backend]]:
    servers = [Backend(), Backend()]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if not program():
        pytest.skip(MISSING)
    server = Mosquitto(tmp_path)
    server.start()
    yield server
    server.kill()


def after(raised: Alert, number: int, event: Event, severity: str) -> Alert:
    changes = {"id": alert_id(raised.episode_id, number), "number": number, "event": event, "severity": severity}
    return raised.model_copy(update=changes)


@pytest.fixture
def stable(tmp_path: Path, valkey: Valkey, processes: Processes) -> Stable:
    return Stable(tmp_path, valkey, valkey, processes)


def test_each_sink_gets_what_is_meant_for_it(
    stable: Stable, valkey: Valkey, backend: Backend, others: list[Backend], broker: Mosquitto
) -> None:
    groom, vet = others
    urls = {"backend": backend.url, "groom": groom.url.replace("http://", "json://"), "vet": vet.url}
    stable.settings(SETTINGS.format(**urls, broker=broker.port, loopback=LOOPBACK, nobody=free_port()))
    redis = valkey.client()
    lying, short = first_alert(), first_alert("box-2")
    with heard(broker) as messages:
        stable.start("worker")
        stable.start("beat")
        commit(redis, lying)
        commit(redis, short)
        commit(redis, after(short, 1, "cleared", "warning"))
        wait_until(lambda: told(vet) == ["raised"], 60, "the vet to be told of what nobody has seen to")
        commit(redis, after(lying, 1, "escalated", "critical"))
        wait_until(lambda: len(groom.requests) == 1, 60, "the groom to be told that it is critical")
        commit(redis, after(lying, 2, "cleared", "critical"))
        wait_until(lambda: len(groom.requests) == 2 and told(vet)[-1:] == ["cleared"], 60, "the end")
        wait_until(lambda: len(messages.get("fbtasks/alerts", [])) == 5, 60, "every alert on the broker")
        wait_until(lambda: states(messages)[-1:] == ["OFF"], 60, "the state on the broker")

    assert sorted(told(backend)) == ["cleared", "cleared", "escalated", "raised", "raised"]
    assert told(vet) == ["raised", "escalated", "cleared"]
    assert {request.json["camera_id"] for request in vet.requests} == {"box-1"}, "box-2 was over in time"
    assert [request.json["title"] for request in groom.requests] == [
        "WORSE (critical): Luna (box-1)",
        "over: Luna (box-1)",
    ]
    assert "ON" in states(messages)
    assert json.loads(messages["homeassistant/device/fbtasks_box-1/config"][0])["device"]["name"] == "Luna"


def commit(redis: Redis, alert: Alert) -> None:
    """As the logic does."""
    redis.xadd("alerts:outbox", {"d": alert.model_dump_json()})


def told(backend: Backend) -> list[str]:
    return [request.json["event"] for request in backend.requests]


def states(messages: dict[str, list[str]]) -> list[str]:
    return [json.loads(state)["lying"]["state"] for state in messages.get("fbtasks/box-1/state", [])]
