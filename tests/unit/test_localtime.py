"""Hours of the day by the stable's clock."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.hours import minutes
from fbtasks.logic.localtime import clock_text, last_over, span_of, within

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("span", "time", "inside"),
    [
        ("06:00-20:00", "06:00:00", True),
        ("06:00-20:00", "05:59:59", False),
        ("06:00-20:00", "19:59:59", True),
        ("06:00-20:00", "20:00:00", False),
        ("20:00-06:00", "23:00:00", True),
        ("20:00-06:00", "05:59:59", True),
        ("20:00-06:00", "12:00:00", False),
        ("00:00-24:00", "00:00:00", True),
        ("18:30-24:00", "23:59:59", True),
        ("18:30-24:00", "00:00:00", False),
    ],
)
def test_hours_of_the_day_may_go_over_midnight(span: str, time: str, *, inside: bool) -> None:
    assert within([span], at(f"2026-01-15T{time}"), BERLIN) is inside


def test_hours_are_those_of_the_clock_in_summer_too() -> None:
    assert within(["06:00-07:00"], at("2026-07-15T06:30:00"), BERLIN)
    assert within(["06:00-07:00"], at("2026-01-15T06:30:00"), BERLIN)


def test_any_of_several_spans_will_do_and_none_is_never() -> None:
    spans = ["06:00-08:00", "17:00-19:00"]
    assert [within(spans, at(f"2026-01-15T{hour}:30:00"), BERLIN) for hour in ("07", "12", "18")] == [True, False, True]
    assert not within([], at("2026-01-15T07:30:00"), BERLIN)


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_span_and_what_it_leaves_out_make_the_day(begin: int, end: int, now: int) -> None:
    if begin == end:
        return
    begin_text, end_text, now_text = (f"{minute // 60:02}:{minute % 60:02}" for minute in (begin, end, now))
    moment = at(f"2026-01-15T{now_text}:00")
    inside = within([f"{begin_text}-{end_text}"], moment, BERLIN)
    assert inside is not within([f"{end_text}-{begin_text}"], moment, BERLIN)


@pytest.mark.parametrize(
    "span", ["", "6:00-20:00", "06:00", "25:00-06:00", "06:00-06:60", "24:00-06:00", "06:00-06:00"]
)
def test_what_are_no_hours_is_refused(span: str) -> None:
    with pytest.raises(ValueError, match=r"write"):
        minutes(span)


def test_a_time_is_told_with_its_date_when_that_is_another_day() -> None:
    then = at("2026-01-15T02:14:05")
    assert clock_text(then, then + 3600, BERLIN) == "02:14:05"
    assert clock_text(then, then + 86_400, BERLIN) == "15 Jan 02:14:05"


def test_a_night_is_as_long_as_the_clock_on_the_wall_makes_it() -> None:
    for day, hours in ((date(2026, 11, 21), 10), (date(2026, 10, 24), 11), (date(2026, 3, 28), 9)):
        begin, end = span_of(day, "20:00-06:00", BERLIN)
        assert datetime.fromtimestamp(begin, BERLIN).isoformat()[:16] == f"{day}T20:00"
        assert (end - begin) / 3600 == hours
    begin, end = span_of(date(2026, 11, 21), "08:00-24:00", BERLIN)
    assert (end - begin) / 3600 == 16


def test_the_last_night_that_is_over() -> None:
    _, end = span_of(date(2026, 11, 21), "20:00-06:00", BERLIN)
    assert last_over(end, "20:00-06:00", BERLIN) == date(2026, 11, 21)
    assert last_over(end - 1, "20:00-06:00", BERLIN) == date(2026, 11, 20)
    assert last_over(end + 80_000, "20:00-06:00", BERLIN) == date(2026, 11, 21)
