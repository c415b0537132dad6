"""An MQTT broker: every alert as a message, and for Home Assistant what is the case at each camera.

Alerts are events: each is delivered once, in its order, as everywhere. What is the case is shown instead: from the open
episodes in the store, after every delivery and twice a minute, so that it is right again after whatever went wrong. It
expires in Home Assistant when it is not renewed, so a dead site does not look like a quiet one.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from time import monotonic
from types import ModuleType
from typing import Any

from fbtasks import __version__
from fbtasks.alert import Alert
from fbtasks.errors import DeliveryFailed, ExtraMissing
from fbtasks.settings import MqttSettings

EXPIRES_S = 120
"""What was not renewed for so long is unknown to Home Assistant."""
BLIND = "camera_blind"
"""The rule whose open episode says that nothing else is known of its camera."""


@dataclass(frozen=True, slots=True)
class Device:
    """What Home Assistant is told of one camera.

    Attributes:
        camera_id: of the camera.
        name: that people read: the horse's, or the camera's.
        rules: each is a sensor that is on while an alert of it is open.
    """

    camera_id: str
    name: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to the broker; a retained one is kept there for whoever comes later."""

    topic: str
    payload: str
    retain: bool


class Mqtt:
    """Publishes with at-least-once delivery and waits for the broker's word; connects for each delivery."""

    def __init__(self, name: str, settings: MqttSettings, devices: Sequence[Device]) -> None:
        """`devices`: what is shown; none: nothing is.

        Raises:
            ConfigError: the MQTT client is not installed.
        """
        self.name = name
        self.timeout_s = settings.timeout_s
        self.devices = devices
        self._settings = settings
        self._library = _library(name)

    def send(self, alert: Alert) -> None:
        """See `Sink.send`. Everything may be mended at the broker, so everything is tried again."""
        self._publish([Message(f"{self._settings.topic}/alerts", alert.model_dump_json(), retain=False)])

    def show(self, open_alerts: Iterable[Alert]) -> None:
        """See `Shows.show`."""
        base = self._settings.topic
        messages: list[Message] = []
        for device in self.devices:
            on = {alert.rule: alert for alert in open_alerts if alert.camera_id == device.camera_id}
            topic = f"{base}/{device.camera_id}"
            messages += (
                Message(_discovery_topic(self._settings, device), json.dumps(discovery(base, device)), retain=True),
                Message(
                    f"{topic}/state", json.dumps({rule: _state(on.get(rule)) for rule in device.rules}), retain=True
                ),
                Message(f"{topic}/availability", "offline" if BLIND in on else "online", retain=True),
            )
        if messages:
            self._publish(messages)

    def reach(self) -> None:
        """Connect and part again: whether the broker takes us.

        Raises:
            DeliveryFailed: it does not.
        """
        self._publish([])

    def _publish(self, messages: Sequence[Message]) -> None:
        """Publish all, or raise `DeliveryFailed` within about twice `timeout_s`."""
        deadline = monotonic() + self.timeout_s
        client, answered = self._client()
        try:
            client.connect(self._settings.host, self._settings.port or (8883 if self._settings.tls else 1883))
            client.loop_start()
            answered.wait(deadline - monotonic())
            self._refuse_unless_connected(client, answered)
            sent = [client.publish(one.topic, one.payload, qos=1, retain=one.retain) for one in messages]
            for one in sent:
                one.wait_for_publish(max(0.001, deadline - monotonic()))
            if not all(one.is_published() for one in sent):
                raise DeliveryFailed(self._silence(), retryable=True)
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DeliveryFailed(f"the connection to the MQTT broker failed: {reason}", retryable=True) from None
        finally:
            client.disconnect()
            client.loop_stop()

    def _client(self) -> tuple[Any, Event]:
        """A client, and what is set when the broker has answered its greeting."""
        client = self._library.Client(self._library.CallbackAPIVersion.VERSION2)
        answered = Event()

        def on_connect(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
            client.user_data_set(code)
            answered.set()

        client.on_connect = on_connect
        client.connect_timeout = self.timeout_s
        if self._settings.username is not None:
            password = self._settings.password
            client.username_pw_set(self._settings.username, password.get_secret_value() if password else None)
        if self._settings.tls:
            client.tls_set()
        return client, answered

    def _refuse_unless_connected(self, client: Any, answered: Event) -> None:
        if not answered.is_set():
            raise DeliveryFailed(self._silence(), retryable=True)
        code = client.user_data_get()
        if code.is_failure:
            raise DeliveryFailed(f"the MQTT broker refused: {code}", retryable=True)

    def _silence(self) -> str:
        return f"the MQTT broker did not answer within {self.timeout_s:g} s"


def discovery(base: str, device: Device) -> dict[str, Any]:
    """What Home Assistant (2024.11 or later) is told of a device: https://www.home-assistant.io/integrations/mqtt/."""
    topic = f"{base}/{device.camera_id}"
    return {
        "device": {
            "identifiers": [_identifier(base, device)],
            "name": device.name,
            "manufacturer": "fbtasks",
            "model": f"camera {device.camera_id}",
        },
        "origin": {"name": "fbtasks", "sw_version": __version__},
        "components": {rule: _sensor(base, device, rule) for rule in device.rules},
        "state_topic": f"{topic}/state",
        "qos": 1,
    }


def _sensor(base: str, device: Device, rule: str) -> dict[str, Any]:
    topic = f"{base}/{device.camera_id}"
    # A camera that shows nothing makes the other sensors unavailable, not itself.
    seen = {} if rule == BLIND else {"availability_topic": f"{topic}/availability"}
    return {
        "platform": "binary_sensor",
        "unique_id": f"{_identifier(base, device)}_{rule}",
        "name": rule.replace("_", " ").capitalize(),
        "device_class": "problem",
        "value_template": f"{{{{ value_json.{rule}.state }}}}",
        "json_attributes_topic": f"{topic}/state",
        "json_attributes_template": f"{{{{ value_json.{rule} | tojson }}}}",
        "expire_after": EXPIRES_S,
        **seen,
    }


def _identifier(base: str, device: Device) -> str:
    """In the characters that discovery topics allow; the topic in it keeps two sites on one broker apart."""
    return f"{base}_{device.camera_id}".replace("/", "--").replace(".", "--")


def _discovery_topic(settings: MqttSettings, device: Device) -> str:
    return f"{settings.discovery}/device/{_identifier(settings.topic, device)}/config"


def _state(alert: Alert | None) -> dict[str, str]:
    if alert is None:
        return {"state": "OFF"}
    since = datetime.fromtimestamp(alert.started_at, UTC).isoformat(timespec="seconds")
    return {"state": "ON", "severity": alert.severity, "since": since, "message": alert.message}


def _library(name: str) -> ModuleType:
    try:
        import paho.mqtt.client  # noqa: PLC0415 - only where such a sink is set
    except ImportError:
        raise ExtraMissing(f"sinks.{name}: the MQTT client is missing; run `pip install fbtasks[mqtt]`") from None
    return paho.mqtt.client
