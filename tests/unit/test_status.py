"""What a camera's status becomes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fbtasks.producer.status import Event, Fresh, Loss, Stall, StateName, Status, after

REASONS = st.sampled_from(["no answer", "connection refused"])
EVENTS = st.one_of(st.just(Fresh()), st.builds(Stall, REASONS), st.builds(Loss, REASONS, st.booleans()))
START = Status("connecting", 100.0)


def test_a_camera_s_life() -> None:
    happened: list[tuple[Event, StateName]] = [
        (Loss("connection refused"), "reconnecting"),
        (Fresh(), "running"),
        (Stall("repeats one picture"), "stalled"),
        (Loss("user or password refused (401)", refused=True), "failed"),
        (Fresh(), "running"),
    ]
    status = START
    for number, (event, state) in enumerate(happened):
        status = after(status, event, 101.0 + number)
        assert status == Status(state, 101.0 + number, getattr(event, "reason", ""))


def test_another_reason_for_the_same_state_does_not_change_since_when() -> None:
    away = after(START, Loss("no answer"), 101.0)
    assert after(away, Loss("connection refused"), 105.0) == Status("reconnecting", 101.0, "connection refused")


@given(st.lists(EVENTS))
def test_a_status_is_new_only_when_something_has_changed(events: list[Event]) -> None:
    statuses = [START]
    for number, event in enumerate(events):
        statuses.append(after(statuses[-1], event, 101.0 + number))
    for number, (before, now) in enumerate(pairwise(statuses)):
        assert (now is before) == ((now.state, now.reason) == (before.state, before.reason))
        assert now.since == (before.since if now.state == before.state else 101.0 + number)
        assert (now.reason == "") == (now.state in ("running", "connecting"))
