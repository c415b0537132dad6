"""Unix seconds as the clock on a stable's wall shows them. Conversions only: nothing here asks what time it is."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fbtasks.hours import minutes

Zone = ZoneInfo | None
"""A time zone; None is that of this machine."""


def clock_text(at: float, now: float, zone: Zone) -> str:
    """`at` as a groom says it at `now` (both unix seconds): `02:14:05`, with the date when that is another day."""
    then, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    return f"{then:%H:%M:%S}" if then.date() == today.date() else f"{then:%d %b %H:%M:%S}"


def within(spans: Sequence[str], at: float, zone: Zone) -> bool:
    """Whether the clock on the wall shows a time in one of `spans` at `at` (unix seconds)."""
    now = datetime.fromtimestamp(at, zone)
    minute = 60 * now.hour + now.minute
    return any(
        begin <= minute < end if begin < end else minute >= begin or minute < end for begin, end in map(minutes, spans)
    )


def span_of(day: date, hours: str, zone: Zone) -> tuple[float, float]:
    """Unix seconds at which `hours`, as `20:00-06:00`, begin on `day` and end, then or on the next day.

    Raises:
        ValueError: they are no hours of a day.
    """
    begin, end = minutes(hours)
    last = day + timedelta(days=1) if end <= begin or end == 24 * 60 else day
    return _unix(day, begin, zone), _unix(last, end, zone)


def last_over(now: float, hours: str, zone: Zone) -> date:
    """The last day on which `hours` began that are over at `now` (unix seconds)."""
    day = datetime.fromtimestamp(now, zone).date()
    while span_of(day, hours, zone)[1] > now:
        day -= timedelta(days=1)
    return day


def day_text(at: float, zone: Zone) -> str:
    """The day of `at` (unix seconds) in words: `Saturday 21 November 2026`."""
    return f"{datetime.fromtimestamp(at, zone):%A %-d %B %Y}"


def _unix(day: date, minute: int, zone: Zone) -> float:
    return datetime.combine(day, time(minute // 60 % 24, minute % 60), zone).timestamp()
