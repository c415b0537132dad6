"""A night of the drawn stable through the real pipeline, faster than time; what was told, compared with the truth."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Protocol, Self

from fbtasks.alert import Alert
from fbtasks.detections import Boxes
from fbtasks.frame import Letterbox
from fbtasks.logic.activity import HELD_S
from fbtasks.logic.localtime import within
from fbtasks.logic.plugins import known_rules
from fbtasks.logic.rules import load_rules
from fbtasks.logic.site import pipeline_of
from fbtasks.logic.smoother import SPEED_WINDOW_S
from fbtasks.logic.state import CameraState, state_from_open_episodes
from fbtasks.settings import Settings
from fbtasks.sim.due import Story, due_alerts
from fbtasks.sim.motion import Spans
from fbtasks.sim.nights import Night
from fbtasks.sim.noise import NoisyDetector
from fbtasks.sim.scene import Scene
from fbtasks.sim.score import RuleScore, Told, compared
from fbtasks.sim.spans import merged
from fbtasks.sim.stage import Conditions, HorsePose, PersonPose, Placed, Truth
from fbtasks.sim.timeline import Timeline
from fbtasks.wire import Frame, Result, Silence, decode_mailed, encode

BEGINS = datetime(2026, 1, 10, 21, 0)  # noqa: DTZ001 - in the stable's zone, which the settings tell
"""Any evening: the same for all, so that a night is the same whenever it is run."""
REST_FPS = 0.5
"""Pictures a second while nothing moves but heads, to be quicker; the logic's windows and timers are in seconds."""
AFTER_S = 10.0
"""After a movement, and around the moment at which an alert is due, all pictures come."""
PLAIN = 0.7
"""With less of somebody to be seen, nobody can ask a detector to be sure: half hidden, a horse is at the threshold."""
RESTART_S = 6.0
"""Without pictures while everything starts anew."""
SWEEP_S = 2.0
"""How often beat tells of a silent camera, as `fbtasks.celery.SWEEP_EVERY_S`, which Celery would come with."""
RECODED_S = 600.0
"""How often the state goes through its encoded form though nothing was started anew, as between two tasks."""


class Detector(Protocol):
    """From who is there to boxes."""

    @property
    def names(self) -> dict[int, str]:
        """Names of its classes."""

    @property
    def hidden(self) -> Mapping[str, Spans]:
        """When each horse and person was there and hardly to be seen, as far as it knows."""

    def boxes(self, placed: list[Placed], conditions: Conditions, t: float) -> Boxes:
        """What it finds, before suppression, in source pixels."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one night.

    Attributes:
        name: of the night.
        scores: by rule.
        told: raised and escalated alerts.
        results: how many the pipeline took.
    """

    name: str
    scores: dict[str, RuleScore]
    told: list[Told]
    results: int


class TruthDetector:
    """The noisy detector on what the scene says is true."""

    def __init__(self, timeline: Timeline, seed: int) -> None:
        camera = timeline.scenario.camera
        self._scene = Scene(timeline.place, camera.width, camera.height)
        self._noisy = NoisyDetector(camera.width, camera.height, seed)
        self._still = lru_cache(maxsize=64)(self._truths)
        self._hidden: dict[str, Spans] = {}
        self._last_t = 0.0

    @property
    def names(self) -> dict[int, str]:
        return self._noisy.names

    @property
    def hidden(self) -> Mapping[str, Spans]:
        return self._hidden

    def boxes(self, placed: list[Placed], conditions: Conditions, t: float) -> Boxes:
        view = View.of(placed, conditions)
        truths = self._still(view) if conditions.shake == 0 else self._truths(view, round(t * 1000))
        self._note({one.id for one in placed} - {one.id for one in truths if one.visible >= PLAIN}, t)
        return self._noisy.boxes(truths, conditions, t)

    def _truths(self, view: "View", moment: int = 0) -> list[Truth]:
        return self._scene.truth(view.placed, view.conditions, moment)

    def _note(self, hidden: set[str], t: float) -> None:
        for who in hidden:
            spans = self._hidden.setdefault(who, [])
            if spans and spans[-1][1] == self._last_t:
                spans[-1] = spans[-1][0], t
            else:
                spans.append((self._last_t, t))
        self._last_t = t


