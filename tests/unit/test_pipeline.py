import random
from collections.abc import Iterable, Iterator
from math import pi, sin
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.alert import Alert
from fbtasks.errors import BadMessage, UnknownVersion
from fbtasks.logic.pipeline import Decision, Pipeline
from fbtasks.logic.rules import load_rules
from fbtasks.logic.state import VERSION, CameraState
from fbtasks.settings import LogicSettings
from fbtasks.wire import Result, Silence
from tests.results import START, Seen, lying, result, silence, standing

QUICK: dict[str, dict[str, Any]] = {
    "lying": {"info_after_s": 10, "warning_after_s": 20, "critical_after_s": 40, "clear_after_s": 5, "cooldown_s": 30},
    "person": {"enabled": False},
    "absent": {"enabled": False},
}


def pipeline(rules: dict[str, dict[str, Any]] = QUICK, **logic: Any) -> Pipeline:
    return Pipeline("box-3", LogicSettings(**logic), load_rules(rules))


def fresh() -> CameraState:
    return CameraState(camera_id="box-3")


class Run:
    """A pipeline and its state, fed with results."""

    def __init__(self, made: Pipeline | None = None) -> None:
        self.pipeline = made or pipeline()
        self.state = fresh()
        self.alerts: list[Alert] = []
        self.last: Decision | None = None

    def feed(self, messages: Iterable[Result | Silence]) -> list[str]:
        """The events that the messages brought about."""
        before = len(self.alerts)
        for one in messages:
            self.state, self.last, alerts = self.pipeline.step(self.state, one)
            self.state.ledger.take()
            self.alerts += alerts
        return [f"{alert.rule} {alert.event} {alert.severity}" for alert in self.alerts[before:]]


def shown(boxes: list[Seen], start: float, seconds: float, fps: float = 5.0) -> Iterator[Result]:
    for index in range(round(seconds * fps)):
        yield result(start + index / fps, boxes, seq=index)


def quiet(start: float, seconds: float, last: float | None) -> Iterator[Silence]:
    """What beat tells in that time of a camera whose last picture is of `last`."""
    for index in range(round(seconds / 2)):
        yield silence(start + 2 * index, last)


def with_silences(results: list[Result], seed: int) -> list[Result | Silence]:
    """The results with silences among them, true ones and such as a picture has overtaken; some pictures are black."""
    chance = random.Random(seed)
    told: list[Result | Silence] = []
    for index, one in enumerate(results):
        black = chance.random() < 0.1
        told.append(msgspec.structs.replace(one, blind="black") if black else one)
        if chance.random() < 0.1:
            last = results[index - chance.randint(0, min(index, 1))].captured_at - START
            told.append(silence(one.captured_at - START + chance.random(), last))
    return told


def story(seed: int) -> list[Result]:
    """A minute at 5 fps: two jittering horses of which one lies down, a person, misses, doubles, weak boxes."""
    chance = random.Random(seed)
    results = []
    for index in range(300):
        x, y = chance.uniform(-6, 6), chance.uniform(-6, 6)
        down = 50 <= index < 200
        boxes = [lying(400 + x, 400 + y) if down else standing(400 + x, 300 + y), standing(900 + x, 80 + y, 0.6)]
        if chance.random() < 0.15:
            boxes = boxes[1:]
        if chance.random() < 0.3:
            boxes.append(Seen((60, 60, 140 + x, 320), "person", 0.5))
        boxes += [box._replace(confidence=0.15) for box in boxes]
        results.append(result(index / 5, boxes, seq=index))
    return results


def test_a_horse_that_lies_is_told_of_and_again_when_it_stands() -> None:
    run = Run()
    assert run.feed(shown([standing()], 0, 10)) == []
    assert run.feed(shown([lying()], 10, 30)) == ["lying raised info", "lying escalated warning"]
    assert run.feed(shown([standing()], 40, 20)) == ["lying cleared warning"]
    assert run.alerts[0].camera_id == "box-3"
    assert run.alerts[0].message.startswith("Horse in box-3 has been lying for 10 seconds")


def test_a_horse_that_runs_is_told_of() -> None:
    run = Run()
    pace = [result(index / 5, [standing(50 + 90 * index, 200)], seq=index) for index in range(10)]
    back = [result(2 + index / 5, [standing(860 - 90 * index, 200)], seq=10 + index) for index in range(10)]
    assert run.feed(pace + back) == ["too_fast raised warning"]
    assert run.feed(shown([standing(50, 200)], 4, 15)) == ["too_fast cleared warning"]


