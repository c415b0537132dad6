"""An alert in the words of a message on somebody's telephone."""

from fbtasks.alert import SITE, Alert, Event
from fbtasks.logic.localtime import Zone, clock_text

WORDS: dict[Event, str] = {
    "raised": "ALERT",
    "updated": "STILL",
    "escalated": "WORSE",
    "acknowledged": "SEEN TO",
    "cleared": "over",
}


def title(alert: Alert, horse: str = "") -> str:
    """One line: what kind of news it is, how bad, and where."""
    where = place(alert.camera_id)
    return f"{news(alert)}: {f'{horse} ({where})' if horse else where}"


def news(alert: Alert) -> str:
    """What kind of news it is, and how bad."""
    return WORDS[alert.event] + ("" if alert.event in {"acknowledged", "cleared"} else f" ({alert.severity})")


def place(camera_id: str) -> str:
    """The camera, or the stable as a whole."""
    return "stable" if camera_id == SITE else camera_id


def text(alert: Alert, zone: Zone) -> str:
    """The sentence of the alert, and the time of day that it is about."""
    return f"{alert.message}\n{clock_text(alert.at, alert.at, zone)}"
