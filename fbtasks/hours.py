"""Hours of the day as they are written in settings, `20:00-06:00`."""

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


@lru_cache(maxsize=256)
def minutes(hours: str) -> tuple[int, int]:
    """First minute of the day in `hours`, and the first one after them; the second may be the lower.

    Raises:
        ValueError: they are no hours of a day.
    """
    match = _HOURS.fullmatch(hours)
    if match is None:
        raise ValueError(f"{hours!r} are no hours of a day, write them like 20:00-06:00")
    begin, end = 60 * int(match[1]) + int(match[2]), 60 * int(match[3] or 24) + int(match[4] or 0)
    if begin == end:
        raise ValueError(f"{hours!r} is no time at all, write 00:00-24:00 for the whole day")
    return begin, end


def _hours(value: str) -> str:
    minutes(value)
    return value


Hours = Annotated[str, AfterValidator(_hours)]
"""A part of the day by the stable's clock, as `20:00-06:00`."""
