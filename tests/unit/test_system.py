"""From findings to system alerts: debounced, raised once, cleared once."""

from collections.abc import Iterable

import pytest

from fbtasks.alert import SITE, Alert
from fbtasks.health import Finding, Level
from fbtasks.logic.system import INSIDE, OUTSIDE, PARTS, Troubles, troubles_of

NOW = 1_700_000_000.0
PATIENCE_S = 12.0


def gpu(level: Level, since: float | None = None) -> Finding:
    return Finding(level, "gpu", "last heard of 40 s ago", since=since)


def looks(troubles: Troubles, levels: Iterable[Level], *, every_s: float = 5.0, begin: float = NOW) -> list[Alert]:
    """The alerts of that many looks."""
    alerts = []
    for number, level in enumerate(levels):
        now = begin + number * every_s
        alerts += troubles.step([gpu(level)], INSIDE, now=now, patience_s=PATIENCE_S)
    return alerts


def test_what_is_down_long_enough_is_raised_once_and_cleared_once() -> None:
    alerts = looks(Troubles(), ["ok", "critical", "critical", "critical", "critical", "critical", "ok", "ok", "ok"])
    raised, cleared = alerts
    assert (raised.event, raised.rule, raised.severity, raised.camera_id) == (
        "raised",
        "system.gpu_worker",
        "critical",
        SITE,
    )
    assert raised.at - raised.started_at == 15.0
    assert "nobody watches the horses (last heard of 40 s ago)" in raised.message
    assert (cleared.event, cleared.episode_id, cleared.number) == ("cleared", raised.episode_id, 1)
    assert cleared.message == "The pictures are being analysed again, after 30 seconds"


def test_the_time_before_the_first_look_counts() -> None:
    troubles = Troubles()
    down = [gpu("critical", NOW - 12.0)]
    assert not troubles.step(down, INSIDE, now=NOW, patience_s=PATIENCE_S)
    alerts = troubles.step(down, INSIDE, now=NOW + 1, patience_s=PATIENCE_S)
    assert [alert.started_at for alert in alerts] == [NOW - 12.0]


def test_one_bad_look_is_none() -> None:
    troubles = Troubles()
    assert not troubles.step([gpu("critical", NOW - 60.0)], INSIDE, now=NOW, patience_s=PATIENCE_S)
    assert not looks(troubles, ["ok", "ok"])
    assert not troubles.by_subject


def test_one_good_look_ends_nothing() -> None:
    troubles = Troubles()
    assert len(looks(troubles, ["critical"] * 5)) == 1
    assert not looks(troubles, ["ok", "critical", "ok", "critical"], begin=NOW + 60)
    assert len(looks(troubles, ["ok", "ok"], begin=NOW + 120)) == 1


def test_what_cannot_be_seen_neither_raises_nor_clears() -> None:
    troubles = Troubles()
    assert not looks(troubles, ["critical", "unknown", "unknown", "unknown", "unknown"])
    assert len(looks(troubles, ["critical"], begin=NOW + 60)) == 1
    assert not looks(troubles, ["unknown"] * 5, begin=NOW + 120)
    assert len(looks(troubles, ["ok", "ok"], begin=NOW + 180)) == 1


@pytest.mark.parametrize("before", ["critical", "ok"])
def test_what_comes_behind_another_fault_is_not_judged_until_that_is_over(before: Level) -> None:
    """And then has its time to get going again, even where it was seen to stand first."""
    troubles = Troubles()
    troubles.step([gpu(before, NOW - 1)], INSIDE, now=NOW - 1, patience_s=PATIENCE_S)
    down: list[tuple[Level, Level]] = [("critical", "unknown")] * 4
    starting: list[tuple[Level, Level]] = [("ok", "critical")] * 4
    back: list[tuple[Level, Level]] = [*starting, ("ok", "ok")]
    alerts = []
    for number, (frames, worker) in enumerate(down + back):
        found = [Finding(frames, "frames redis", "away"), gpu(worker, NOW - 60)]
        alerts += troubles.step(found, INSIDE, now=NOW + 5 * number, patience_s=PATIENCE_S)
    assert [(alert.event, alert.rule) for alert in alerts] == [
        ("raised", "system.frames_redis"),
        ("cleared", "system.frames_redis"),
    ]


def test_a_warning_wakes_nobody() -> None:
    assert not looks(Troubles(), ["warning"] * 9)


def test_each_looks_after_its_own() -> None:
    troubles = Troubles()
    assert not troubles.step([gpu("critical", NOW - 60)] * 3, OUTSIDE, now=NOW, patience_s=PATIENCE_S)
    assert frozenset(PARTS) == INSIDE | OUTSIDE
    assert not INSIDE & OUTSIDE
    assert len({part.rule for part in PARTS.values()}) == len(PARTS)


def test_the_same_trouble_has_the_same_alerts_whoever_sees_it() -> None:
    levels: tuple[Level, ...] = ("critical", "critical", "critical", "critical", "ok", "ok")
    assert looks(Troubles(), levels) == looks(Troubles(), levels)


@pytest.mark.parametrize("then", ["ok", "critical"])
def test_what_the_store_holds_open_is_neither_raised_again_nor_forgotten(then: Level) -> None:
    open_episodes = looks(Troubles(), ["critical"] * 5)
    troubles = troubles_of(open_episodes, INSIDE)
    alerts = looks(troubles, [then] * 3, begin=NOW + 60)
    assert [(alert.event, alert.episode_id) for alert in alerts] == (
        [("cleared", open_episodes[0].episode_id)] if then == "ok" else []
    )


def test_an_episode_of_another_rule_is_none_of_ours() -> None:
    (alert,) = looks(Troubles(), ["critical"] * 5)
    assert not troubles_of([alert.model_copy(update={"rule": "storm"})], INSIDE).by_subject
    assert not troubles_of([alert], OUTSIDE).by_subject
