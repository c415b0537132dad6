"""Which alerts begin an episode at a sink."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fbtasks.logic.sinks.route import Route
from tests.alerts import first_alert

BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2026, 11, 21, 0, 30, tzinfo=BERLIN).timestamp()
NOON = datetime(2026, 11, 21, 12, 30, tzinfo=BERLIN).timestamp()
NIGHT = Route("groom", active=("20:00-06:00",), zone=BERLIN)


@pytest.mark.parametrize(
    ("route", "changes", "begins"),
    [
        (Route("all"), {}, True),
        (Route("all"), {"event": "escalated"}, True),
        (Route("all"), {"event": "cleared"}, False),
        (Route("all"), {"event": "acknowledged"}, False),
        (Route("bad", min_severity="warning"), {"severity": "info"}, False),
        (Route("bad", min_severity="warning"), {"severity": "warning"}, True),
        (Route("bad", min_severity="warning"), {"severity": "critical"}, True),
        (Route("one", rules=frozenset({"lying"})), {}, True),
        (Route("one", rules=frozenset({"too_fast"})), {}, False),
        (Route("one", cameras=frozenset({"box-1", "box-2"})), {}, True),
        (Route("one", cameras=frozenset({"box-2"})), {}, False),
        (NIGHT, {"at": MIDNIGHT}, True),
        (NIGHT, {"at": NOON}, False),
    ],
)
def test_what_begins_at_a_sink(route: Route, changes: dict[str, Any], begins: bool) -> None:
    assert route.begins_with(first_alert(**changes)) == begins


def test_a_route_explains_itself() -> None:
    assert Route("all").explanation() == "everything"
    everything = Route(
        "groom", "warning", frozenset({"lying", "cast"}), frozenset({"box-1"}), ("20:00-06:00",), 600.0, BERLIN
    )
    assert everything.explanation() == (
        "warning and worse, of cast and lying, from box-1, only at 20:00-06:00, "
        "when nobody has acknowledged it for 10 minutes"
    )
