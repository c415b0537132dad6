"""What is due of a story, what was told, and how the two are matched; the noise of the detector; a short night."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fbtasks.celery import SWEEP_EVERY_S
from fbtasks.cli.sim.rehearsal import SWEEP_S, Rehearsal, View
from fbtasks.cli.sim.score import command, report, table
from fbtasks.settings import Settings
from fbtasks.sim.due import Due, Story, due_alerts
from fbtasks.sim.nights import Night
from fbtasks.sim.noise import Flaws, NoisyDetector
from fbtasks.sim.scenario import find_scenario, read_scenario
from fbtasks.sim.score import Told, compared
from fbtasks.sim.spans import merged, reached, without
from fbtasks.sim.stage import Conditions, Truth
from fbtasks.sim.timeline import Event, Timeline

LYING = {"info_after_s": 60.0, "warning_after_s": 120.0, "critical_after_s": None, "clear_after_s": 30.0}
BLIND = {"warning_after_s": 30.0, "critical_after_s": 120.0, "clear_after_s": 10.0}
FAST = {"body_lengths_per_s": 1.0, "for_s": 2.0, "clear_after_s": 10.0, "severity": "warning"}
PERSON = {"allowed": ["06:00-20:00"], "for_s": 10.0, "severity": "warning", "clear_after_s": 60.0}
RESTLESS = {"changes_per_h": 6, "clear_after_s": 600.0, "severity": "warning"}
CAST = {"struggles": 4, "severity": "critical"}
ABSENT = {"active": [], "for_s": 100.0, "severity": "info", "clear_after_s": 5.0}


def story(*events: Event, unseen: list[tuple[float, float]] | None = None, allowed: bool = False) -> Story:
    def faster_than(_limit: float) -> list[Event]:
        return [event for event in events if event.kind == "bolting"]

    return Story(1000.0, ["Luna", "Nero"], events, unseen or [], faster_than, lambda _hours, _t: allowed)


def lying(start: float, end: float, who: str = "Luna") -> Event:
    return Event("lying", who, start, end)


def due(rules: Mapping[str, Mapping[str, object]], told: Story) -> list[tuple[str, float, bool]]:
    return [(one.severity, one.due, one.sure) for one in due_alerts(told, rules)]


def test_spans() -> None:
    assert merged([(5, 6), (0, 1), (1.5, 3)], 1.0) == [(0, 3), (5, 6)]
    assert without([(0, 10)], [(2, 3), (9, 12)]) == [(0, 2), (3, 9)]
    assert reached([(0, 2), (3, 9)], [1, 4, 9]) == [1, 5, None]


def test_a_loss_of_all_memory_leaves_what_was_told() -> None:
    assert reached([(0, 100)], [30, 60], losses=[20]) == [50, 80]
    assert reached([(0, 100)], [30, 60], losses=[40]) == [30, 70]
    assert reached([(0, 40), (60, 100)], [30, 60], losses=[50]) == [30, 90]


def test_lying_is_due_at_each_of_its_levels() -> None:
    assert due({"lying": LYING}, story(lying(10, 300))) == [("info", 70, True), ("warning", 130, True)]


def test_lying_that_ends_near_its_limit_may_or_may_not_be_told() -> None:
    assert due({"lying": LYING}, story(lying(10, 80))) == [("info", 70, False)]
    assert due({"lying": LYING}, story(lying(10, 40))) == []


def test_a_short_rise_does_not_end_lying_and_a_long_one_does() -> None:
    assert due({"lying": LYING}, story(lying(0, 50), lying(70, 110))) == [("info", 80, True)]
    assert due({"lying": LYING}, story(lying(0, 44), lying(84, 120))) == []


def test_a_rise_that_nobody_saw_leaves_open_whether_it_was_one_time_of_lying() -> None:
    rose = story(lying(0, 40), lying(200, 290), unseen=[(60, 190)])
    assert due({"lying": LYING}, rose) == [("info", 260, False), ("info", 220, False), ("warning", 280, False)]
    seen = story(lying(0, 40), lying(200, 290), unseen=[(60, 150)])
    assert due({"lying": LYING}, seen) == [("info", 260, True)]


def test_each_horse_lies_for_itself() -> None:
    both = story(lying(0, 100), lying(20, 120, "Nero"))
    assert due({"lying": LYING}, both) == [("info", 60, True), ("info", 80, True)]


def test_time_that_nobody_saw_does_not_count() -> None:
    assert due({"lying": LYING}, story(lying(0, 120), unseen=[(30, 50)])) == [("info", 80, True)]


def test_a_short_time_that_nobody_saw_counts_where_the_rule_bridges_it() -> None:
    bridging = {"lying": LYING | {"bridge_s": 30.0}}
    assert due(bridging, story(lying(0, 104), unseen=[(30, 36)])) == [("info", 60, True)]
    assert due(bridging, story(lying(0, 104), unseen=[(20, 52)])) == [("info", 92, False)]
    assert due(bridging, replace(story(lying(0, 134), unseen=[(30, 36)]), losses=[30]))[0] == ("info", 96, True)
    (either,) = due_alerts(story(lying(0, 104), unseen=[(30, 50)]), bridging)
    assert (either.due, either.early_s) == (80, 20)


def test_a_bolting_horse_is_agitated_from_when_it_runs() -> None:
    def faster_than(limit: float) -> list[Event]:
        return [Event("bolting", "Luna", 108, 190)] if limit <= 1.0 else []

    bolting = replace(story(Event("bolting", "Luna", 100, 200)), faster_than=faster_than)
    agitated = {"for_s": 30.0, "severity": "warning"}
    assert due({"agitated": agitated | {"agitation_bl_s": 0.5}}, bolting) == [("warning", 138, True)]
    assert due({"agitated": agitated | {"agitation_bl_s": 0.9}}, bolting) == [("warning", 130, False)]


def test_time_in_which_a_horse_was_hidden_may_or_may_not_have_been_seen() -> None:
    told = replace(story(lying(0, 100)), hidden={"Luna": [(20, 40)]})
    (one,) = due_alerts(told, {"lying": LYING})
    assert (one.due, one.early_s, one.sure) == (80, 20, True)


def test_the_window_of_a_rule_is_waited_for() -> None:
    (one,) = due_alerts(story(lying(0, 100)), {"lying": LYING}, {"lying": 5.0})
    assert (one.due, one.early_s) == (65, 5)


def test_lying_down_and_rising_again_and_again_is_due_from_the_change_too_many() -> None:
    bouts = [lying(100 * number, 100 * number + 50) for number in range(1, 4)]
    (one,) = due_alerts(story(*bouts), {"restless": RESTLESS})
    assert (one.due, one.sure) == (350, True)
    assert due_alerts(story(*bouts[:2]), {"restless": RESTLESS}) == []


def test_each_horse_is_restless_for_itself() -> None:
    bouts = [lying(100 * number, 100 * number + 50, who) for number in range(1, 4) for who in ("Luna", "Nero")]
    assert len(due_alerts(story(*bouts), {"restless": RESTLESS})) == 2
    assert due_alerts(story(*bouts[:4]), {"restless": RESTLESS}) == []


def test_changes_that_nobody_saw_may_or_may_not_be_noted() -> None:
    bouts = [lying(100 * number, 100 * number + 50) for number in range(1, 5)]
    (late,) = due_alerts(story(*bouts, unseen=[(90, 110)]), {"restless": RESTLESS})
    assert (late.due, late.early_s, late.sure) == (400, 50, True)
    (hidden,) = due_alerts(replace(story(*bouts), hidden={"Luna": [(90, 310)]}), {"restless": RESTLESS})
    assert not hidden.sure
    (lost,) = due_alerts(replace(story(*bouts), losses=[320]), {"restless": RESTLESS})
    assert not lost.sure


def test_what_took_nearly_an_hour_may_or_may_not_be_restless() -> None:
    bouts = [lying(100, 150), lying(1000, 1100), lying(3600, 3690)]
    (one,) = due_alerts(replace(story(*bouts), length_s=8000), {"restless": RESTLESS})
    assert not one.sure


def struggling(*starts: float, cast: bool = True, **more: Any) -> Story:
    """Luna lies for ten minutes and struggles for three seconds from each of the times."""
    events = [lying(0, 600), *([Event("cast", "Luna", 0, 600)] if cast else [])]
    return replace(story(*events), struggles={"Luna": [(start, start + 3) for start in starts]}, **more)


def test_a_cast_horse_is_due_from_the_struggle_too_many() -> None:
    (one,) = due_alerts(struggling(100, 130, 160, 190, 220), {"cast": CAST})
    assert (one.due, one.end, one.sure) == (191, 600, True)
    assert due_alerts(struggling(100, 130), {"cast": CAST}) == []


def test_struggles_close_together_are_one() -> None:
    (one,) = due_alerts(struggling(100, 110, 125, 140, 150, 170), {"cast": CAST})
    assert one.due == 171


def test_struggles_that_nobody_saw_or_that_are_forgotten_do_not_count() -> None:
    times = (100, 130, 160, 190, 220, 250, 280)
    (unseen,) = due_alerts(struggling(*times, unseen=[(120, 200)]), {"cast": CAST})
    assert unseen.due == 281
    (lost,) = due_alerts(struggling(*times, losses=[180]), {"cast": CAST})
    assert lost.due == 281


def test_a_horse_that_rolls_as_often_and_is_not_cast_may_be_told_of() -> None:
    (one,) = due_alerts(struggling(100, 130, 160, 190, 220, cast=False), {"cast": CAST})
    assert not one.sure
    (nearly,) = due_alerts(struggling(100, 130, 160), {"cast": CAST})
    assert not nearly.sure


def test_a_silent_camera_is_due() -> None:
    silent = story(Event("silent", "", 100, 160), unseen=[(100, 160)])
    assert due({"camera_blind": BLIND}, silent) == [("warning", 130, True)]


def test_a_bolting_horse_is_due() -> None:
    bolting = story(Event("bolting", "Luna", 100, 120))
    assert due({"too_fast": FAST}, bolting) == [("warning", 102, True)]


def test_persons_are_due_outside_of_their_hours() -> None:
    visit = Event("person", "groom", 100, 160)
    assert due({"person": PERSON}, story(visit)) == [("warning", 110, True)]
    assert due({"person": PERSON}, story(visit, allowed=True)) == []


def test_a_place_is_empty_when_every_horse_has_left_it() -> None:
    gone = Event("absent", "Luna", 100, 500)
    assert due({"absent": ABSENT}, story(gone)) == []
    assert due({"absent": ABSENT}, story(gone, Event("absent", "Nero", 200, 600))) == [("info", 300, True)]


def test_rules_without_an_expectation_are_due_nothing() -> None:
    assert due({"foaling": {}}, story(lying(0, 900))) == []


def one_due(start: float = 0, at: float = 60, end: float = 100, *, sure: bool = True) -> Due:
    return Due("lying", "info", start, at, end, sure)


def test_what_comes_in_time_is_right_and_its_delay_counts_from_when_it_was_due() -> None:
    score = compared([one_due()], [Told("lying", "info", 64)])["lying"]
    assert (score.right, score.delays_s, score.missed, score.wrong) == (1, [4], [], [])
    assert (score.precision, score.recall, score.delay_s(0.5)) == (1.0, 1.0, 4.0)


@pytest.mark.parametrize("told", [Told("lying", "info", 20), Told("lying", "info", 200), Told("lying", "warning", 64)])
def test_too_early_too_late_or_another_severity_is_wrong(told: Told) -> None:
    score = compared([one_due()], [told])["lying"]
    assert (score.right, score.missed, score.wrong) == (0, [one_due()], [told])
    assert (score.precision, score.recall, score.delay_s(0.5)) == (0.0, 0.0, None)


def test_the_same_told_twice_is_wrong_once() -> None:
    score = compared([one_due()], [Told("lying", "info", 64), Told("lying", "info", 80)])["lying"]
    assert (score.right, len(score.wrong)) == (1, 1)


def test_what_may_or_may_not_come_counts_neither_way() -> None:
    assert compared([one_due(sure=False)], [])["lying"].recall is None
    assert compared([one_due(sure=False)], [Told("lying", "info", 64)])["lying"].precision is None


def truth(visible: float = 1.0) -> Truth:
    return Truth("Luna", "horse", (300.0, 200.0, 600.0, 400.0), visible, "standing", 0.0)


def test_the_noise_of_a_moment_is_always_the_same() -> None:
    one, other = NoisyDetector(960, 540, seed=1), NoisyDetector(960, 540, seed=1)
    times = [0.0, 7.5, 3.2]
    first = {t: one.boxes([truth()], Conditions(), t) for t in times}
    for t in reversed(times):
        again = other.boxes([truth()], Conditions(), t)
        np.testing.assert_array_equal(first[t].xyxy, again.xyxy)
        np.testing.assert_array_equal(first[t].confidence, again.confidence)
    assert not np.array_equal(NoisyDetector(960, 540, seed=2).boxes([truth()], Conditions(), 0.0).xyxy, first[0.0].xyxy)


def best(detector: NoisyDetector, visible: float, conditions: Conditions | None = None) -> list[float]:
    found = [detector.boxes([truth(visible)], conditions or Conditions(), 0.2 * number) for number in range(600)]
    return [float(boxes.confidence.max()) if len(boxes) else 0.0 for boxes in found]


def test_noise_is_as_it_was_measured() -> None:
    detector = NoisyDetector(960, 540, seed=5, flaws=Flaws(runs_per_min=0, false_per_h=0, wrong_class=0))
    confidence = best(detector, 1.0)
    assert np.mean(confidence) == pytest.approx(0.92, abs=0.005)
    assert np.std(confidence) == pytest.approx(0.025, abs=0.005)
    boxes = [detector.boxes([truth()], Conditions(), 0.2 * number) for number in range(600)]
    lefts = [float(one.xyxy[one.confidence.argmax(), 0]) for one in boxes]
    assert np.std(lefts) / 300 == pytest.approx(0.013, abs=0.002)


def test_half_hidden_dark_or_dirty_is_worse_and_covered_is_nothing() -> None:
    detector = NoisyDetector(960, 540, seed=5)
    clear = np.array(best(detector, 1.0))
    hidden = np.array(best(detector, 0.45))
    assert (clear >= 0.25).mean() > 0.98
    assert 0.3 < (hidden >= 0.25).mean() < 0.7
    assert np.median(best(detector, 1.0, Conditions(light="infrared", dirt=0.5))) < 0.7
    quiet = NoisyDetector(960, 540, seed=5, flaws=Flaws(false_per_h=0))
    assert max(best(quiet, 1.0, Conditions(covered=True))) == 0.0


def test_a_horse_that_lies_down_is_called_one_thing_for_a_while_at_any_frame_rate() -> None:
    detector = NoisyDetector(960, 540, seed=5, flaws=Flaws(runs_per_min=0, false_per_h=0))
    rises = replace(truth(), posture="between")
    of_second = [
        {int(detector.boxes([rises], Conditions(), second + part).class_id[0]) for part in (0.0, 0.04, 0.5, 0.96)}
        for second in range(40)
    ]
    assert all(len(classes) == 1 for classes in of_second)
    assert 10 < sum(classes == {2} for classes in of_second) < 30


SHORT = """
name = "short"
seed = 4
length_s = 150
place = { kind = "box", seed = 1 }

