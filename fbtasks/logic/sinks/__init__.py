"""Where alerts are sent. One module per kind of sink."""

from typing import Protocol

from fbtasks.alert import Alert


class Sink(Protocol):
    """One place that every alert is told to."""

    @property
    def name(self) -> str:
        """Name of the sink in the store and in logs, at most 32 characters."""

    @property
    def timeout_s(self) -> float:
        """`send` ends within about this many seconds."""

    def send(self, alert: Alert) -> None:
        """Hand the alert over. May happen twice for one alert (a process died in between): its `id` says so.

        Raises:
            DeliveryFailed: it was not taken, and whether trying again can help.
        """
