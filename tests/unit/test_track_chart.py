"""What was believed of each track through time, and the picture of it."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from fbtasks.alert import Alert
from fbtasks.logic.pipeline import Decision, TrackView
from fbtasks.logic.smoother import PostureName
from fbtasks.logic.track_chart import GUTTER, MARGIN, WIDTH, TrackChart, svg
from tests.alerts import first_alert

BERLIN = ZoneInfo("Europe/Berlin")
EVENING = 1_763_748_000.0  # 2025-11-21 19:00 in Berlin
SVG = "{http://www.w3.org/2000/svg}"


def view(track_id: int = 1, posture: PostureName = "standing", **changes: Any) -> TrackView:
    facts: dict[str, Any] = {
        "kind": "animal",
        "class_name": "horse",
        "confidence": 0.8,
        "xyxy": (0.0, 0.0, 10.0, 10.0),
        "p_lying": None,
        "p_lying_now": None,
        "p_lying_reason": "",
        "speed_bl_s": 0.1,
        "speed_px_s": None,
    }
    return TrackView(id=track_id, posture=posture, **facts | changes)


def decision(at: float, *tracks: TrackView) -> Decision:
    now = EVENING + at
    return Decision(
        camera_id="box-1",
        seq=0,
        captured_at=now,
        sent_at=now,
        taken_at=now,
        inferred_at=now,
        width=1280,
        height=720,
        tracks=list(tracks),
        events=[],
    )


def chart(*decisions: Decision) -> TrackChart:
    made = TrackChart("box-1")
    for one in decisions:
        made.add(one)
    return made


def bands(made: TrackChart, track_id: int = 1) -> list[tuple[float, float, str]]:
    return [(band.begin - EVENING, band.end - EVENING, band.posture) for band in made.lines[track_id].bands]


def drawn(charts: Sequence[TrackChart], alerts: Sequence[Alert] = ()) -> ET.Element:
    return ET.fromstring(svg(charts, alerts, BERLIN))


def rects(picture: ET.Element, style: str) -> list[tuple[float, float]]:
    """Left and right end of each band of this style."""
    found = [one for one in picture.iter(f"{SVG}rect") if one.get("class") == style and float(one.get("y", 0)) > 60]
    return [(float(one.get("x", 0)), float(one.get("x", 0)) + float(one.get("width", 0))) for one in found]


def marks(picture: ET.Element) -> list[tuple[str, str]]:
    """Style and words of each alert's mark."""
    found = [(one.get("class", ""), one.findtext(f"{SVG}title")) for one in picture.iter(f"{SVG}path")]
    return [(style, words) for style, words in found if words is not None]


def test_pictures_that_agree_are_one_band_and_a_gap_parts_two() -> None:
    seen = chart(*(decision(at, view()) for at in (0, 1, 2, 6, 7)))
    assert bands(seen) == [(0, 2, "standing"), (6, 7, "standing")]


def test_a_picture_speaks_for_the_time_since_the_one_before() -> None:
    seen = chart(decision(0, view()), decision(1, view(posture="lying")), decision(2, view(posture="unknown")))
    assert bands(seen) == [(0, 0, "standing"), (0, 1, "lying"), (1, 2, "unknown")]


def test_a_clock_that_was_set_back_begins_anew() -> None:
    assert bands(chart(decision(100, view()), decision(0, view()))) == [(100, 100, "standing"), (0, 0, "standing")]


def test_the_highest_speed_of_a_second_is_kept() -> None:
    seen = chart(*(decision(at, view(speed_bl_s=speed)) for at, speed in ((0, 0.5), (0.4, 1.5), (0.8, 0.2), (1, None))))
    assert seen.lines[1].speeds == {int(EVENING): 1.5}


def test_tracks_that_follow_one_another_share_a_row() -> None:
    first, other = [decision(at, view(1), view(2)) for at in (0, 1)], [decision(at, view(3)) for at in (10, 11)]
    person = decision(12, view(4, kind="person"))
    rows = chart(*first, *other, person).rows()
    assert [[track_id for track_id, _ in row] for row in rows] == [[1, 3], [2], [4]]


def test_postures_lie_where_their_time_is_and_unknown_is_left_empty() -> None:
    hour = 3600
    lying = [decision(at, view(posture="lying")) for at in range(hour, 2 * hour + 1, 2)]
    unknown = [decision(at, view(posture="unknown")) for at in range(2 * hour + 2, 3 * hour, 2)]
    standing = [decision(at, view()) for at in range(3 * hour, 4 * hour + 1, 2)]
    picture = drawn([chart(decision(0, view(2)), *lying, *unknown, *standing)])
    wide = WIDTH - GUTTER - MARGIN
    assert rects(picture, "lying") == [pytest.approx((GUTTER + wide / 4, GUTTER + wide / 2), abs=1)]
    assert rects(picture, "standing")[1:] == [pytest.approx((GUTTER + 3 * wide / 4, GUTTER + wide), abs=1)]
    assert rects(picture, "unknown") == []


def test_alerts_are_marked_with_their_words() -> None:
    raised = first_alert(at=EVENING + 10, message="It <lies> & stays")
    cleared = first_alert(at=EVENING + 90, event="cleared", number=1, message="It stands")
    picture = drawn([chart(*(decision(at, view()) for at in range(0, 100, 2)))], [raised, cleared])
    told = marks(picture)
    assert ("mark warning", "warning lying raised: It <lies> & stays") in told
    assert ("mark warning cleared", "warning lying cleared: It stands") in told


def test_a_camera_that_saw_nothing_but_has_an_alert_is_shown() -> None:
    blind = first_alert(at=EVENING, rule="camera_blind", track_id=None, message="Blind")
    assert [words for _, words in marks(drawn([TrackChart("box-1"), TrackChart("box-2")], [blind]))] == [
        "warning camera_blind raised: Blind"
    ]


def test_the_axis_is_on_the_stables_clock() -> None:
    seen = chart(decision(0, view()), decision(8 * 3600, view()))
    words = [one.text for one in drawn([seen]).iter(f"{SVG}text")]
    assert words[words.index("21 November 2025") :][1:7] == ["19:00", "20:00", "21:00", "22:00", "23:00", "22 Nov"]


def test_nothing_seen_is_said() -> None:
    assert "Nothing was seen" in svg([], [], BERLIN)