def test_a_horse_that_walks_is_not() -> None:
    run = Run()
    assert run.feed(result(index / 5, [standing(50 + 25 * index, 200)], seq=index) for index in range(30)) == []


@settings(deadline=None, max_examples=8)
@given(st.floats(2.0, 25.0), st.floats(0.0, 0.4))
def test_the_verdict_does_not_depend_on_the_frame_rate(fps: float, phase: float) -> None:
    run = Run()
    run.feed(shown([standing()], phase, 6, fps))
    run.feed(shown([lying()], 6 + phase, 24, fps))
    run.feed(shown([standing()], 30 + phase, 12, fps))
    assert [alert.event for alert in run.alerts] == ["raised", "escalated", "cleared"]
    assert [alert.at - START - phase for alert in run.alerts] == pytest.approx([19.5, 29.5, 38.5], abs=1.1)


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 10_000))
def test_ids_and_alerts_are_steady_in_a_rough_stream(seed: int) -> None:
    run = Run()
    animals = set()
    for one in story(seed):
        run.feed([one])
        assert run.last is not None
        animals |= {track.id for track in run.last.tracks if track.kind == "animal"}
    assert [(alert.rule, alert.event, alert.severity) for alert in run.alerts] == [
        ("lying", "raised", "info"),
        ("lying", "escalated", "warning"),
        ("lying", "cleared", "warning"),
    ]
    assert len(animals) == 2


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 10_000), st.integers(1, 299))
def test_a_state_that_was_stored_has_the_same_future(seed: int, cut: int) -> None:
    results = with_silences(story(seed), seed)
    cut = min(cut, len(results))
    whole, halved = Run(), Run()
    whole.feed(results)
    halved.feed(results[:cut])
    halved.state = CameraState.decode(halved.state.encode())
    halved.feed(results[cut:])
    assert halved.state == whole.state
    assert halved.alerts == whole.alerts
    assert halved.last == whole.last


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_results_that_come_twice_change_nothing_but_their_count(seed: int, behind: int) -> None:
    results = story(seed)
    doubled = [one for index, new in enumerate(results) for one in (new, results[max(0, index - behind)])]
    once, twice = Run(), Run()
    once.feed(results)
    twice.feed(doubled)
    assert twice.alerts == once.alerts
    assert twice.state.late == len(results)
    twice.state.late, twice.state.late_run = 0, None
    assert twice.state == once.state


def test_a_late_result_brings_no_decision() -> None:
    run = Run()
    run.feed([result(5.0, [standing()]), result(4.0, [standing()])])
    assert run.last is None
    assert run.state.last_captured_at == START + 5.0


def test_unknown_pauses_the_timer_whatever_hides_the_horse() -> None:
    run = Run()
    run.feed(shown([lying()], 0, 8))
    held = run.state.book.episodes[0].held_s
    in_front = Seen((420, 380, 760, 700), "person", 0.9)
    assert run.feed(shown([lying(), in_front], 8, 60)) == []
    assert run.feed(shown([], 68, 60)) == []
    assert run.state.book.episodes[0].held_s < held + 4
    assert run.feed(shown([lying()], 3600, 12)) == ["lying raised info"]


def test_a_clock_that_was_set_back_blinds_the_camera_for_seconds_only() -> None:
    run = Run()
    run.feed(shown([lying()], 10_000, 18))
    held = run.state.book.episodes[0].held_s
    assert run.feed(shown([lying()], 0, 9.8)) == []
    assert (run.state.clock_restarts, run.last) == (0, None)
    assert run.feed(shown([lying()], 9.8, 10)) == ["lying escalated warning"]
    assert run.state.clock_restarts == 1
    assert run.state.book.episodes[0].held_s > held
    assert len({alert.episode_id for alert in run.alerts}) == 1


def test_stragglers_are_no_clock_set_back() -> None:
    run = Run()
    for second in range(60):
        run.feed([result(100.0 + second, [standing()]), *shown([standing()], second, 0.9, 10)])
    assert run.state.clock_restarts == 0
    assert run.state.late == 540


