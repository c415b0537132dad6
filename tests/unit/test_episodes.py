from collections.abc import Callable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pytest

from fbtasks.alert import Alert
from fbtasks.logic.activity import Gait
from fbtasks.logic.book import Book
from fbtasks.logic.episodes import Episodes
from fbtasks.logic.moment import BOX
from fbtasks.logic.rules import Rule
from fbtasks.logic.rules.agitated import Agitated
from fbtasks.logic.rules.camera_blind import CameraBlind
from fbtasks.logic.rules.lying import Lying
from fbtasks.logic.rules.too_fast import TooFast
from fbtasks.logic.scene import Blindness, Judged, Scene
from fbtasks.logic.smoother import PostureName, Reading
from fbtasks.logic.state import CameraState, state_from_open_episodes
from fbtasks.logic.tracker import Sighting, Track

LYING = Lying(
    info_after_s=10,
    warning_after_s=20,
    critical_after_s=30,
    clear_after_s=5,
    cooldown_s=15,
    lost_clear_after_s=25,
    bridge_s=4,
)
HORSE = Sighting((0.0, 0.0, 100.0, 100.0), 0.9, "animal", "horse")


@dataclass
class Stall:
    """One camera's episodes, driven second by second; `views` maps the ids of tracks in view to their posture."""

    rules: tuple[Rule, ...] = (LYING,)
    zone: ZoneInfo | None = None
    book: Book = field(default_factory=Book)
    now: float = 1000.0
    alerts: list[Alert] = field(default_factory=list)
    since: dict[int, float] = field(default_factory=dict)
    seen_at: float | None = None
    dark: Blindness | None = None
    hidden: dict[int, float] = field(default_factory=dict)
    """Tracks in `views` that are not seen, only not given up yet: when they were last seen."""
    places: dict[int, Sighting] = field(default_factory=dict)

    def watch(self, seconds: float, views: dict[int, PostureName], step: float = 1.0) -> list[str]:
        """Let `seconds` pass; what happened, as `event severity`."""
        before = len(self.alerts)
        for _ in range(round(seconds / step)):
            self.now += step
            judged = [self._judged(track_id, posture) for track_id, posture in views.items()]
            elapsed = self.now - self.seen_at if self.seen_at is not None and self.dark is None else 0.0
            self.seen_at, self.dark = self.now, None
            self.alerts += Episodes("box-3", self.rules, self.zone).step(self.book, Scene(self.now, elapsed, judged))
        return [f"{alert.event} {alert.severity}" for alert in self.alerts[before:]]

    def blind(self, seconds: float) -> None:
        """Let `seconds` pass without a picture, and without anybody to tell of that."""
        self.now += seconds

    def go_dark(self, seconds: float, step: float = 2.0) -> list[str]:
        """Let `seconds` pass without a picture; beat tells of it every `step`."""
        before = len(self.alerts)
        for _ in range(round(seconds / step)):
            last_at = self.dark.at if self.dark else self.seen_at
            elapsed = self.now + step - last_at if last_at is not None else 0.0
            self.now += step
            since = self.dark.since if self.dark else self.seen_at if self.seen_at is not None else self.now
            self.dark = Blindness(since, self.now, "unplugged")
            self.alerts += Episodes("box-3", self.rules, self.zone).step(
                self.book, Scene(self.now, elapsed, [], blind=self.dark)
            )
        return [f"{alert.event} {alert.severity}" for alert in self.alerts[before:]]

    def _judged(self, track_id: int, posture: PostureName) -> Judged:
        since = self.since.setdefault(track_id, self.now)
        seen = self.places.get(track_id, HORSE)
        track = Track(track_id, seen, since, self.hidden.get(track_id, self.now), confirmed=True)
        return Judged(track, Reading(posture, None, 1.0, None, None))


def test_one_lying_horse_is_raised_escalated_and_cleared_once() -> None:
    stall = Stall()
    assert stall.watch(9, {1: "lying"}) == []
    assert stall.watch(30, {1: "lying"}) == ["raised info", "escalated warning", "escalated critical"]
    assert stall.watch(100, {1: "lying"}) == []
    assert stall.watch(20, {1: "standing"}) == ["cleared critical"]