[[horses]]
id = "Luna"
acts = [
  { from = 0, to = 10, does = "stands", at = [2, 2], facing = "right" },
  { from = 10, to = 120, does = "lies_sternal" },
]
"""
SCENARIOS = Path(__file__).resolve().parents[2] / "benchmarks" / "scenarios"
RULES = "[rules.lying]\ninfo_after_s = 40\nwarning_after_s = 70\ncritical_after_s = {critical}\n"


def test_silences_are_told_as_often_as_beat_does() -> None:
    assert SWEEP_S == SWEEP_EVERY_S


def test_a_short_night_through_the_real_pipeline() -> None:
    settings = Settings(rules={"lying": {"info_after_s": 40, "warning_after_s": 70, "critical_after_s": False}})
    outcome = Rehearsal(settings, fps=2).play(Night(read_scenario(SHORT, "short"), restarts=(30.0,)))
    score = outcome.scores["lying"]
    assert (score.right, score.missed, score.wrong) == (2, [], [])
    # By up to a posture's window too soon: a horse on its way down may be called lying at once.
    assert all(-settings.logic.window_s < delay < 2 for delay in score.delays_s)
    assert [one.severity for one in outcome.told] == ["info", "warning"]


def test_a_state_that_is_lost_tells_nothing_twice_and_counts_on_from_what_it_told() -> None:
    settings = Settings(rules={"lying": {"info_after_s": 40, "warning_after_s": 60, "critical_after_s": False}})
    told = Night(read_scenario(SHORT, "short"), restarts=(65.0,), losses=frozenset({65.0}))
    outcome = Rehearsal(settings, fps=2).play(told)
    score = outcome.scores["lying"]
    assert [one.severity for one in outcome.told] == ["info", "warning"]
    assert (score.right, score.missed, score.wrong) == (2, [], [])
    kept = Rehearsal(settings, fps=2).play(replace(told, losses=frozenset()))
    assert kept.told[1].at < outcome.told[1].at


def test_what_is_kept_is_not_played_again(tmp_path: Path) -> None:
    story_file, kept = tmp_path / "short.toml", tmp_path / "kept"
    story_file.write_text(SHORT)
    kept.mkdir()
    options = ["--scenario", str(story_file), "--keep", str(kept)]
    first = CliRunner().invoke(command, options, catch_exceptions=False)
    (file,) = kept.iterdir()
    outcome = json.loads(file.read_text())
    outcome["results"] = 77
    file.write_text(json.dumps(outcome))
    figures = tmp_path / "figures.json"
    again = CliRunner().invoke(command, [*options, "--json", str(figures)], catch_exceptions=False)
    assert again.output == first.output
    assert json.loads(figures.read_text())["nights"][0]["results"] == 77


def test_the_frame_rate_changes_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, story_file, figures = tmp_path / "fbtasks.toml", tmp_path / "short.toml", tmp_path / "score.json"
    config.write_text(RULES.format(critical="false"))
    story_file.write_text(SHORT)
    monkeypatch.setenv("FBTASKS_CONFIG", str(config))
    options = ["--scenario", str(story_file), "--fps", "25,5,2", "--json", str(figures)]
    found = CliRunner().invoke(command, options, catch_exceptions=False)
    assert found.exit_code == 0
    rates = json.loads(figures.read_text())["rates"]
    assert [one["fps"] for one in rates] == [25, 5, 2]
    assert all(one["same"] == 2 and not one["different"] for one in rates)
    # Two pictures are half a second apart at most, and the detector errs in other pictures than before.
    assert max(one["apart_s"]["most"] for one in rates) <= 0.75


def test_the_command_writes_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, story_file, figures = tmp_path / "fbtasks.toml", tmp_path / "short.toml", tmp_path / "score.json"
    config.write_text(RULES.format(critical="false"))
    story_file.write_text(SHORT)
    monkeypatch.setenv("FBTASKS_CONFIG", str(config))
    found = CliRunner().invoke(command, ["--scenario", str(story_file), "--json", str(figures)], catch_exceptions=False)
    assert found.exit_code == 0
    told = json.loads(figures.read_text())
    assert told["rules"]["lying"]["right"] == 2
    assert told["rules"]["lying"]["recall"] == 1.0
    assert table(told) in found.output


def test_a_scenario_for_measuring_detectors_can_be_scored() -> None:
    found = CliRunner().invoke(command, ["--scenario", str(SCENARIOS / "two-horses-crossing.toml")])
    assert found.exit_code == 0, found.output
    assert "two-horses-crossing" not in found.output, "no faults"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", __file__], "add --pixels"),
        (["--pixels", "--model", "no.onnx"], "does not exist"),
        (["--json", "no/score.json"], "there is no folder no: make it first"),
        (["--faster", "101"], "is not in the range"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_played(options: list[str], said: str) -> None:
    found = CliRunner().invoke(command, options)
    assert found.exit_code == 2
    assert said in found.output


def test_a_frozen_picture_is_as_old_as_its_light() -> None:
    story = """
