from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from fbtasks.logic.minutes import WHOLE, Account, Minute
from fbtasks.logic.nightly import (
    MEASURES,
    Comparison,
    Figures,
    Report,
    compare,
    figures,
    little_lying_nights,
    text,
    told,
    tracks,
)

BERLIN = ZoneInfo("Europe/Berlin")
UNTIL = 1_795_323_600.0
"""06:00 of 22 November 2026 in Berlin."""
SINCE = UNTIL - 10 * 3600
USUAL = Figures(
    lying_s=3 * 3600.0,
    bouts=4,
    longest_s=3600.0,
    restless_min=2,
    changes=8,
    max_speed_bl_s=0.8,
    unknown=0.04,
    blind=0.01,
    lying_day_s=3 * 3600.0,
    unjudged_day=0.1,
)


@dataclass
class Piece:
    """Minutes alike, in a row."""

    count: int
    figures: dict[str, Any]
    turned: str = ""


def minutes(*pieces: Piece, begin: float = SINCE) -> list[Minute]:
    """The camera's own minutes; a piece may begin with the horse lying down or rising."""
    made = []
    for piece in pieces:
        for index in range(piece.count):
            account = Account("camera", **piece.figures)
            if piece.turned and index == 0:
                setattr(account, piece.turned, 1)
            if piece.figures:
                made.append(Minute("box-3", int(begin), {WHOLE: account}))
            begin += 60
    return made


UP, DOWN, DIM, DARK = {"standing_s": 60.0}, {"lying_s": 60.0}, {"unknown_s": 60.0}, {"blind_s": 60.0}
GONE: dict[str, float] = {}


def changed(**values: Any) -> Figures:
    return msgspec.structs.replace(USUAL, **values)


def verdict(night: Figures, before: list[Figures], field: str = "lying_s") -> str:
    return next(each.verdict for each in compare(night, before) if each.field == field)


def test_the_figures_of_a_night() -> None:
    found = figures(
        minutes(
            Piece(100, UP),
            Piece(50, DOWN, "lay_down"),
            Piece(30, DIM),
            Piece(20, DOWN),
            Piece(100, UP, "rose"),
            Piece(60, DARK),
            Piece(60, DOWN, "lay_down"),
            Piece(120, GONE),
            Piece(60, UP, "rose"),
        ),
        SINCE,
        UNTIL,
    )
    assert (found.lying_s, found.bouts, found.changes) == (130 * 60, 2, 4)
    assert found.longest_s == 70 * 60, "what could not be judged neither counts nor ends the bout"
    assert found.blind == pytest.approx(0.3), "minutes that are missing are blind ones"
    assert found.unknown == pytest.approx(0.05)
    assert found.lying_day_s == 130 * 60
    assert found.unjudged_day == pytest.approx(1 - 390 / 1440)
    assert not found.counts


def test_a_horse_that_lies_as_the_night_begins_has_a_bout() -> None:
    assert figures(minutes(Piece(30, DOWN), Piece(10, UP, "rose")), SINCE, UNTIL).bouts == 1
    assert figures(minutes(Piece(5, UP, "rose"), Piece(10, UP)), SINCE, UNTIL).bouts == 1
    assert figures(minutes(Piece(5, UP), Piece(10, DIM)), SINCE, UNTIL).bouts == 0
    assert figures([], SINCE, UNTIL).blind == 1.0


def test_the_day_before_the_night_counts_for_the_24_hours_alone() -> None:
    day = minutes(Piece(30, DOWN, "lay_down"), Piece(10, UP, "rose"), begin=SINCE - 3600)
    found = figures([*day, *minutes(Piece(600, UP))], SINCE, UNTIL)
    assert (found.lying_s, found.bouts, found.changes, found.lying_day_s) == (0, 0, 0, 1800)


def test_restless_minutes_and_speed() -> None:
    lively = UP | {"agitation_s": 30.0, "agitation_bl": 15.0, "max_speed_bl_s": 1.5}
    calm = UP | {"agitation_s": 60.0, "agitation_bl": 6.0, "max_speed_bl_s": 0.2}
    found = figures(minutes(Piece(7, lively), Piece(90, calm), Piece(9, UP)), SINCE, UNTIL)
    assert (found.restless_min, found.max_speed_bl_s) == (7, 1.5)