def test_alerts_of_one_episode_belong_together_and_differ() -> None:
    stall = Stall()
    stall.watch(40, {1: "lying"})
    stall.watch(10, {1: "standing"})
    assert [alert.number for alert in stall.alerts] == [0, 1, 2, 3]
    assert len({alert.episode_id for alert in stall.alerts}) == 1
    assert len({alert.id for alert in stall.alerts}) == 4
    assert {alert.started_at for alert in stall.alerts} == {1001.0}
    assert stall.alerts[0].message == "Horse in box-3 has been lying for 10 seconds"
    assert stall.alerts[0].evidence["held_s"] == pytest.approx(10)
    assert stall.alerts[-1].message == "Horse in box-3 is standing again after lying for 39 seconds"


def test_an_alert_whose_state_was_lost_finds_the_horse_that_is_where_it_was() -> None:
    left, right = HORSE, Sighting((500.0, 0.0, 600.0, 100.0), 0.9, "animal", "horse")
    stall = Stall(places={1: left, 2: right})
    assert stall.watch(12, {1: "standing", 2: "lying"}) == ["raised info"]
    box = dict(zip(BOX, right.xyxy, strict=True))
    told = stall.alerts[-1].model_copy(update={"evidence": stall.alerts[-1].evidence | box})
    book = state_from_open_episodes("box-3", [told]).book
    again = Stall(now=stall.now, book=book, places={1: left, 2: right})
    assert again.watch(15, {1: "standing", 2: "lying"}) == ["escalated warning"]


class Broken(Lying):
    name = "broken"

    def judge(self, view: Judged, *, raised: bool) -> bool | None:
        raise ZeroDivisionError


def test_an_error_in_a_rule_says_in_which() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        Stall((LYING, Broken())).watch(1, {1: "lying"})
    assert raised.value.__notes__ == ["in the rule 'broken' of camera box-3"]


def test_the_same_course_gives_the_same_alerts() -> None:
    courses = []
    for _ in range(2):
        stall = Stall()
        stall.watch(25, {1: "lying"})
        courses.append(stall.alerts)
    assert courses[0] == courses[1] != []


def test_unknown_pauses_a_timer() -> None:
    stall = Stall()
    stall.watch(8, {1: "lying"})
    assert stall.watch(1000, {1: "unknown"}) == []
    assert stall.watch(2, {1: "lying"}) == []
    assert stall.watch(2, {1: "lying"}) == ["raised info"]


def test_unknown_ends_no_alert() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    assert stall.watch(4, {1: "standing"}) == []
    assert stall.watch(1000, {1: "unknown"}) == []
    assert stall.watch(1, {1: "standing"}) == ["cleared info"]


def test_a_gap_between_pictures_is_unknown() -> None:
    stall = Stall()
    stall.watch(8, {1: "lying"})
    stall.blind(3600)
    assert stall.watch(2, {1: "lying"}) == []
    assert stall.watch(2, {1: "lying"}) == ["raised info"]


def _unknown(stall: Stall) -> None:
    stall.watch(3, {1: "unknown"})


def _no_picture(stall: Stall) -> None:
    stall.blind(3)


def _dark(stall: Stall) -> None:
    stall.go_dark(3, step=1.0)


def _lost(stall: Stall) -> None:
    stall.watch(3, {})


@pytest.mark.parametrize("gap", [_unknown, _no_picture, _dark, _lost])
def test_a_short_gap_between_lying_and_lying_counts_and_is_told(gap: Callable[[Stall], None]) -> None:
    stall = Stall()
    stall.watch(6, {1: "lying"})
    gap(stall)
    assert stall.watch(1, {2 if gap is _lost else 1: "lying"}) == []
    assert stall.watch(1, {2 if gap is _lost else 1: "lying"}) == ["raised info"]
    evidence = stall.alerts[0].evidence
    # A picture speaks for the second before it, but after three without one it speaks for nothing.
    assert (evidence["held_s"], evidence["bridged_s"]) == (10, 4 if gap in (_no_picture, _dark) else 3)