def test_an_unusable_result_leaves_the_state_as_it_was() -> None:
    run = Run()
    run.feed(shown([lying()], 0, 3))
    before = run.state.encode()
    broken = msgspec.structs.replace(result(4.0, [lying()]), xyxy=np.array([0, 0, np.nan, 1], "<f4").tobytes())
    with pytest.raises(BadMessage):
        run.pipeline.step(run.state, broken)
    with pytest.raises(BadMessage, match="box-4"):
        run.pipeline.step(run.state, result(4.0, [lying()], camera_id="box-4"))
    assert run.state.encode() == before


def test_one_horse_under_two_class_names_is_one_animal() -> None:
    run = Run(pipeline(animal_classes=["horse", "dog"]))
    horse = standing()
    run.feed(shown([horse, horse._replace(name="dog", confidence=0.5)], 0, 2))
    assert run.last is not None
    assert [(track.id, track.class_name) for track in run.last.tracks] == [(1, "horse")]
    run.feed(shown([horse._replace(name="dog", confidence=0.5)], 2, 1))
    assert [(track.id, track.class_name) for track in run.last.tracks] == [(1, "dog")]


def test_other_classes_are_ignored() -> None:
    run = Run()
    run.feed(shown([Seen((100, 100, 400, 400), "dog", 0.9)], 0, 2))
    assert run.last is not None
    assert run.last.tracks == []


def test_a_model_that_states_the_posture_is_believed_over_the_shape() -> None:
    run = Run()
    run.feed(shown([Seen((400, 300, 700, 600), "horse_lying", 0.8)], 0, 5))
    assert run.last is not None
    assert [(track.kind, track.posture) for track in run.last.tracks] == [("animal", "lying")]


def test_a_weak_box_tells_no_posture() -> None:
    run = Run()
    run.feed(shown([standing()], 0, 1))
    run.feed(shown([standing(confidence=0.15)], 1, 20))
    assert run.last is not None
    assert [(track.id, track.posture, track.p_lying_now) for track in run.last.tracks] == [(1, "unknown", None)]


def test_a_decision_is_plain_json() -> None:
    run = Run()
    run.feed(shown([lying(), Seen((60, 60, 140, 320), "person", 0.5)], 0, 14))
    plain = msgspec.json.decode(msgspec.json.encode(run.last))
    assert plain["camera_id"] == "box-3"
    assert plain["captured_at"] == pytest.approx(START + 13.8)
    horse, person = plain["tracks"]
    assert (horse["kind"], horse["posture"], horse["xyxy"]) == ("animal", "lying", [400, 400, 800, 560])
    assert (person["kind"], person["posture"], person["p_lying"]) == ("person", "unknown", None)


def test_a_decision_names_the_alerts_it_brought_about() -> None:
    run = Run()
    for one in shown([lying()], 0, 20):
        if run.feed([one]):
            break
    assert run.last is not None
    assert [(event.alert_id, event.severity) for event in run.last.events] == [(run.alerts[0].id, "info")]


def test_a_silent_camera_is_told_of_and_again_when_it_gives_pictures() -> None:
    run = Run()
    run.feed(shown([standing()], 0, 5))
    assert run.feed(quiet(14.8, 14, 4.8)) == []
    assert run.feed(quiet(28.8, 8, 4.8)) == ["camera_blind raised warning"]
    assert run.feed(quiet(36.8, 100, 4.8)) == ["camera_blind escalated critical"]
    assert run.last is None
    assert run.feed(shown([standing()], 140, 9.8)) == []
    assert run.feed(shown([standing()], 149.8, 1)) == ["camera_blind cleared critical"]
    assert run.alerts[0].started_at == START + 4.8
    assert run.alerts[0].at == pytest.approx(START + 34.8)


def test_a_silence_that_a_picture_has_ended_is_void() -> None:
    run = Run()
    run.feed(shown([standing()], 0, 5))
    before = run.state.encode()
    assert run.feed([silence(300, 4.6), silence(300, None)]) == []
    assert run.state.encode() == before


def test_a_silence_told_again_counts_once() -> None:
    run = Run()
    run.feed(shown([standing()], 0, 5))
    run.feed([silence(20, 4.8)] * 30)
    assert run.state.book.episodes[0].held_s == pytest.approx(15.2)


def test_a_silent_camera_ends_no_timer_and_completes_none() -> None:
    run = Run()
    run.feed(shown([lying()], 0, 8))
    (episode,) = run.state.book.episodes
    held = episode.held_s
    run.feed(quiet(18, 400, 7.8))
    assert [one.held_s for one in run.state.book.episodes if one.rule == "lying"] == [held]
    assert run.feed(shown([lying()], 418, 12)) == ["lying raised info", "camera_blind cleared critical"]


