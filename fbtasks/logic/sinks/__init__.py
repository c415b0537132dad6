"""Where alerts are sent. One module per kind of sink."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from fbtasks.alert import Alert


class Sink(Protocol):
    """One place that alerts are told to."""

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


@runtime_checkable
class Shows(Protocol):
    """A sink that also shows what is the case now, whatever events it was told before."""

    def show(self, open_alerts: Iterable[Alert]) -> None:
        """Show these, the last alert of each open episode, and nothing else as open.

        Raises:
            DeliveryFailed: it could not be shown; called again within half a minute.
        """