def test_a_gap_that_is_too_long_pauses() -> None:
    stall = Stall()
    stall.watch(6, {1: "lying"})
    stall.watch(4, {1: "unknown"})
    assert stall.watch(4, {1: "lying"}) == []
    assert stall.watch(1, {1: "lying"}) == ["raised info"]
    assert stall.alerts[0].evidence["bridged_s"] == 0


def test_many_short_gaps_each_count() -> None:
    stall = Stall()
    stall.watch(1, {1: "lying"})
    for _ in range(3):
        stall.watch(2, {1: "unknown"})
        stall.watch(1, {1: "lying"})
    assert stall.watch(1, {1: "lying"}) == ["raised info"]
    assert stall.alerts[0].evidence["bridged_s"] == 6


def test_a_horse_that_lies_elsewhere_is_not_bridged() -> None:
    stall = Stall()
    stall.watch(6, {1: "lying"})
    stall.watch(2, {1: "unknown"})
    stall.places = {1: Sighting((60.0, 0.0, 160.0, 100.0), 0.9, "animal", "horse")}
    assert stall.watch(4, {1: "lying"}) == []
    assert stall.watch(1, {1: "lying"}) == ["raised info"]


@pytest.mark.parametrize(("stood_s", "counts"), [(11, True), (12, False)])
def test_a_horse_that_seems_to_stand_for_no_longer_than_it_takes_to_rise_and_lie_down_lay(
    stood_s: int, counts: bool
) -> None:
    stall = Stall((Lying(info_after_s=60, warning_after_s=False, critical_after_s=False),))
    stall.watch(31, {1: "lying"})
    stall.watch(stood_s, {1: "standing"})
    assert stall.watch(29 if not counts else 29 - stood_s, {1: "lying"}) == []
    assert stall.watch(1, {1: "lying"}) == ["raised info"]
    assert stall.alerts[0].evidence["bridged_s"] == (stood_s if counts else 0)


def test_no_time_counts_twice_when_a_horse_is_found_anew_before_it_is_given_up() -> None:
    stall = Stall((Lying(info_after_s=60, warning_after_s=False, critical_after_s=False),))
    stall.watch(21, {1: "lying"})
    for lost in range(1, 4):
        stall.hidden[lost] = stall.now
        stall.watch(2, {lost: "unknown"})
        stall.watch(5, {lost: "unknown", lost + 1: "lying"})
        assert stall.watch(3, {lost + 1: "lying"}) == []
    assert stall.watch(9, {4: "lying"}) == []
    assert stall.watch(1, {4: "lying"}) == ["raised info"]
    assert stall.alerts[0].evidence["bridged_s"] == 9


def test_time_that_a_false_animal_left_behind_is_not_added_to_that_of_another() -> None:
    stall = Stall((Lying(info_after_s=60, warning_after_s=False, critical_after_s=False),))
    stall.watch(1, {1: "standing", 9: "standing"})
    stall.watch(20, {1: "standing", 9: "lying"})
    stall.watch(31, {1: "lying"})
    stall.hidden[1] = stall.now
    stall.watch(5, {1: "unknown", 2: "lying"})
    assert stall.watch(24, {2: "lying"}) == []
    assert stall.watch(1, {2: "lying"}) == ["raised info"]


def test_a_rule_may_bridge_nothing() -> None:
    stall = Stall((LYING.model_copy(update={"bridge_s": 0.0}),))
    stall.watch(6, {1: "lying"})
    stall.watch(1, {1: "unknown"})
    assert stall.watch(4, {1: "lying"}) == []
    assert stall.watch(1, {1: "lying"}) == ["raised info"]
    assert "bridged_s" not in stall.alerts[0].evidence


