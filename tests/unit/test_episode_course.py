"""Whatever two horses do, seen or unseen: the promises of the episodes, by Hypothesis."""

from collections import defaultdict
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fbtasks.alert import SEVERITIES, Alert, Severity, alert_id, episode_id
from fbtasks.logic.book import Book
from fbtasks.logic.episodes import Episodes
from fbtasks.logic.rules.lying import Lying
from fbtasks.logic.scene import Blindness, Judged, Scene
from fbtasks.logic.smoother import PostureName, Reading
from fbtasks.logic.tracker import Sighting, Track

CAMERA = "box-3"
COOLDOWN_S = 60.0
LYING = Lying(
    info_after_s=4, warning_after_s=8, critical_after_s=12, clear_after_s=3, cooldown_s=COOLDOWN_S, lost_clear_after_s=9
)
HORSE = Sighting((0.0, 0.0, 100.0, 100.0), 0.9, "animal", "horse")
POSTURES: tuple[PostureName | None, ...] = ("lying", "lying", "standing", "unknown", None)

Act = tuple[int, PostureName | None, PostureName | None, bool]
ACTS = st.lists(
    st.tuples(st.integers(1, 10), st.sampled_from(POSTURES), st.sampled_from(POSTURES), st.booleans()), max_size=25
)
"""How long, what each of two horses does (None: out of view, and known by another number then), blind or not."""


class Night:
    """Two horses before one camera, a second at a time."""

    def __init__(self) -> None:
        self.book = Book()
        self.now = 1000.0
        self.alerts: list[Alert] = []
        self.tracks: dict[int, tuple[int, float]] = {}
        self.next_track = 1
        self.cleared: list[Alert] = []

    def act(self, seconds: int, postures: tuple[PostureName | None, ...], *, blind: bool) -> None:
        for _ in range(seconds):
            self.now += 1.0
            judged = (
                [] if blind else [view for horse, posture in enumerate(postures) for view in self._view(horse, posture)]
            )
            dark = Blindness(self.now, self.now, "dark") if blind else None
            alerts = Episodes(CAMERA, (LYING,)).step(self.book, Scene(self.now, 1.0, judged, blind=dark))
            self.alerts += alerts
            self.check({view.track.id for view in judged if view.reading.posture == "lying"})
            self.cleared += [alert for alert in alerts if alert.event == "cleared"]

    def _view(self, horse: int, posture: PostureName | None) -> list[Judged]:
        if posture is None:
            self.tracks.pop(horse, None)
            return []
        if horse not in self.tracks:
            self.tracks[horse] = (self.next_track, self.now)
            self.next_track += 1
        track_id, since = self.tracks[horse]
        return [
            Judged(Track(track_id, HORSE, since, self.now, confirmed=True), Reading(posture, None, 1.0, None, None))
        ]

    def check(self, lying: set[int]) -> None:
        """No rise is held back by anything but the cooldown of what was as grave before."""
        for episode in self.book.episodes:
            due = [level.severity for level in LYING.levels if level.after_s <= episode.held_s]
            if due and episode.holder in lying and episode.severity is None:
                lately = [one.severity for one in self.cleared if self.now - one.at < COOLDOWN_S]
                assert any(rank(due[-1]) <= rank(severity) for severity in lately), "a rise was swallowed"
            elif due and episode.holder in lying:
                assert episode.severity == due[-1], "an escalation was swallowed"


def rank(severity: Severity) -> int:
    return SEVERITIES.index(severity)


def played(acts: list[Act]) -> Night:
    night = Night()
    for seconds, one, other, blind in acts:
        night.act(seconds, (one, other), blind=blind)
    return night


@given(ACTS)
def test_no_rise_is_swallowed_and_episodes_are_told_in_order(acts: list[Act]) -> None:
    courses: dict[UUID, list[Alert]] = defaultdict(list)
    for alert in played(acts).alerts:
        courses[alert.episode_id].append(alert)
    for alerts in courses.values():
        first = alerts[0]
        assert [alert.number for alert in alerts] == list(range(len(alerts)))
        assert [alert.event for alert in alerts[1:-1]] == ["escalated"] * len(alerts[1:-1])
        assert first.event == "raised"
        assert alerts[-1].event in {"raised", "escalated", "cleared"}
        told = [rank(alert.severity) for alert in alerts if alert.event != "cleared"]
        assert told == sorted(set(told)), "each rise is told once"
        assert first.episode_id == episode_id(CAMERA, "lying", first.track_id, first.started_at)
        assert [alert.id for alert in alerts] == [alert_id(first.episode_id, alert.number) for alert in alerts]


@given(ACTS)
def test_the_same_course_gives_the_same_alerts(acts: list[Act]) -> None:
    assert played(acts).alerts == played(acts).alerts
