"""A private MQTT broker, and what it was told."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.ports import LOOPBACK, free_port
from tests.servers import Server

MISSING = "Mosquitto is not installed; ops/install-test-packages installs it (Debian package mosquitto)"


class Mosquitto(Server):
    """Mosquitto on loopback. It keeps nothing on disk, so a restart forgets retained messages too."""

    def __init__(self, folder: Path, *, anonymous: bool = True) -> None:
        super().__init__(folder / "mosquitto.log")
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        self._file.write_text(f"listener {self.port} {LOOPBACK}\nallow_anonymous {str(anonymous).lower()}\n")

    def command(self) -> list[str]:
        """The packaged server with this instance's settings."""
        return [program(), "-c", str(self._file)]

    def is_ready(self) -> bool:
        """Whether it greets."""
        client = Client(CallbackAPIVersion.VERSION2)
        try:
            client.connect(LOOPBACK, self.port)
        except OSError:
            return False
        client.disconnect()
        return True


def program() -> str:
    """Its path, empty when it is not installed; servers are often outside a user's search path."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin") or ""


@contextmanager
def heard(broker: Mosquitto, pattern: str = "#") -> Iterator[dict[str, list[str]]]:
    """All payloads by topic from now on, and first of all what the broker has retained."""
    messages: dict[str, list[str]] = {}
    listening = Event()

    def hear(_client: Client, _data: object, message: MQTTMessage) -> None:
        messages.setdefault(message.topic, []).append(message.payload.decode())

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = hear
    client.on_subscribe = lambda *_: listening.set()
    client.connect(LOOPBACK, broker.port)
    client.loop_start()
    client.subscribe(pattern, qos=1)
    assert listening.wait(10), "the broker did not take the subscription"
    try:
        yield messages
    finally:
        client.disconnect()
        client.loop_stop()