def galloping(*speeds: float | None, step: float = 0.5) -> list[float]:
    """After how many seconds something is told of a horse that is read to move so fast, every `step` seconds."""
    book, found = Book(), []
    for number, speed in enumerate(speeds):
        now = 1000.0 + number * step
        track = Track(1, HORSE, 1000.0, now, confirmed=True)
        scene = Scene(now, step, [Judged(track, Reading("unknown", None, 0.0, None, speed))])
        if Episodes("box-3", (TooFast(),)).step(book, scene):
            found.append(now - 1000.0)
    return found


def test_a_galloping_horse_that_turns_is_told_of_as_if_it_did_not() -> None:
    assert galloping(1.2, 1.2, 1.2, 1.2, 1.2) == [2.0]
    assert galloping(1.2, 0.7, 0.4, 1.2, 1.2) == [2.0]
    assert galloping(1.2, None, None, 1.2, 1.2) == [2.0]
    assert galloping(1.2, 0.9, 0.4, 0.9, 1.2) == [2.0]


def test_a_horse_that_is_fast_for_moments_only_is_not_told_of() -> None:
    assert galloping(*[1.2, 0.7, 0.7, 0.7] * 20) == []
    assert galloping(*[1.2, 1.2, *[0.7] * 10] * 20) == []
    assert galloping(*[0.9] * 20) == []


def test_the_unrest_that_brought_agitation_about_counts() -> None:
    book, told = Book(), []
    for now in range(1000, 1030):
        track = Track(1, HORSE, 900.0, float(now), confirmed=True)
        seen = Judged(track, Reading("unknown", None, 0.0, None, None), Gait(0.5, lively_since_s=8.0))
        told += Episodes("box-3", (Agitated(),)).step(book, Scene(float(now), 1.0, [seen]))
    (alert,) = told
    assert (alert.at, alert.started_at, alert.evidence["held_s"]) == (1022, 992, 30)


def test_a_moment_on_its_feet_ends_no_alert() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    for _ in range(10):
        assert stall.watch(4, {1: "standing"}) == []
        stall.watch(1, {1: "lying"})


def test_a_moment_of_lying_is_forgotten_after_a_moment_without() -> None:
    stall = Stall()
    for _ in range(20):
        stall.watch(2, {1: "lying"})
        stall.watch(2, {1: "standing"})
    assert stall.alerts == []
    assert stall.book.episodes == []


def test_a_long_timer_survives_a_short_rise() -> None:
    stall = Stall()
    stall.watch(9, {1: "lying"})
    stall.watch(4, {1: "standing"})
    assert stall.watch(3, {1: "lying"}) == ["raised info"]


def test_cooldown_holds_back_a_second_raise_that_then_comes() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    assert stall.watch(6, {1: "standing"}) == ["cleared info"]
    cleared_at = stall.alerts[-1].at
    assert stall.watch(13, {1: "lying"}) == []
    assert stall.watch(5, {1: "lying"}) == ["raised info"]
    assert stall.alerts[-1].at == pytest.approx(cleared_at + LYING.cooldown_s, abs=1)


def test_cooldown_holds_back_no_higher_severity() -> None:
    rule = LYING.model_copy(update={"cooldown_s": 1000.0})
    stall = Stall((rule,))
    stall.watch(15, {1: "lying"})
    stall.watch(6, {1: "standing"})
    assert stall.watch(19, {1: "lying"}) == []
    assert stall.watch(3, {1: "lying"}) == ["raised warning"]


def test_an_open_alert_is_told_again_while_its_condition_holds() -> None:
    rule = LYING.model_copy(update={"remind_every_s": 60.0})
    stall = Stall((rule,))
    stall.watch(35, {1: "lying"})
    assert stall.watch(54, {1: "lying"}) == []
    assert stall.watch(3, {1: "lying"}) == ["updated critical"]
    assert stall.alerts[-1].number == 3
    assert stall.watch(59, {1: "unknown"}) == []
    restored = Stall((rule,), book=state_from_open_episodes("box-3", stall.alerts[-1:]).book, now=stall.now)
    assert restored.watch(59, {1: "lying"}) == []
    assert restored.watch(3, {1: "lying"}) == ["updated critical"]
    assert restored.watch(6, {1: "standing"}) == ["cleared critical"]


