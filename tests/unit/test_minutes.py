import random
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fbtasks.errors import BadMessage
from fbtasks.logic.minutes import (
    MOST_ACCOUNTS,
    WHOLE,
    Account,
    Ledger,
    Minute,
    decode_minute,
    encode_minute,
    is_minute,
)
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.state import CameraState
from fbtasks.settings import LogicSettings
from fbtasks.wire import Result, Silence
from tests.alerts import first_alert
from tests.results import START, Seen, lying, result, silence, standing

BOX = "box-3"
BEGIN = 60.0 * (START // 60 + 1) - START
"""Seconds after `START` at which the first whole minute begins."""


def run(*messages: Result | Silence) -> tuple[CameraState, list[Minute]]:
    state, pipeline = CameraState(camera_id=BOX), Pipeline(BOX, LogicSettings(), ())
    for message in messages:
        state, _, _ = pipeline.step(CameraState.decode(state.encode()), message)
    return state, state.ledger.take()


def shown(boxes: list[Seen], start: float, seconds: float, fps: float = 5.0) -> list[Result]:
    return [result(start + number / fps, boxes, seq=number) for number in range(round(seconds * fps))]


def total(over: list[Minute], field: str, holder: int = WHOLE) -> float:
    return sum(float(getattr(minute.accounts[holder], field)) for minute in over if holder in minute.accounts)


def rough(seed: int, fps: float, seconds: float) -> list[Result | Silence]:
    """Horses that come and go, a picture now and then that is black or missing, silences, and long gaps."""
    chance = random.Random(seed)
    messages: list[Result | Silence] = []
    at, last = chance.uniform(0, 60), None
    end = at + seconds
    while at < end:
        boxes = [standing(), lying(800, 500)][: chance.choice([0, 1, 2, 2, 2])]
        messages.append(result(at, boxes))
        last = at
        at += chance.choice([1 / fps] * 50 + [2.9, 3.1, 20.0, 200.0])
        if chance.random() < 0.05:
            messages.append(silence(at + chance.uniform(-1, 1), last))
    return messages


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.floats(0.7, 12.0))
@example(0, 5.0)
def test_every_second_is_accounted_for_once_at_any_frame_rate(seed: int, fps: float) -> None:
    messages = rough(seed, fps, 400)
    state, over = run(*messages)
    begins = [minute.began_at for minute in over]
    assert begins == sorted(set(begins))
    assert all(began_at % 60 == 0 for began_at in begins)
    first = messages[0].captured_at if isinstance(messages[0], Result) else 0.0
    at = state.ledger.at
    assert at is not None
    running = state.ledger.accounts[WHOLE].seconds if WHOLE in state.ledger.accounts else 0.0
    for minute in over[1:]:
        # The beginning of one that follows on a gap over several is blind time like the rest of it.
        assert minute.accounts[WHOLE].seconds == pytest.approx(60.0, abs=1e-6)
    if over:
        assert over[0].accounts[WHOLE].seconds == pytest.approx(over[0].began_at + 60 - first, abs=1e-6)
        assert running == pytest.approx(at % 60, abs=1e-6)
    else:
        assert running == pytest.approx(at - first, abs=1e-6)
    for minute in over:
        for account in minute.accounts.values():
            assert 0 <= account.seconds <= 60.000_001
            assert account.speed_s <= account.seen_s + 1e-9


@pytest.mark.parametrize("fps", [1.0, 3.0, 5.0, 12.5])
def test_what_a_horse_does_is_added_up(fps: float) -> None:
    story = [
        *shown([standing()], BEGIN, 90, fps),
        *shown([lying()], BEGIN + 90, 120, fps),
        *shown([standing()], BEGIN + 210, 60, fps),
        *shown([], BEGIN + 270, 40, fps),
    ]
    _, over = run(*story)
    assert len(over) == 5
    assert total(over, "lying_s") == pytest.approx(120, abs=3)
    assert total(over, "lay_down") == total(over, "rose") == 1
    assert over[1].accounts[WHOLE].lay_down == 1
    assert over[3].accounts[WHOLE].rose == 1
    assert total(over, "standing_s") == pytest.approx(150, abs=8)
    assert total(over, "unseen_s") == pytest.approx(30, abs=3)
    assert total(over, "blind_s") == 0
    assert {1} == {holder for minute in over for holder in minute.accounts} - {WHOLE}
    assert total(over, "lying_s", 1) == pytest.approx(total(over, "lying_s"))
    assert over[0].accounts[1].whose == "animal"