def test_a_black_picture_tells_nothing_of_the_horse() -> None:
    run = Run()
    run.feed(shown([lying()], 0, 8))
    black = [msgspec.structs.replace(one, blind="black") for one in shown([], 8, 40)]
    assert run.feed(black) == ["camera_blind raised warning"]
    assert run.last is not None
    assert (run.last.blind, run.last.tracks) == ("black", [])
    assert "(black)" in run.alerts[-1].message
    assert run.feed(shown([lying()], 48, 12)) == ["lying raised info", "camera_blind cleared warning"]


def test_a_camera_that_is_covered_from_the_first_picture_on_is_told_of_at_once() -> None:
    run = Run()
    black = [msgspec.structs.replace(one, blind="covered") for one in shown([], 0, 32)]
    assert run.feed(black) == ["camera_blind raised warning"]
    assert "(covered)" in run.alerts[0].message


def test_a_camera_that_never_gave_a_picture_is_told_of_after_a_while() -> None:
    run = Run()
    assert run.feed(quiet(0, 328, None)) == []
    assert run.feed(quiet(328, 10, None)) == ["camera_blind raised warning"]
    assert run.feed(shown([], 400, 12)) == ["camera_blind cleared warning"]


NIGHT = ZoneInfo("Europe/Berlin")
"""`START` is 23:13 there."""
GUARDED: dict[str, dict[str, Any]] = {"absent": {"for_s": 60}}


def guarded() -> Run:
    return Run(Pipeline("box-3", LogicSettings(), load_rules(GUARDED), NIGHT))


def test_a_person_at_night_is_told_of_and_one_who_passes_by_is_not() -> None:
    run = guarded()
    groom = Seen((60, 60, 160, 420), "person", 0.7)
    for start in range(0, 60, 20):
        assert run.feed(shown([standing(), groom], start, 2)) == []
        assert run.feed(shown([standing()], start + 2, 18)) == []
    assert run.feed(shown([standing(), groom], 60, 12)) == ["person raised warning"]
    assert run.alerts[0].track_id is None
    assert run.feed(shown([standing()], 72, 70)) == ["person cleared warning"]


def test_an_empty_box_is_told_of_and_a_hidden_horse_or_a_blind_camera_is_not_taken_for_one() -> None:
    run = guarded()
    assert run.feed(shown([], 0, 100)) == []
    run.feed(shown([standing()], 100, 5))
    assert run.feed(shown([], 105, 58)) == []
    assert run.feed(shown([standing(confidence=0.2)], 163, 100)) == []
    assert run.feed(quiet(280, 300, 262.8))[0] == "camera_blind raised warning"
    assert run.feed(shown([], 580, 20)) == ["absent raised info", "camera_blind cleared critical"]
    assert run.feed(shown([standing()], 600, 14)) == []
    assert run.feed(shown([standing()], 614, 6)) == ["absent cleared info"]


def test_a_weak_box_for_a_moment_keeps_no_empty_box_from_being_told_of() -> None:
    run = guarded()
    run.feed(shown([standing()], 0, 20))
    for start in range(20, 100, 10):
        run.feed(shown([standing(confidence=0.2)], start, 3))
        run.feed(shown([], start + 3, 7))
    (alert,) = run.alerts
    assert (alert.rule, alert.event) == ("absent", "raised")
    assert alert.evidence["held_s"] == pytest.approx(60, abs=0.5)
    assert alert.evidence["bridged_s"] == pytest.approx(15, abs=4)


def test_a_horse_that_paces_its_box_is_told_of_and_one_that_rests_is_seen_to() -> None:
    run = Run()
    pace = [abs(index % 40 - 20) for index in range(400)]
    walk = [result(index / 5, [standing(200 + 30 * step, 300)], seq=index) for index, step in enumerate(pace)]
    assert run.feed(walk) == ["agitated raised warning"]
    assert run.last is not None
    assert run.last.tracks[0].agitation_bl_s == pytest.approx(0.5, abs=0.15)
    assert run.feed(shown([standing(200, 300)], 80, 150)) == ["agitated cleared warning"]
    assert run.last.tracks[0].resting