def cooled(seconds: float = 1000.0) -> Stall:
    """A stall whose horse 1 has an alert behind it, and stands; horse 2 stands beside it."""
    stall = Stall((LYING.model_copy(update={"cooldown_s": seconds}),))
    stall.watch(15, {1: "lying", 2: "standing"})
    assert stall.watch(6, {1: "standing", 2: "standing"}) == ["cleared info"]
    return stall


def test_cooldown_of_one_animal_holds_back_no_alert_of_another() -> None:
    stall = cooled()
    assert stall.watch(12, {1: "standing", 2: "lying"}) == ["raised info"]
    assert stall.alerts[-1].track_id == 2
    assert stall.watch(12, {1: "lying", 2: "lying"}) == ["escalated warning"]


def test_an_animal_found_anew_is_not_told_of_twice_within_its_cooldown() -> None:
    stall = cooled()
    stall.watch(4, {2: "standing"})
    assert stall.watch(15, {2: "standing", 3: "lying"}) == []
    assert stall.watch(8, {2: "standing", 3: "lying"}) == ["raised warning"]


def test_the_next_in_view_takes_a_lost_ones_cooldown_and_another_does_not() -> None:
    stall = cooled()
    stall.watch(4, {2: "standing"})
    stall.watch(4, {2: "standing", 3: "standing"})
    assert stall.watch(12, {2: "standing", 3: "standing", 4: "lying"}) == ["raised info"]
    assert stall.watch(12, {2: "standing", 3: "lying", 4: "lying"}) == ["escalated warning"]


def test_a_hidden_animals_cooldown_is_that_of_one_that_appeared_since() -> None:
    stall = cooled()
    stall.hidden[1] = stall.now
    assert stall.watch(14, {1: "standing", 2: "standing", 3: "lying"}) == []
    del stall.hidden[1]
    assert stall.watch(1, {1: "standing", 2: "standing", 3: "lying"}) == ["raised info"], "it is another, after all"


def test_cooldowns_end_and_are_forgotten() -> None:
    stall = cooled(30)
    assert len(stall.book.cleared) == 1
    assert stall.watch(23, {1: "lying", 2: "standing"}) == ["raised warning"]
    stall.watch(10, {1: "lying", 2: "standing"})
    assert stall.book.cleared == []


def test_a_cooldown_survives_the_animals_loss_and_the_clock() -> None:
    stall = cooled()
    stall.book.restart_clock(500.0)
    stall.now, stall.seen_at, stall.since = 500.0, None, {}
    assert stall.watch(12, {7: "lying"}) == []


def test_the_next_animal_in_view_takes_a_lost_ones_alert_over() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    assert stall.watch(10, {}) == []
    assert stall.watch(5, {2: "lying"}) == []
    assert stall.watch(2, {2: "lying"}) == ["escalated warning"]
    assert stall.watch(6, {2: "standing"}) == ["cleared warning"]
    assert {alert.track_id for alert in stall.alerts} == {1}


def test_the_next_animal_in_view_takes_a_lost_ones_timer_over() -> None:
    stall = Stall()
    stall.watch(8, {1: "lying"})
    stall.watch(100, {})
    assert stall.watch(4, {2: "lying"}) == ["raised info"]


def test_a_second_track_of_the_same_animal_gives_its_timer_to_the_alert() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    stall.watch(1, {1: "lying", 2: "lying"})
    stall.watch(2, {2: "lying"})
    assert [(episode.track_id, episode.holder) for episode in stall.book.episodes] == [(1, 2)]


def test_an_animal_found_anew_before_it_is_given_up_raises_no_second_alert() -> None:
    quick = Lying(info_after_s=2, warning_after_s=False, critical_after_s=False, clear_after_s=5, cooldown_s=0)
    stall = Stall(rules=(quick,))
    assert stall.watch(5, {1: "lying"}) == ["raised info"]
    stall.hidden[1] = stall.now
    assert stall.watch(3, {1: "lying", 2: "lying"}) == []
    assert stall.watch(10, {2: "standing"}) == ["cleared info"]
    assert not stall.book.episodes