def test_a_silent_camera_is_blind_and_its_minutes_are_closed() -> None:
    last = BEGIN + 30
    _, over = run(
        *shown([standing()], BEGIN, 30),
        result(last, [standing()]),
        *[silence(last + 2 * number, last) for number in range(5, 60)],
    )
    assert [minute.began_at - START - BEGIN for minute in over] == [0, 60]
    assert total(over, "blind_s") == pytest.approx(90)
    assert list(over[1].accounts) == [WHOLE]


def test_minutes_of_which_nobody_tells_are_left_out() -> None:
    _, over = run(result(BEGIN + 10, []), result(BEGIN + 605, []), result(BEGIN + 660, []))
    assert [minute.began_at - START - BEGIN for minute in over] == [0, 600]
    assert [minute.accounts[WHOLE].blind_s for minute in over] == [50, 60]


def test_a_walk_has_a_length_and_a_trembling_box_has_none() -> None:
    walk = [result(BEGIN + number / 5, [standing(20 + 20 * (number % 40), 300)]) for number in range(40)]
    _, over = run(*walk, result(BEGIN + 61, []))
    assert total(over, "distance_bl") == pytest.approx(40 * 20 / 300, rel=0.2)
    assert total(over, "max_speed_bl_s") == pytest.approx(1 / 3, rel=0.05)
    dice = random.Random(1)
    tremble = [result(BEGIN + number / 5, [standing(300 + dice.uniform(-2, 2), 300)]) for number in range(300)]
    _, over = run(*tremble, result(BEGIN + 61, []))
    assert total(over, "distance_bl") < 0.5
    assert over[0].accounts[WHOLE].agitation_bl_s == pytest.approx(0.02, abs=0.02)


def test_a_person_has_an_account_but_no_part_in_the_horses() -> None:
    person = Seen((60, 60, 140, 320), "person", 0.7)
    _, over = run(*shown([person], BEGIN, 62))
    assert over[0].accounts[1].whose == "person"
    assert over[0].accounts[1].unknown_s == pytest.approx(60, abs=1.5)
    assert over[0].accounts[WHOLE].unseen_s == pytest.approx(60, abs=0.3)


def test_a_clock_that_was_set_back_begins_a_new_minute() -> None:
    late = [result(BEGIN - 3600 + number, [standing()], seq=number) for number in range(100)]
    state, over = run(*shown([standing()], BEGIN, 30), *late)
    assert [minute.began_at - START - BEGIN for minute in over] == [0, -3600]
    assert state.ledger.at == START + BEGIN - 3600 + 99


def test_more_tracks_than_are_kept_are_in_the_cameras_account() -> None:
    ledger = Ledger(at=0.0, accounts={number: Account("animal") for number in range(1, MOST_ACCOUNTS + 1)})
    assert ledger._account(99, "animal") is not ledger.accounts.get(99)
    assert ledger._account(WHOLE, "camera") is ledger.accounts[WHOLE]


def test_a_minute_and_an_alert_are_told_apart() -> None:
    minute = Minute(BOX, 1_700_000_040, {WHOLE: Account("camera", lying_s=12.5, rose=1), 7: Account("animal")})
    entry = encode_minute(minute)
    assert is_minute(entry)
    assert decode_minute(entry) == minute
    assert not is_minute(first_alert(BOX).model_dump_json().encode())
    for broken in (entry[:-1], entry.replace(b"12.5", b"null"), b'{"kind":"minute",\xff'):
        assert is_minute(broken)
        with pytest.raises(BadMessage):
            decode_minute(broken)


def test_the_same_messages_make_the_same_minutes() -> None:
    messages = rough(3, 5.0, 300)
    for one, other in pairwise([run(*messages)[1] for _ in range(2)]):
        assert [encode_minute(each) for each in one] == [encode_minute(each) for each in other]