def test_a_horse_that_lies_down_and_rises_again_and_again_is_told_of() -> None:
    run = Run(pipeline({"restless": {"enabled": True, "changes_per_h": 4}, "absent": {"enabled": False}}))
    told = []
    for start in range(0, 120, 40):
        told += run.feed(shown([lying()], start, 20))
        told += run.feed(shown([standing(450, 260)], start + 20, 20))
    assert told == ["restless raised warning"]
    assert run.alerts[0].evidence["changes_in_last_h"] == 4.0


ONLY_CAST = {"cast": {"enabled": True}, **{name: {"enabled": False} for name in ("lying", "agitated", "absent")}}


def heaving(start: float, seconds: float, fps: float = 5.0) -> list[Result]:
    """It throws itself up and down for four seconds of each twenty-five, in its place."""
    results = []
    for index in range(round(seconds * fps)):
        now = start + index / fps
        left, top, right, bottom = lying().xyxy
        over = 0.2 * (bottom - top) * sin(2 * pi * now / 1.2) if (now - start) % 25 < 4 else 0.0
        results.append(result(now, [lying()._replace(xyxy=(left, top + over, right, bottom))], seq=index))
    return results


def test_a_horse_that_struggles_and_does_not_rise_is_told_of_wherever_it_lies() -> None:
    run = Run(pipeline(ONLY_CAST))
    assert run.feed(shown([standing()], 0, 20)) == []
    assert run.feed(shown([lying()], 20, 60)) == []
    assert run.feed(heaving(80, 140)) == []
    assert run.feed(heaving(220, 60)) == ["cast raised critical"]
    assert run.alerts[0].message == "Horse in box-3 may be cast: it is down and has struggled 7 times"
    assert run.alerts[0].evidence["struggles_in_10_min"] == 7.0
    assert run.feed(shown([lying()], 280, 1200, fps=1.0)) == []
    assert run.feed(shown([standing()], 1480, 90)) == ["cast cleared critical"]


def test_a_horse_that_gets_up_between_its_struggles_is_not_cast() -> None:
    run = Run(pipeline(ONLY_CAST))
    for start in range(0, 600, 150):
        assert run.feed([*heaving(start, 100), *shown([standing()], start + 100, 50)]) == []


def ups_and_downs(start: float, times: int, beside: list[Seen]) -> Iterator[Result]:
    for number in range(times):
        yield from shown([lying(), *beside], start + 60 * number, 30)
        yield from shown([standing(), *beside], start + 60 * number + 30, 30)


def test_a_new_horse_does_not_take_over_what_another_did_that_is_hidden_for_a_moment() -> None:
    run = Run(pipeline({"restless": {"enabled": True, "changes_per_h": 6}, "absent": {"enabled": False}}))
    assert run.feed(ups_and_downs(0, 2, [])) == []
    run.feed(shown([standing(), standing(900, 300)], 120, 30))
    run.feed(shown([standing(900, 300)], 150, 3))
    run.feed(shown([standing(), standing(900, 300)], 153, 30))
    assert [change.track_id for change in run.state.history.changes] == [1, 1, 1]


def test_a_horse_that_was_lost_is_the_next_one_that_comes_alone() -> None:
    run = Run(pipeline({"restless": {"enabled": True, "changes_per_h": 6}, "absent": {"enabled": False}}))
    run.feed(ups_and_downs(0, 2, []))
    run.feed(shown([], 120, 30))
    assert run.feed(ups_and_downs(150, 2, [])) == ["restless raised warning"]


def test_a_clock_set_back_while_the_camera_is_blind_leaves_no_alert_open() -> None:
    run = Run()
    run.feed(shown([standing()], 10_000, 5))
    run.feed(quiet(10_015, 40, 10_004.8))
    assert run.feed(shown([standing()], 0, 25)) == ["camera_blind cleared warning"]


def test_a_state_of_another_build_is_refused() -> None:
    with pytest.raises(UnknownVersion, match=f"version {VERSION + 1}"):
        CameraState.decode(msgspec.msgpack.encode({"v": VERSION + 1}))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81\xa1v\x01", msgspec.msgpack.encode([1, 2]), b"\x91" * 5000])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        CameraState.decode(data)


def test_the_state_of_a_busy_camera_stays_small() -> None:
    run = Run()
    run.feed(story(1))
    assert len(run.state.encode()) < 10_000
    run.feed(shown([], 100, 10))
    assert len(run.state.encode()) < 1_000