def test_an_animal_beside_a_hidden_one_has_its_own_alert() -> None:
    quick = Lying(info_after_s=4, warning_after_s=False, critical_after_s=False, clear_after_s=5, cooldown_s=0)
    stall = Stall(rules=(quick,))
    assert stall.watch(5, {1: "lying", 2: "standing"}) == ["raised info"]
    stall.hidden[1] = stall.now
    assert stall.watch(5, {1: "lying", 2: "lying"}) == ["raised info"]


def test_an_animal_that_was_in_view_as_well_does_not_inherit() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying", 2: "standing"})
    assert stall.watch(20, {2: "standing"}) == []
    assert [(episode.track_id, episode.holder) for episode in stall.book.episodes] == [(1, None)]


def test_two_animals_have_timers_of_their_own() -> None:
    stall = Stall()
    stall.watch(5, {1: "lying", 2: "standing"})
    assert stall.watch(7, {1: "lying", 2: "lying"}) == ["raised info"]
    assert stall.watch(5, {1: "standing", 2: "lying"}) == ["raised info", "cleared info"]
    assert [alert.track_id for alert in stall.alerts] == [1, 2, 1]


def test_an_alert_of_an_animal_no_longer_seen_is_cleared_saying_so() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    assert stall.watch(24, {}) == []
    assert stall.watch(2, {}) == ["cleared info"]
    assert stall.alerts[-1].evidence["reason"] == "no longer seen"
    assert stall.alerts[-1].message == "Horse in box-3 was lying and has not been seen for 25 seconds"


def test_a_blind_camera_clears_nothing() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    for _ in range(20):
        stall.blind(1000)
        assert stall.watch(1, {}) == []


def test_a_horse_lying_when_seen_again_is_not_timed_from_nothing() -> None:
    stall = Stall()
    stall.watch(25, {1: "lying"})
    assert stall.watch(60, {}) == ["cleared warning"]
    assert stall.watch(1, {2: "lying"}) == ["raised warning"]
    assert stall.alerts[-1].episode_id != stall.alerts[-2].episode_id


def test_a_horse_on_its_feet_when_seen_again_ends_the_timer() -> None:
    stall = Stall()
    stall.watch(25, {1: "lying"})
    stall.watch(60, {})
    assert stall.watch(7, {2: "standing"}) == []
    assert stall.book.episodes == []


def test_a_rule_that_is_switched_off_leaves_no_alert_open() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    stall.rules = (TooFast(),)
    assert stall.watch(1, {1: "lying"}) == ["cleared info"]
    assert stall.alerts[-1].evidence["reason"] == "rule switched off"
    assert stall.book.episodes == []


def test_persons_have_no_lying_timer() -> None:
    book = Book()
    person = Sighting((0.0, 0.0, 100.0, 20.0), 0.9, "person", "person")
    for second in range(60):
        judged = [Judged(Track(1, person, 0.0, second, confirmed=True), Reading("lying", 1.0, 1.0, None, None))]
        assert Episodes("box-3", (LYING,)).step(book, Scene(second, 1.0, judged)) == []


def test_timers_left_behind_are_bounded_and_the_longest_stay() -> None:
    stall = Stall((LYING.model_copy(update={"info_after_s": None, "warning_after_s": None, "critical_after_s": 900}),))
    stall.watch(5, {0: "lying"})
    stall.watch(3, dict.fromkeys(range(30), "lying"))
    stall.watch(1, {})
    assert len(stall.book.episodes) == 16
    assert stall.book.episodes[0].track_id == 0


