"""The MQTT sink on a real broker, and what Home Assistant would read there."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fbtasks.alert import Alert
from fbtasks.errors import DeliveryFailed
from fbtasks.logic.sinks import Shows, Sink
from fbtasks.logic.sinks.making import make_sink
from fbtasks.logic.sinks.mqtt import Device, Mqtt
from fbtasks.settings import CameraSettings, MqttSettings, Settings
from tests.alerts import first_alert
from tests.mosquitto import MISSING, Mosquitto, heard, program
from tests.ports import LOOPBACK
from tests.servers import Valkey
from tests.waiting import wait_until

LUNA = Device("box-1", "Luna", ("lying", "camera_blind"))
STATE, AVAILABILITY = "fbtasks/box-1/state", "fbtasks/box-1/availability"
CONFIG = "homeassistant/device/fbtasks_box-1/config"
Start = Callable[..., Mosquitto]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    if not program():
        pytest.skip(MISSING)
    started: list[Mosquitto] = []

    def started_broker(*, anonymous: bool = True) -> Mosquitto:
        broker = Mosquitto(tmp_path, anonymous=anonymous)
        started.append(broker)
        broker.start()
        return broker

    yield started_broker
    for broker in started:
        broker.kill()


@pytest.fixture
def broker(start: Start) -> Mosquitto:
    return start()


def sink_of(broker: Mosquitto, *devices: Device, timeout_s: float = 10.0) -> Mqtt:
    settings = MqttSettings(kind="mqtt", host=LOOPBACK, port=broker.port, timeout_s=timeout_s)
    return Mqtt("home", settings, devices)


def test_a_listener_gets_each_alert(broker: Mosquitto) -> None:
    sink: Sink = sink_of(broker)
    alert = first_alert()
    with heard(broker) as messages:
        sink.send(alert)
        wait_until(lambda: messages, message="the alert")
    assert [Alert.model_validate_json(one) for one in messages["fbtasks/alerts"]] == [alert]


def test_what_is_the_case_is_kept_for_who_comes_later(broker: Mosquitto) -> None:
    sink = sink_of(broker, LUNA)
    assert isinstance(sink, Shows)
    sink.show([first_alert(), first_alert("box-2")])
    with heard(broker) as messages:
        wait_until(lambda: len(messages) == 3, message="three retained messages")
        assert json.loads(messages[STATE][0]) == {
            "lying": {
                "state": "ON",
                "severity": "warning",
                "since": "2023-11-14T22:13:20+00:00",
                "message": "Liegt, bitte prüfen",
            },
            "camera_blind": {"state": "OFF"},
        }
        assert messages[AVAILABILITY] == ["online"]
        sink.show([])
        wait_until(lambda: len(messages[STATE]) == 2, message="the new state")
        assert json.loads(messages[STATE][1])["lying"] == {"state": "OFF"}


def test_a_blind_camera_says_nothing_of_its_horse(broker: Mosquitto) -> None:
    sink_of(broker, LUNA).show([first_alert(rule="camera_blind")])
    with heard(broker) as messages:
        wait_until(lambda: len(messages) == 3, message="three retained messages")
    assert messages[AVAILABILITY] == ["offline"]
    sensors = json.loads(messages[CONFIG][0])["components"]
    assert sensors["lying"]["availability_topic"] == AVAILABILITY
    assert "availability_topic" not in sensors["camera_blind"]


def test_home_assistant_is_told_a_device_with_a_sensor_for_each_rule(broker: Mosquitto, valkey: Valkey) -> None:
    settings = Settings.model_validate(
        {
            "sinks": {"home": {"kind": "mqtt", "host": LOOPBACK, "port": broker.port, "rules": ["lying", "too_fast"]}},
            "cameras": [
                CameraSettings.model_validate({"id": "box-1", "url": "rtsp://10.0.0.1/1", "horse": "Luna"}),
                CameraSettings.model_validate({"id": "box.2", "url": "rtsp://10.0.0.2/1"}),
                CameraSettings.model_validate({"id": "off", "url": "rtsp://10.0.0.3/1", "enabled": False}),
            ],
        }
    )
    with valkey.client() as redis:
        sink = make_sink(settings, "home", redis)
    assert isinstance(sink, Shows)
    sink.show([])
    with heard(broker, "homeassistant/#") as messages:
        wait_until(lambda: len(messages) == 2, message="two devices")
    told = {topic: json.loads(texts[0]) for topic, texts in messages.items()}
    assert told.keys() == {CONFIG, "homeassistant/device/fbtasks_box--2/config"}
    luna = told[CONFIG]
    assert luna["device"]["name"] == "Luna"
    assert luna["origin"]["name"] == "fbtasks"
    assert luna["state_topic"] == STATE
    assert luna["components"].keys() == {"lying", "too_fast"}
    assert (
        luna["components"]["too_fast"] | {"platform": "binary_sensor", "name": "Too fast"}
        == (luna["components"]["too_fast"])
    )
    ids = [sensor["unique_id"] for device in told.values() for sensor in device["components"].values()]
    assert len(set(ids)) == 4


def test_a_broker_that_is_away_is_retryable_and_heals(broker: Mosquitto) -> None:
    sink = sink_of(broker)
    broker.kill()
    with pytest.raises(DeliveryFailed, match="Connection refused") as caught:
        sink.send(first_alert())
    assert caught.value.retryable
    broker.start()
    sink.send(first_alert())


def test_a_broker_that_hangs_is_not_waited_for_long(broker: Mosquitto) -> None:
    broker.pause()
    with pytest.raises(DeliveryFailed, match=r"did not answer within 0\.5 s") as caught:
        sink_of(broker, timeout_s=0.5).send(first_alert())
    broker.resume()
    assert caught.value.retryable


def test_a_broker_that_wants_a_password_says_so(start: Start) -> None:
    with pytest.raises(DeliveryFailed, match="the MQTT broker refused: Not authorized"):
        sink_of(start(anonymous=False)).send(first_alert())
