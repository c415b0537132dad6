"""Whatever Apprise knows: mail, SMS, ntfy, Telegram, Pushover and a hundred others, each by its URL."""

from collections.abc import Mapping
from types import ModuleType

from fbtasks.alert import SEVERITIES, Alert
from fbtasks.errors import ConfigError, DeliveryFailed, ExtraMissing
from fbtasks.logic.localtime import Zone
from fbtasks.logic.sinks.wording import text, title
from fbtasks.redaction import redact


class AppriseSink:
    """Sends each alert as a short message for people."""

    def __init__(self, name: str, url: str, timeout_s: float, horses: Mapping[str, str], zone: Zone) -> None:
        """`horses`: names by camera; `zone`: of the times in messages.

        Raises:
            ConfigError: Apprise is not installed, or knows no such URL.
        """
        self.name = name
        self.timeout_s = timeout_s
        self._horses = horses
        self._zone = zone
        self._library = _library(name)
        self._services = self._library.Apprise()
        if not self._services.add(url):
            raise ConfigError(f"sinks.{name}.url is none that Apprise knows; they are listed at appriseit.com")

    def send(self, alert: Alert) -> None:
        """See `Sink.send`. Apprise does not tell what trying again could mend, so everything is tried again."""
        result = self._services.notify(
            body=text(alert, self._zone),
            title=title(alert, self._horses.get(alert.camera_id, "")),
            notify_type=self._type_of(alert),
            body_format=self._library.NotifyFormat.TEXT,
            timeout=self.timeout_s,
        )
        if not result:
            said = [redact(str(entry.message)) for entry in result.logs()]
            raise DeliveryFailed(
                f"Apprise could not send it: {said[-1] if said else result.status.name}", retryable=True
            )

    def _type_of(self, alert: Alert) -> object:
        """Decides on the colour or the sign that the service gives the message."""
        kinds = self._library.NotifyType
        if alert.event in {"acknowledged", "cleared"}:
            return kinds.SUCCESS
        by_severity = dict(zip(SEVERITIES, (kinds.INFO, kinds.INFO, kinds.WARNING, kinds.FAILURE), strict=True))
        return by_severity[alert.severity]


def _library(name: str) -> ModuleType:
    try:
        # Only where such a sink is set: it brings a hundred services along.
        import apprise  # noqa: PLC0415
    except ImportError:
        raise ExtraMissing(f"sinks.{name}: Apprise is missing; run `pip install fbtasks[apprise]`") from None
    return apprise