def test_open_alerts_survive_the_loss_of_the_state() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    restored = Stall(book=state_from_open_episodes("box-3", stall.alerts[-1:]).book, now=stall.now + 120)
    assert restored.watch(8, {1: "lying"}) == []
    assert restored.watch(4, {1: "lying"}) == ["escalated warning"]
    assert restored.watch(6, {1: "standing"}) == ["cleared warning"]
    assert [alert.number for alert in restored.alerts] == [1, 2]
    assert {alert.episode_id for alert in restored.alerts} == {stall.alerts[0].episode_id}


def test_cleared_alerts_are_not_restored() -> None:
    stall = Stall()
    stall.watch(15, {1: "lying"})
    stall.watch(10, {1: "standing"})
    assert state_from_open_episodes("box-3", stall.alerts[-1:]) == CameraState(camera_id="box-3")


def test_outside_its_hours_a_rule_raises_nothing_but_its_timers_run_and_its_alerts_end() -> None:
    """The first hour of 1970 by the clock in London, an hour ahead of UTC then."""
    rule = LYING.model_copy(update={"active": ["01:17-01:18"]})
    stall = Stall((rule,), zone=ZoneInfo("Europe/London"))
    assert stall.watch(15, {1: "lying"}) == []
    assert stall.watch(6, {1: "lying"}) == ["raised info", "escalated warning"]
    assert stall.alerts[0].at == 1020.0
    stall.watch(55, {1: "lying"})
    assert stall.watch(10, {1: "standing"}) == ["cleared critical"]
    assert stall.now > 1080
    assert stall.watch(60, {1: "lying"}) == []


def test_a_blind_camera_is_told_escalated_and_cleared_once() -> None:
    stall = Stall((CameraBlind(),))
    stall.watch(5, {})
    assert stall.go_dark(28) == []
    assert stall.go_dark(200) == ["raised warning", "escalated critical"]
    assert stall.alerts[0].started_at == 1005.0
    assert stall.alerts[0].track_id is None
    assert stall.watch(9, {}) == []
    assert stall.watch(3, {}) == ["cleared critical"]


def test_a_camera_that_comes_and_goes_adds_up() -> None:
    stall = Stall((CameraBlind(),))
    for _ in range(2):
        stall.watch(3, {})
        assert stall.go_dark(14) == []
    stall.watch(3, {})
    assert stall.go_dark(4) == ["raised warning"]


def test_time_in_which_the_site_was_down_is_not_blindness_of_the_camera() -> None:
    stall = Stall((CameraBlind(),))
    stall.watch(5, {})
    stall.blind(6 * 3600)
    assert stall.go_dark(30) == []
    assert stall.go_dark(2) == ["raised warning"]
    assert stall.alerts[0].started_at == 1005.0


def test_while_the_camera_is_blind_all_other_timers_stand_still() -> None:
    stall = Stall((LYING, CameraBlind()))
    stall.watch(8, {1: "lying"})
    assert stall.go_dark(1000) == ["raised warning", "escalated critical"]
    assert stall.watch(3, {1: "lying"}) == []
    assert stall.watch(1, {1: "lying"}) == ["raised info"]


def test_a_blind_cameras_open_alert_survives_the_loss_of_the_state() -> None:
    stall = Stall((CameraBlind(),))
    stall.watch(5, {})
    stall.go_dark(40)
    restored = Stall(
        (CameraBlind(),), book=state_from_open_episodes("box-3", stall.alerts[-1:]).book, now=stall.now + 20
    )
    assert restored.go_dark(80) == []
    assert restored.go_dark(20) == ["escalated critical"]
    assert restored.watch(12, {}) == ["cleared critical"]
    assert {alert.episode_id for alert in restored.alerts} == {stall.alerts[0].episode_id}


def test_an_alert_after_a_switched_off_one_has_a_name_of_its_own() -> None:
    stall = Stall((CameraBlind(),))
    stall.watch(5, {})
    stall.go_dark(40)
    stall.rules = ()
    assert stall.go_dark(2) == ["cleared warning"]
    stall.rules = (CameraBlind(),)
    assert stall.go_dark(40) == ["raised warning"]
    assert stall.alerts[-1].episode_id != stall.alerts[0].episode_id
