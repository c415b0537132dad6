"""A sink that is told only of what nobody has seen to, and sinks that are told of a part."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fbtasks.alert import Alert, Event, Severity, acknowledgement_id, alert_id, episode_id
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import Store, open_store
from tests.integration.databases import database_url, mariadb, postgres

__all__ = ["database_url", "mariadb", "postgres"]

T0 = 1_700_000_000.0
ROUTES = (Route("backend"), Route("vet", hold_s=600.0))
EPISODE = episode_id("box-1", "lying", 3, T0)


def alert(number: int, event: Event, severity: Severity = "warning") -> Alert:
    return Alert(
        id=acknowledgement_id(EPISODE, number) if event == "acknowledged" else alert_id(EPISODE, number),
        episode_id=EPISODE,
        number=number,
        event=event,
        camera_id="box-1",
        rule="lying",
        severity=severity,
        track_id=3,
        started_at=T0,
        at=T0 + number,
        message="lies",
        evidence={"by": "Anna"} if event == "acknowledged" else {},
    )


RAISED, ESCALATED, CLEARED = alert(0, "raised"), alert(1, "escalated", "critical"), alert(2, "cleared", "critical")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield from opened_store(f"sqlite:///{tmp_path / 'alerts.sqlite'}")


@pytest.fixture
def any_store(database_url: str) -> Iterator[Store]:
    yield from opened_store(database_url)


def opened_store(url: str) -> Iterator[Store]:
    with closing(open_store(url)) as opened:
        opened.migrate()
        yield opened


def sent(store: Store, sink: str, now: float) -> list[str]:
    """Events that go to the sink by `now`, in their order."""
    store.settle_held(now)
    events: list[str] = []
    while claim := store.claim(str(EPISODE), sink, now, 30.0):
        events.append(claim.alert.event)
        store.delivered(claim, now)
    assert store.due(now, 10, sink) == []
    return events


def test_what_nobody_sees_to_goes_on_to_the_next_sink(any_store: Store) -> None:
    any_store.record([RAISED], ROUTES, T0)
    assert any_store.due_sinks(T0 + 599) == ["backend"]
    assert sent(any_store, "vet", T0 + 599) == []
    any_store.record([ESCALATED], ROUTES, T0 + 599)
    assert sent(any_store, "backend", T0 + 599) == ["raised", "escalated"]
    assert sent(any_store, "vet", T0 + 600) == ["raised", "escalated"]
    any_store.record([CLEARED], ROUTES, T0 + 700)
    assert sent(any_store, "vet", T0 + 700) == ["cleared"], "at once, for the vet knows of it"


def test_what_is_over_in_time_is_never_sent(store: Store) -> None:
    store.record([RAISED, CLEARED], ROUTES, T0)
    assert sent(store, "vet", T0 + 600) == []
    assert sent(store, "vet", T0 + 6000) == []
    assert sent(store, "backend", T0) == ["raised", "cleared"]
    assert (store.backlog(T0 + 6000).pending, store.backlog(T0 + 6000).dead) == (0, 0)


def test_what_somebody_sees_to_in_time_is_never_sent(store: Store) -> None:
    store.record([RAISED], ROUTES, T0)
    store.record([alert(0, "acknowledged")], ROUTES, T0 + 300)
    assert sent(store, "vet", T0 + 600) == []
    assert sent(store, "backend", T0 + 600) == ["raised", "acknowledged"]
    store.record([CLEARED], ROUTES, T0 + 700)
    assert sent(store, "vet", T0 + 1300) == []


def test_what_grows_worse_after_it_was_seen_to_counts_anew(store: Store) -> None:
    store.record([RAISED, alert(0, "acknowledged")], ROUTES, T0)
    assert sent(store, "vet", T0 + 600) == []
    store.record([ESCALATED], ROUTES, T0 + 1000)
    assert sent(store, "vet", T0 + 1599) == []
    assert sent(store, "vet", T0 + 1600) == ["escalated"]


def test_what_became_bad_enough_is_told_to_its_end(store: Store) -> None:
    routes = (Route("groom", min_severity="critical"),)
    store.record([RAISED], routes, T0)
    assert sent(store, "groom", T0) == []
    store.record([ESCALATED, CLEARED], routes, T0 + 1)
    assert sent(store, "groom", T0 + 1) == ["escalated", "cleared"]


def test_an_end_without_a_beginning_is_not_told(store: Store) -> None:
    store.record([RAISED], (Route("backend"),), T0)
    store.record([CLEARED], (Route("backend"), Route("new")), T0)
    assert sent(store, "new", T0) == []
    assert sent(store, "backend", T0) == ["raised", "cleared"]


def test_a_sink_that_is_behind_hides_no_other(store: Store) -> None:
    others = [alert(0, "raised").model_copy(update=_of(f"box-{number}")) for number in range(2, 20)]
    store.record(others, (Route("away"),), T0)
    store.record([RAISED], (Route("backend"),), T0 + 1)
    assert store.due_sinks(T0 + 1) == ["away", "backend"]
    assert store.due(T0 + 1, 10, "backend") == [(str(EPISODE), "backend")]


def _of(camera_id: str) -> dict[str, object]:
    episode = episode_id(camera_id, "lying", 3, T0)
    return {"id": alert_id(episode, 0), "episode_id": episode, "camera_id": camera_id}