name = "frozen"
length_s = 60
place = { kind = "box" }
disturbances = [{ what = "frozen", from = 10, to = 50 }]
lights = [{ from = 20, to = 60, light = "infrared" }]
"""
    timeline = Timeline(read_scenario(story, "frozen"))

    def view(t: float) -> View:
        return View.of(timeline.placed(timeline.shown(t)), timeline.conditions(timeline.shown(t)))

    assert view(30) == view(10)
    assert view(50) != view(10)


def test_a_rule_that_tells_too_early_is_found_out() -> None:
    """The score itself must be able to fail: the rules told are not those that were expected."""
    outcome = Rehearsal(Settings(rules={"lying": {"info_after_s": 40}}), fps=2).play(Night(find_scenario("box-1"), ()))
    assert outcome.scores["lying"].right == 1
    score = compared([one_due(at=200, end=300)], outcome.told)["lying"]
    assert (len(score.missed), len(score.wrong)) == (1, 1)
    assert report([outcome], seed=0, fps=2)["quiet_night_alerts"] == 0


def test_an_alert_within_the_cooldown_may_come_or_not_but_for_another_horse() -> None:
    bolts = [
        Event("bolting", "Luna", 100.0, 130.0),
        Event("bolting", "Luna", 200.0, 230.0),
        Event("bolting", "Nero", 210.0, 240.0),
        Event("bolting", "Luna", 500.0, 530.0),
    ]

    def sure(cooldown_s: float) -> list[bool]:
        dues = due_alerts(story(*bolts), {"too_fast": FAST | {"cooldown_s": cooldown_s}})
        return [due.sure for due in sorted(dues, key=lambda due: due.start)]

    assert sure(0.0) == [True, True, True, True]
    assert sure(100.0) == [True, False, True, True]
