"""A night of the drawn stable through the real pipeline, faster than time; what was told, compared with the truth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, Self

from fbtasks.alert import Alert
from fbtasks.detections import Boxes
from fbtasks.frame import Letterbox
from fbtasks.logic.localtime import within
from fbtasks.logic.plugins import known_rules
from fbtasks.logic.rules import load_rules
from fbtasks.logic.site import pipeline_of
from fbtasks.logic.state import CameraState
from fbtasks.settings import Settings
from fbtasks.sim.nights import Night
from fbtasks.sim.noise import NoisyDetector
from fbtasks.sim.scene import Scene
from fbtasks.sim.score import RuleScore, Story, Told, compared, due_alerts, merged
from fbtasks.sim.stage import Conditions, HorsePose, PersonPose, Placed, Truth
from fbtasks.sim.timeline import Timeline
from fbtasks.wire import Frame, Result, Silence, decode_mailed, encode

BEGINS = datetime(2026, 1, 10, 21, 0)  # noqa: DTZ001 - in the stable's zone, which the settings tell
"""Any evening: the same for all, so that a night is the same whenever it is run."""
REST_FPS = 1.0
"""Pictures a second while nothing moves, to be quicker; the windows and timers of the logic are in seconds."""
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
        self._seen: View | None = None
        self._truths: list[Truth] = []

    @property
    def names(self) -> dict[int, str]:
        return self._noisy.names

    def boxes(self, placed: list[Placed], conditions: Conditions, t: float) -> Boxes:
        view = View.of(placed, conditions)
        if view != self._seen or conditions.shake > 0:
            self._seen, self._truths = view, self._scene.truth(placed, conditions, round(t * 1000))
        return self._noisy.boxes(self._truths, conditions, t)


@dataclass(frozen=True, slots=True)
class View:
    """What a picture shows, but for the breath of the horses: it moves their outline less than a detector jitters."""

    placed: tuple[Placed, ...]
    conditions: Conditions

    @classmethod
    def of(cls, placed: list[Placed], conditions: Conditions) -> Self:
        return cls(tuple(replace(one, pose=_without_breath(one.pose)) for one in placed), conditions)

    @classmethod
    def at(cls, timeline: Timeline, t: float) -> Self:
        shown = timeline.shown(t)
        return cls.of(timeline.placed(shown), timeline.conditions(shown))


def _without_breath(pose: HorsePose | PersonPose) -> HorsePose | PersonPose:
    return replace(pose, breath=0.0) if isinstance(pose, HorsePose) else pose


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How nights are played.

    Attributes:
        settings: of the logic and the rules.
        fps: pictures a second while something moves; at rest `REST_FPS` do.
        detector: makes one for a story, from a seed.
    """

    settings: Settings
    fps: float
    detector: Callable[[Timeline, int], Detector] = TruthDetector

    def play(self, night: Night) -> Outcome:
        """Play the night and compare.

        Raises:
            ConfigError: a rule's settings are wrong.
        """
        rules = load_rules(self.settings.rule_tables(night.scenario.name), known_rules())
        timeline = Timeline(night.scenario)
        begins_at = BEGINS.replace(tzinfo=self.settings.zone).timestamp()
        mailbox = _Mailbox(night, timeline, self, begins_at)
        alerts, results = self._told(night, mailbox)
        told = [
            Told(alert.rule, alert.severity, alert.at - begins_at, alert.message)
            for alert in alerts
            if alert.event != "cleared"
        ]
        story = _story(night, timeline, self.settings, begins_at)
        due = due_alerts(story, {rule.name: rule.model_dump() for rule in rules})
        return Outcome(night.scenario.name, compared(due, told), told, results)

    def _told(self, night: Night, mailbox: "_Mailbox") -> tuple[list[Alert], int]:
        """All alerts, and how many results there were."""
        pipeline = pipeline_of(self.settings, night.scenario.name)
        state = CameraState(camera_id=night.scenario.name)
        alerts: list[Alert] = []
        results, recoded_at = 0, 0.0
        for t, message in mailbox.messages():
            if t - recoded_at > RECODED_S or any(recoded_at < restart <= t for restart in night.restarts):
                state, recoded_at = CameraState.decode(state.encode()), t
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
    """

    def __init__(self, night: Night, timeline: Timeline, how: Rehearsal, begins_at: float) -> None:
        camera, gpu = night.scenario.camera, how.settings.gpu
        self._night = night
        self._timeline = timeline
        self._detector = how.detector(timeline, night.scenario.seed)
        self._silent_after_s = how.settings.logic.silent_after_s
        self._fps = how.fps
        self._begins_at = begins_at
        self._letterbox = Letterbox.fit(camera.width, camera.height, gpu.input_width, gpu.input_height)
        self.last_captured_at: float | None = None

    def messages(self) -> Iterator[tuple[float, Result | Silence]]:
        """Each with its second of the story, as they come."""
        sent_at, told_at, last_view = -1.0, 0.0, None
        for seq in range(int(self._night.scenario.length_s * self._fps)):
            t = seq / self._fps
            if any(restart <= t < restart + RESTART_S for restart in self._night.restarts):
                continue
            if not self._timeline.sends(t):
                if t - sent_at > self._silent_after_s and t - told_at >= SWEEP_S:
                    told_at = t
                    yield t, self._silence(t)
                continue
            view = View.at(self._timeline, t)
            if t - sent_at >= 1 / REST_FPS or view != last_view:
                sent_at, last_view = t, view
                yield t, self._result(seq, t)

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
        boxes = self._detector.boxes(self._timeline.placed(shown), conditions, shown)
        names = self._detector.names
        return Result.of(frame, boxes, names=names, model_id="simulated", taken_at=at, inferred_at=at)


def _story(night: Night, timeline: Timeline, settings: Settings, begins_at: float) -> Story:
    events = timeline.events()
    unseen = [(event.start, event.end) for event in events if event.kind in ("silent", "covered", "frozen")]
    unseen += [(restart, restart + RESTART_S) for restart in night.restarts]
    return Story(
        length_s=night.scenario.length_s,
        horses=[horse.id for horse in night.scenario.horses],
        events=events,
        unseen=merged(unseen, 0.0),
        faster_than=timeline.faster_than,
        within=lambda hours, t: within(hours, begins_at + t, settings.zone),
    )