def test_a_horse_is_compared_with_itself() -> None:
    steady = [changed(lying_s=3 * 3600.0 + 60 * number) for number in range(-5, 6)]
    assert verdict(changed(lying_s=3600.0), steady) == "less than usual"
    assert verdict(changed(lying_s=5 * 3600.0), steady) == "more than usual"
    assert verdict(changed(lying_s=3 * 3600.0 + 1200), steady) == "as usual", "less than half an hour tells nothing"
    restless_sleeper = [changed(lying_s=3600.0 * number) for number in (1, 5, 2, 4, 3, 2, 5)]
    assert verdict(changed(lying_s=3600.0), restless_sleeper) == "as usual"
    assert verdict(USUAL, steady[:4]) == "no baseline yet"
    assert verdict(changed(lying_s=0.0, blind=0.5), steady) == "not compared"


def test_nights_that_were_not_watched_are_no_baseline_and_one_odd_night_spoils_none() -> None:
    unseen = [changed(lying_s=0.0, blind=0.9)] * 20
    assert verdict(USUAL, [*unseen, *[USUAL] * 4]) == "no baseline yet"
    assert verdict(USUAL, [*unseen, *[USUAL] * 5]) == "as usual"
    assert verdict(changed(lying_s=3600.0), [*[USUAL] * 6, changed(lying_s=30_000.0)]) == "less than usual"


def test_too_little_lying_over_nights() -> None:
    little = changed(lying_day_s=1200.0)
    assert little_lying_nights(USUAL, [little]) == 0
    assert little_lying_nights(little, [little, little, USUAL, little]) == 3
    assert little_lying_nights(changed(lying_day_s=1200.0, unjudged_day=0.5), []) == 0, "it may have lain unseen"
    assert told(little, [], 1)[0].startswith("Lay for 20 min in 24 hours: a horse needs")
    assert "24 hours, as in the night before:" in told(little, [], 2)[0]
    assert "24 hours, as in the 2 nights before:" in told(little, [], 3)[0]


def test_what_is_told() -> None:
    usual = compare(USUAL, [USUAL] * 6)
    assert told(USUAL, usual, 0) == ["Nothing unusual."]
    assert told(USUAL, compare(USUAL, []), 0) == []
    odd = changed(lying_s=600.0, changes=21)
    assert told(odd, compare(odd, [USUAL] * 6), 0) == [
        "Lay for 10 min in all; 3 h 00 min is usual.",
        "Changed between lying and standing 21 times; 8 times is usual.",
    ]
    dark = changed(blind=0.43)
    assert told(dark, compare(dark, [USUAL] * 6), 0) == [
        "43 % of the night was not watched: times are too low, nothing is compared."
    ]
    assert "Nothing is known" in told(changed(blind=1.0), [], 0)[0]


def test_every_measure_has_its_sentence() -> None:
    for measure in MEASURES:
        one = Comparison(measure.field, 1.0, 9.0, 0.0, "less than usual")
        assert told(USUAL, [one], 0)[0].endswith("is usual.")


def test_tracks_that_were_hardly_seen_are_left_out() -> None:
    night = minutes(Piece(60, UP))
    for index, each in enumerate(night):
        each.accounts[4] = Account("animal", lying_s=20.0, standing_s=30.0)
        each.accounts[9] = Account("person", unknown_s=60.0)
        if index < 5:
            each.accounts[2] = Account("animal", standing_s=60.0)
    assert figures(night, SINCE, UNTIL).together_min == 5
    [track] = tracks(night)
    assert (track.track_id, track.seen_s, track.lying_s) == (4, 3000.0, 1200.0)
    assert (track.first_at, track.last_at) == (SINCE, SINCE + 3600)


def test_the_printed_report() -> None:
    odd = changed(lying_s=600.0)
    comparisons = compare(odd, [USUAL] * 6)
    report = Report(
        camera_id="box-3",
        horse="Luna",
        night="2026-11-21",
        since=SINCE,
        until=UNTIL,
        figures=odd,
        comparisons=comparisons,
        nights_before=6,
        little_lying_nights=0,
        told=told(odd, comparisons, 0),
        tracks=[],
        alerts=[],
    )
    assert text(report, BERLIN).splitlines() == [
        "Luna (box-3), night of Saturday 21 November 2026, 20:00 to 06:00",
        "  Lay for 10 min in all; 3 h 00 min is usual.",
        "",
        "                  this night    usually (6 nights)",
        "  lying           10 min        3 h 00 min ± 0 min         less than usual",
        "  lying bouts     4 times       4 times ± 0 times          as usual",
        "  longest bout    1 h 00 min    1 h 00 min ± 0 min         as usual",
        "  down or up      8 times       8 times ± 0 times          as usual",
        "  restless        2 min         2 min ± 0 min              as usual",
        "  fastest         0.8 bl/s      0.8 bl/s ± 0.0 bl/s        as usual",
        "  not judged      4 %           seen in no known posture, or not in view",
        "  not watched     1 %           camera blind or away",
        "  No alerts.",
    ]
    assert msgspec.convert(msgspec.to_builtins(report), Report) == report
