import pytest

from fbtasks.alert import SITE, Event, Severity
from fbtasks.logic.attention import Held, Mute, Standing, Verdict, storm_over, summary, verdict

NOW = 1_700_000_000.0
HOUR = Mute(1, None, None, NOW, NOW + 3600, even_critical=False, by="Anna")


def judged(
    event: Event,
    severity: Severity = "warning",
    *,
    told: bool = True,
    acknowledged: bool = False,
    muted: bool = False,
    room: bool = True,
    counted: bool = True,
) -> Verdict:
    return verdict(
        event, severity, Standing(told=told, acknowledged=acknowledged), muted=muted, room=room, counted=counted
    )


def test_a_new_alert_is_told_held_by_a_mute_or_waits_for_room() -> None:
    assert judged("raised", told=False) == "tell"
    assert judged("raised", told=False, muted=True) == "mute"
    assert judged("raised", told=False, room=False) == "storm"
    assert judged("raised", told=False, muted=True, room=False) == "mute"


def test_neither_a_critical_alert_nor_a_rise_nor_news_of_the_site_waits_for_room() -> None:
    assert judged("raised", "critical", told=False, room=False) == "tell"
    assert judged("escalated", told=False, room=False) == "tell"
    assert judged("raised", told=False, room=False, counted=False) == "tell"


def test_only_what_was_told_is_told_to_be_over_whatever_is_muted() -> None:
    assert judged("cleared", muted=True, room=False) == "tell"
    assert judged("cleared", told=False) == "withhold"


def test_an_acknowledgement_is_told_and_stops_reminders() -> None:
    assert judged("acknowledged", told=False, muted=True, room=False) == "tell"
    assert judged("updated") == "tell"
    assert judged("updated", acknowledged=True) == "withhold"
    assert judged("updated", muted=True) == judged("updated", told=False) == "withhold"


@pytest.mark.parametrize(
    ("mute", "camera_id", "rule", "severity", "at", "covers"),
    [
        (HOUR, "box-1", "lying", "warning", NOW, True),
        (HOUR, "box-1", "lying", "warning", NOW + 3600, False),
        (HOUR, "box-1", "lying", "critical", NOW, False),
        (Mute(1, None, None, NOW, NOW + 60, even_critical=True, by=""), "box-1", "lying", "critical", NOW, True),
        (Mute(1, "box-1", None, NOW, NOW + 60, even_critical=False, by=""), "box-2", "lying", "warning", NOW, False),
        (Mute(1, "box-1", "lying", NOW, NOW + 60, even_critical=False, by=""), "box-1", "cast", "warning", NOW, False),
        (Mute(1, None, "lying", NOW, NOW + 60, even_critical=False, by=""), "box-9", "lying", "info", NOW, True),
    ],
)
def test_what_a_mute_covers(
    mute: Mute, camera_id: str, rule: str, severity: Severity, at: float, *, covers: bool
) -> None:
    assert mute.covers(camera_id, rule, severity, at) is covers


def test_a_summary_names_rules_and_some_cameras() -> None:
    held = [Held(f"box-{number}", "camera_blind", "warning") for number in range(5)] + [Held("box-7", "lying", "info")]
    alert = summary(held, NOW, NOW + 10, 0)
    assert alert.message == (
        "6 more alerts in the last minute: camera blind (box-0, box-1, box-2 and 2 more), lying (box-7)."
        " They follow one by one; `fbtasks alerts list` shows all"
    )
    assert (alert.camera_id, alert.event, alert.severity) == (SITE, "raised", "warning")
    assert alert.evidence == {"held_back": 6.0, "cameras": 6.0}


def test_a_storm_is_one_episode() -> None:
    one = [Held("box-1", "lying", "info")]
    alerts = [summary(one, NOW, NOW + 10, 0), summary(one, NOW, NOW + 70, 1), storm_over("info", NOW, NOW + 140, 2)]
    assert [alert.event for alert in alerts] == ["raised", "updated", "cleared"]
    assert len({alert.episode_id for alert in alerts}) == 1
    assert len({alert.id for alert in alerts}) == 3
    assert alerts[0].message.startswith("1 more alert in")


def test_a_storm_that_grows_graver_says_so() -> None:
    held = [Held("box-1", "lying", "warning")]
    events = [summary(held, NOW, NOW + 70, 1, before).event for before in ("info", "warning", "critical")]
    assert events == ["escalated", "updated", "updated"]