@dataclass(frozen=True, slots=True)
class View:
    """What a picture shows, but for the breath of the horses: it moves their outline less than a detector jitters."""

    placed: tuple[Placed, ...]
    conditions: Conditions

    @classmethod
    def of(cls, placed: list[Placed], conditions: Conditions) -> Self:
        return cls(tuple(replace(one, pose=_without_breath(one.pose)) for one in placed), conditions)


def _without_breath(pose: HorsePose | PersonPose) -> HorsePose | PersonPose:
    return replace(pose, breath=0.0) if isinstance(pose, HorsePose) else pose


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How nights are played.

    Attributes:
        settings: of the logic and the rules.
        fps: pictures a second while something moves.
        rest_fps: at rest.
        detector: makes one for a story, from a seed.
    """

    settings: Settings
    fps: float
    detector: Callable[[Timeline, int], Detector] = TruthDetector
    rest_fps: float = REST_FPS

    def play(self, night: Night) -> Outcome:
        """Play the night and compare.

        Raises:
            ConfigError: a rule's settings are wrong.
        """
        tables = self.settings.rule_tables(night.scenario.name)
        rules = {rule.name: rule.model_dump() for rule in load_rules(tables, known_rules())}
        timeline = Timeline(night.scenario)
        begins_at = BEGINS.replace(tzinfo=self.settings.zone).timestamp()
        story, windows_s = _story(night, timeline, self.settings, begins_at), _windows_s(self.settings)
        moments = [due.due for due in due_alerts(story, rules, windows_s)]
        mailbox = _Mailbox(night, timeline, self, begins_at, moments)
        alerts, results = self._told(night, mailbox)
        told = [
            Told(alert.rule, alert.severity, alert.at - begins_at, alert.message)
            for alert in alerts
            if alert.event != "cleared"
        ]
        due = due_alerts(replace(story, hidden=mailbox.detector.hidden), rules, windows_s)
        return Outcome(night.scenario.name, compared(due, told), told, results)

    def _told(self, night: Night, mailbox: "_Mailbox") -> tuple[list[Alert], int]:
        """All alerts, and how many results there were."""
        pipeline, state = pipeline_of(self.settings, night.scenario.name), CameraState(camera_id=night.scenario.name)
        alerts: list[Alert] = []
        results, recoded_at = 0, 0.0
        for t, message in mailbox.messages():
            begun = {restart for restart in night.restarts if recoded_at < restart <= t}
            if begun or t - recoded_at > RECODED_S:
                # As a new process does, with what the old one left: all that was remembered is in the record.
                pipeline, recoded_at = pipeline_of(self.settings, night.scenario.name), t
                state = _reopened(state, alerts) if begun & night.losses else CameraState.decode(state.encode())
            state, decision, new = pipeline.step(state, decode_mailed(encode(message)))
            state.ledger.take()  # nobody stores them here, and they would pile up
            mailbox.last_captured_at = state.last_captured_at
            results += decision is not None
            alerts += new
        return alerts, results


class _Mailbox:
    """What comes into the camera's mailbox.

    Attributes:
        last_captured_at: of the last result that the logic has taken, as a silence has to say; set from outside.
        detector: what finds the boxes.

    Args:
        moments: of the story, at which it matters to be exact, seconds.
    """

    def __init__(
        self, night: Night, timeline: Timeline, how: Rehearsal, begins_at: float, moments: Sequence[float]
    ) -> None:
        camera, gpu = night.scenario.camera, how.settings.gpu
        self._night = night
        self._timeline = timeline
        self.detector = how.detector(timeline, night.scenario.seed)
        self._silent_after_s = how.settings.logic.silent_after_s
        self._fps, self._rest_s = how.fps, 1 / min(how.rest_fps, how.fps)
        self._begins_at = begins_at
        lively = [(start, end + AFTER_S) for start, end in timeline.lively()]
        self._lively = merged(lively + [(moment - AFTER_S, moment + AFTER_S) for moment in moments], 0.0)
        self._letterbox = Letterbox.fit(camera.width, camera.height, gpu.input_width, gpu.input_height)
        self.last_captured_at: float | None = None

    def messages(self) -> Iterator[tuple[float, Result | Silence]]:
        """Each with its second of the story, as they come."""
        sent_at, told_at, lively = -1.0, 0.0, deque(self._lively)
        for seq in range(int(self._night.scenario.length_s * self._fps)):
            t = seq / self._fps
            while lively and lively[0][1] < t:
                lively.popleft()
            at_rest = not lively or t < lively[0][0]
            if at_rest and t - sent_at < self._rest_s:
                continue
            if any(restart <= t < restart + RESTART_S for restart in self._night.restarts):
                continue
            if self._timeline.sends(t):
                sent_at = t
                yield t, self._result(seq, t)
            elif t - sent_at > self._silent_after_s and t - told_at >= SWEEP_S:
                told_at = t
                yield t, self._silence(t)

    def _silence(self, t: float) -> Silence:
        return Silence(
            camera_id=self._night.scenario.name,
            at=self._begins_at + t,
            last_captured_at=self.last_captured_at,
            reason="no pictures",
        )

    def _result(self, seq: int, t: float) -> Result:
        shown = self._timeline.shown(t)
        conditions = self._timeline.conditions(shown)
        at = self._begins_at + t
        box = self._letterbox
        frame = Frame(
            camera_id=self._night.scenario.name,
            seq=seq,
            captured_at=at,
            sent_at=at,
            width=box.width,
            height=box.height,
            scale=box.scale,
            pad_x=box.pad_x,
            pad_y=box.pad_y,
            jpeg=memoryview(b""),
            blind="covered" if conditions.covered else "frozen" if self._timeline.frozen(t) else "",
        )
        boxes = self.detector.boxes(self._timeline.placed(shown), conditions, shown)
        names = self.detector.names
        return Result.of(frame, boxes, names=names, model_id="simulated", taken_at=at, inferred_at=at)


def _reopened(state: CameraState, alerts: Sequence[Alert]) -> CameraState:
    """What a new process begins with when the state is gone: what the store knows of open episodes."""
    last = {alert.episode_id: alert for alert in alerts}
    return state_from_open_episodes(state.camera_id, list(last.values()))


def _windows_s(settings: Settings) -> dict[str, float]:
    """What each rule waits for besides its own seconds.

    A posture is the mean of a window, a speed that of a second; a person counts after a moment, and an animal is not
    given up before another.
    """
    logic = settings.logic
    return {
        "lying": logic.window_s,
        "too_fast": SPEED_WINDOW_S,
        "person": logic.tracker.confirm_s,
        "absent": logic.tracker.lost_after_s,
        "restless": logic.window_s + HELD_S,
    }


def _story(night: Night, timeline: Timeline, settings: Settings, begins_at: float) -> Story:
    events = timeline.events()
    unseen = [(event.start, event.end) for event in events if event.kind in ("silent", "covered", "frozen")]
    unseen += [(restart, restart + RESTART_S) for restart in night.restarts]
    return Story(
        length_s=night.scenario.length_s,
        horses=[horse.id for horse in night.scenario.horses],
        events=events,
        unseen=merged(unseen, 0.0),
        losses=sorted(night.losses),
        struggles=timeline.struggles(),
        faster_than=timeline.faster_than,
        within=lambda hours, t: within(hours, begins_at + t, settings.zone),
    )
