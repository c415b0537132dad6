"""News of the stable, a line each, in words that a groom understands."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from fbtasks.alert import Alert
from fbtasks.logic.attention import Mute
from fbtasks.logic.localtime import Zone, clock_text
from fbtasks.logic.rules.base import duration
from fbtasks.logic.sinks.wording import news, place
from fbtasks.logic.store import AlertView, DeliveryView, Detail, EpisodeView

SHORT_ID = 8
"""Digits of an identifier that are shown; every command takes so few, or fewer, as long as one alert fits."""
_KEPT = {"held": "held back", "withheld": "not told to anybody"}
_DELIVERY = {"pending": "waits", "held": "held back", "dead": "given up", "skipped": "not sent, it was over before"}
_HELD = {"mute": "muted", "storm": "waits for room"}


def line(at: float, where: str, what: str, message: str, zone: Zone = None) -> str:
    """What happened where at `at` (unix seconds)."""
    return f"{datetime.fromtimestamp(at, zone):%H:%M:%S}  {where:<6} {what:<16} {message}"


def alert_line(alert: Alert, zone: Zone = None) -> str:
    """An alert, with the kind of news that it is."""
    return line(alert.at, place(alert.camera_id), news(alert), alert.message, zone)


def view_line(view: AlertView, zone: Zone) -> str:
    """As `alert_line`, saying so when it was not told."""
    return alert_line(view.alert, zone) + (f"  ({_KEPT[view.kept]})" if view.kept else "")


def _state(episode: EpisodeView) -> str:
    if episode.waiting:
        return _HELD.get(episode.held_by or "", episode.state)
    if episode.state == "cleared":
        return "over, muted" if episode.told_at is None and episode.held_by == "mute" else "over"
    return "seen to" if episode.state == "acknowledged" else "open"


def table(found: Sequence[EpisodeView], now: float, zone: Zone) -> Iterator[str]:
    """The episodes at `now` (unix seconds), a line each, in columns."""
    rows = [
        (
            episode.id[:SHORT_ID],
            clock_text(episode.raised_at, now, zone),
            _state(episode),
            episode.severity,
            place(episode.camera_id),
            episode.rule,
            episode.message,
        )
        for episode in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]])


def told(found: Detail, now: float, zone: Zone, folder: Path) -> Iterator[str]:
    """All about an episode, a line each; its pictures are in the folder."""
    episode = found.episode
    yield f"{episode.message}"
    yield f"  id          {episode.id}"
    yield f"  camera      {place(episode.camera_id)}, rule {episode.rule}, {episode.severity}"
    yield f"  state       {_state(episode)}"
    yield f"  began       {clock_text(episode.started_at, now, zone)}"
    yield f"  raised      {clock_text(episode.raised_at, now, zone)}"
    if episode.cleared_at is not None:
        after = duration(episode.cleared_at - episode.started_at)
        yield f"  over        {clock_text(episode.cleared_at, now, zone)}, after {after}"
    if episode.acknowledged_at is not None:
        note = f": {episode.note}" if episode.note else ""
        yield f"  seen to     {clock_text(episode.acknowledged_at, now, zone)} by {episode.acknowledged_by}{note}"
    if episode.held_by is not None and episode.held_at is not None:
        why = {"mute": "a mute", "storm": "a storm of alerts"}[episode.held_by]
        yield f"  held back   {clock_text(episode.held_at, now, zone)} by {why}"
    for view in found.alerts:
        yield ""
        yield view_line(view, zone)
        if view.alert.picture is not None:
            yield f"    picture: {folder / view.alert.picture}"
        if view.alert.clip is not None:
            yield f"    clip: {folder / view.alert.clip}"
        for name, value in view.alert.evidence.items():
            yield f"    {name}: {_value(value)}"
        for delivery in view.deliveries:
            yield f"    -> {delivery_words(delivery, now, zone)}"


def _value(value: float | str | None) -> str:
    return "unknown" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def delivery_words(one: DeliveryView, now: float, zone: Zone) -> str:
    """How far a delivery has come at `now` (unix seconds)."""
    tries = "1 try" if one.attempts == 1 else f"{one.attempts} tries"
    ended = f" {clock_text(one.ended_at, now, zone)}" if one.ended_at is not None else ""
    due = f", next {clock_text(one.due_at, now, zone)}" if one.state in {"pending", "held"} else ""
    error = f": {one.last_error}" if one.last_error else ""
    return f"{one.sink}: {_DELIVERY.get(one.state, one.state)}{ended}, {tries}{due}{error}"


def scope(one: Mute) -> str:
    """Which alerts a mute is about."""
    which = f"{one.rule} alerts" if one.rule is not None else "alerts"
    return f"{which} of {'all cameras' if one.camera_id is None else place(one.camera_id)}"


def mute_words(one: Mute, now: float, zone: Zone) -> str:
    """A mute, and until when it holds."""
    critical = "even critical ones" if one.even_critical else "critical ones break through"
    return f"{scope(one)} until {clock_text(one.until, now, zone)}, {critical}; by {one.by}"
