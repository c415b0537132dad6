"""One result or silence of one camera in; its new state, what is to be seen in it, and alerts out."""

from math import sqrt
from typing import Protocol

import msgspec
import numpy as np

from fbtasks.alert import Alert, Event, Severity
from fbtasks.detections import Boxes
from fbtasks.errors import BadMessage
from fbtasks.logic.activity import Activity, History, gait, observe
from fbtasks.logic.baseline import WALKS_BL_S, Baseline
from fbtasks.logic.episodes import MAX_SHARED_VIEW_S, Episodes
from fbtasks.logic.localtime import Zone
from fbtasks.logic.moment import at_moment
from fbtasks.logic.motion import Corners
from fbtasks.logic.nms import surviving
from fbtasks.logic.posture import Glimpse, Posture, cut_off, stated_posture, subject
from fbtasks.logic.rules import Rule
from fbtasks.logic.scene import Blindness, Judged, Scene
from fbtasks.logic.smoother import MAX_GAP_S, Position, PostureName, Smoother, Window
from fbtasks.logic.state import LAST, CameraState, LateRun
from fbtasks.logic.tracker import Kind, Sighting, Track, Tracker, Tracks
from fbtasks.wire import Result, Silence

RESTING_AFTER_S = 120.0
"""Ours: a horse that dozes or sleeps stays in its place for minutes; one that eats or looks about does not."""
KINDS: tuple[Kind, ...] = ("animal", "person")
CLOCK_RESTART_RESULTS = 10
CLOCK_RESTART_S = 10.0
"""Late results that rise among themselves over so long, with none newer between, are a clock set back, not stragglers:
a mailbox keeps its order, so stragglers come in a burst that a newer result soon ends."""


class TrackerParameters(Protocol):
    """See `fbtasks.settings.TrackerSettings`."""

    @property
    def lost_after_s(self) -> float: ...
    @property
    def confirm_s(self) -> float: ...


class PostureParameters(Protocol):
    """See `fbtasks.settings.PostureSettings`."""

    @property
    def lying_aspect(self) -> float: ...
    @property
    def softness(self) -> float: ...
    @property
    def baseline(self) -> bool: ...


class Parameters(Protocol):
    """What the pipeline takes from the settings, see `fbtasks.settings.LogicSettings`.

    Named by shape: the settings read the environment, which nothing here may.
    """

    @property
    def confidence(self) -> float: ...
    @property
    def nms_iou(self) -> float: ...
    @property
    def animal_classes(self) -> list[str]: ...
    @property
    def person_classes(self) -> list[str]: ...
    @property
    def window_s(self) -> float: ...
    @property
    def tracker(self) -> TrackerParameters: ...
    @property
    def posture(self) -> PostureParameters: ...


class TrackView(msgspec.Struct, frozen=True, kw_only=True):
    """A confirmed track as it is seen in this picture.

    Attributes:
        id, kind: the track's.
        class_name, confidence: what the model says.
        xyxy: left, top, right, bottom, in pixels of the source picture.
        posture: of the window; `unknown` for a person.
        p_lying: mean of the window, 0 to 1; None if nothing is known.
        p_lying_now: of this picture alone, and the reason for it.
        speed_bl_s, speed_px_s: body lengths and source pixels per second; None if not known.
        agitation_bl_s, still_s: see `fbtasks.logic.activity.Gait`.
        resting: an animal that has not moved for `RESTING_AFTER_S`.
    """

    id: int
    kind: Kind
    class_name: str
    confidence: float
    xyxy: Corners
    posture: PostureName
    p_lying: float | None
    p_lying_now: float | None
    p_lying_reason: str
    speed_bl_s: float | None
    speed_px_s: float | None
    agitation_bl_s: float | None = None
    still_s: float = 0.0
    resting: bool = False


class Happening(msgspec.Struct, frozen=True):
    """An alert that this picture brought about, in short."""

    alert_id: str
    event: Event
    rule: str
    severity: Severity
    message: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the logic made of one result; plain values, fit for JSON.

    Attributes:
        camera_id, seq, captured_at, sent_at, taken_at, inferred_at, width, height, blind: the result's.
        tracks: confirmed tracks that are seen in this picture.
        events: alerts that it brought about.
    """

    camera_id: str
    seq: int
    captured_at: float
    sent_at: float
    taken_at: float
    inferred_at: float
    width: int
    height: int
    tracks: list[TrackView]
    events: list[Happening]
    blind: str = ""


class Pipeline:
    """The logic of one camera. Holds settings only; all that is remembered is in the `CameraState`."""

    def __init__(self, camera_id: str, parameters: Parameters, rules: tuple[Rule, ...], zone: Zone = None) -> None:
        self._camera_id = camera_id
        self._zone = zone
        self._confidence = parameters.confidence
        self._nms_iou = parameters.nms_iou
        self._kinds: dict[str, int] = {name: KINDS.index("person") for name in parameters.person_classes}
        self._kinds |= {name: KINDS.index("animal") for name in parameters.animal_classes}
        tracker = parameters.tracker
        self._tracker = Tracker(tracker.lost_after_s, tracker.confirm_s, parameters.confidence)
        self._posture = Posture(parameters.posture.lying_aspect, parameters.posture.softness)
        self._learns = parameters.posture.baseline
        self._smoother = Smoother(parameters.window_s)
        self._episodes = Episodes(camera_id, rules, zone)

    def step(self, state: CameraState, message: Result | Silence) -> tuple[CameraState, Decision | None, list[Alert]]:
        """Take one message of the camera's mailbox.

        `state` is changed in place and returned. When this raises anything but `BadMessage`, the state may be half
        changed: drop it and start again from its encoded form.

        Returns:
            The state; the decision, or None if the message was a silence, or a result that came too late and was only
            counted; the new alerts in the order in which they happened.

        Raises:
            BadMessage: the message cannot be used; the state is as it was.
        """
        if message.camera_id != self._camera_id:
            raise BadMessage(f"a message of camera {message.camera_id} in the mailbox of {self._camera_id}")
        if isinstance(message, Silence):
            return state, None, self._pass_over(state, message)
        sightings = self._sightings(message)
        if not _accept(state, message):
            return state, None, []
        if message.blind:
            alerts = self._go_blind(state, message.captured_at, message.blind, pictures=True)
            decision = _decision(message, [], {}, alerts)
        else:
            decision, alerts = self._see(state, message, sightings)
        boxes = {view.id: view.xyxy for view in decision.tracks}
        return state, decision, [at_moment(alert, message, boxes) for alert in alerts]

    def _see(self, state: CameraState, result: Result, sightings: list[Sighting]) -> tuple[Decision, list[Alert]]:
        """Take a picture that shows the box."""
        now = result.captured_at
        elapsed = _since_last_seen(state, now)
        state.last_seen_at, state.blind = now, None
        self._tracker.step(state.tracks, sightings, now)
        if self._learns:
            _keep_baselines(state)
        glimpses = self._glimpses(state, sightings, result)
        for track in _seen(state, now):
            self._observe(state, track, glimpses[track.id], elapsed)
            if self._learns:
                _learn(state, track, glimpses[track.id], (result.width, result.height), elapsed)
        animals = [track for track in _seen(state, now) if track.confirmed and track.kind == "animal"]
        _keep_history(state, animals, now, elapsed)
        confirmed = self._judged(state, result, glimpses, elapsed)
        if animals:
            state.animal_seen_at = now
        state.ledger.see(self._camera_id, now, confirmed, elapsed)
        seen_at = state.animal_seen_at
        scene = Scene(now, elapsed, confirmed, boxes=sightings, animal_seen_at=seen_at, zone=self._zone)
        alerts = self._episodes.step(state.book, scene)
        return _decision(result, confirmed, glimpses, alerts), alerts

    def _pass_over(self, state: CameraState, silence: Silence) -> list[Alert]:
        """Take a silence, unless a picture has ended it since it was told."""
        if silence.last_captured_at != state.last_captured_at:
            return []
        return self._go_blind(state, silence.at, silence.reason, pictures=False)

    def _go_blind(self, state: CameraState, now: float, reason: str, *, pictures: bool) -> list[Alert]:
        """Note that nothing is to be seen of the box at `now`; tracks and windows stay as they are."""
        before = state.blind
        last_at = before.at if before else state.last_seen_at
        now = max(now, last_at) if last_at is not None else now
        since = before.since if before else now if last_at is None else last_at
        state.blind = Blindness(since, now, reason, pictures=pictures, never=state.last_captured_at is None)
        elapsed = now - last_at if last_at is not None else 0.0
        state.ledger.pass_over(self._camera_id, now)
        return self._episodes.step(
            state.book, Scene(now, elapsed, [], animal_seen_at=state.animal_seen_at, blind=state.blind, zone=self._zone)
        )

    def _sightings(self, result: Result) -> list[Sighting]:
        """The boxes of animals and persons after suppression, surest first.

        Suppression is by kind, not by class: one horse that the model calls `horse` and `dog` at once is one animal.
        """
        boxes = result.boxes()
        kinds = {number: self._kind_of(name) for number, name in result.names.items()}
        groups = np.array([kinds[number] for number in boxes.class_id.tolist()], np.int32)
        wanted = groups >= 0
        boxes, groups = boxes[wanted], groups[wanted]
        kept = surviving(boxes, self._nms_iou, groups)
        return _as_sightings(boxes[kept], [KINDS[group] for group in groups[kept].tolist()], result.names)

    def _kind_of(self, class_name: str) -> int:
        """Index into `KINDS`, -1 for any other class; `horse_lying` is a horse when `horse` is."""
        return self._kinds.get(class_name, self._kinds.get(subject(class_name), -1))

    def _glimpses(self, state: CameraState, sightings: list[Sighting], result: Result) -> dict[int, Glimpse]:
        """What this picture alone says of the posture of each track that is seen in it."""
        strong = [sighting for sighting in sightings if sighting.confidence >= self._confidence]
        picture = result.width, result.height
        baselines = state.baselines if self._learns else {}
        return {
            track.id: self._glimpse(track.sighting, strong, picture, baselines.get(track.id))
            for track in _seen(state, result.captured_at)
        }

    def _glimpse(
        self, sighting: Sighting, others: list[Sighting], picture: tuple[int, int], standing: Baseline | None
    ) -> Glimpse:
        if sighting.kind != "animal":
            return Glimpse(None, "not an animal")
        if sighting.confidence < self._confidence:
            return Glimpse(None, "the box is too weak to judge by", vague=True)
        return self._posture.of(sighting, others, picture, standing)

    def _observe(self, state: CameraState, track: Track, glimpse: Glimpse, elapsed: float) -> None:
        window = state.windows.setdefault(track.id, Window())
        position = Position(track.last_seen_at, *track.sighting.centre, *track.sighting.size)
        self._smoother.observe(window, elapsed, glimpse.p_lying, position, max(track.sighting.size))

    def _judged(self, state: CameraState, result: Result, glimpses: dict[int, Glimpse], elapsed: float) -> list[Judged]:
        """What is believed of the confirmed tracks; windows and activities of ended ones are dropped."""
        now, size = result.captured_at, (result.width, result.height)
        state.windows = {track.id: state.windows[track.id] for track in state.tracks.alive}
        state.activities = {track.id: state.activities.get(track.id) or Activity() for track in state.tracks.alive}
        judged = []
        for track in state.tracks.alive:
            reading, moved = self._smoother.read(state.windows[track.id], now), state.activities[track.id]
            glimpse = glimpses.get(track.id)
            changed = glimpse and observe(moved, reading, track.sighting.xyxy, now, elapsed, vague=glimpse.vague)
            if changed and track.confirmed:
                state.history.changed(now, track.id)
            if track.confirmed:
                judged.append(Judged(track, reading, gait(moved, now), size, state.history))
        return judged


def _keep_history(state: CameraState, animals: list[Track], now: float, elapsed: float) -> None:
    """Watch on; an animal that is alone, and no other just lost, takes over what was noted before it came."""
    state.history.watch(now, elapsed * len(animals) if elapsed <= MAX_GAP_S else 0.0)
    alive = [track for track in state.tracks.alive if track.kind == "animal"]
    if len(alive) == 1 and alive == animals:
        state.history.adopt(alive[0].id, alive[0].first_seen_at)


def _keep_baselines(state: CameraState) -> None:
    """Let a baseline go with its track; the only animal in view takes over that of the last one that was lost.

    Not one that was in view together with the lost one; and beside another animal it may be either of the two.
    """
    animals = {track.id: track for track in state.tracks.alive if track.kind == "animal" and track.confirmed}
    for track_id, baseline in list(state.baselines.items()):
        if track_id in animals:
            baseline.seen_at = animals[track_id].last_seen_at
        elif track_id != LAST:
            state.baselines[LAST] = state.baselines.pop(track_id)
    if LAST in state.baselines and len(animals) == 1:
        (only,) = animals.values()
        came_later = only.first_seen_at >= state.baselines[LAST].seen_at - MAX_SHARED_VIEW_S
        if came_later and only.id not in state.baselines:
            state.baselines[only.id] = state.baselines.pop(LAST)


def _learn(state: CameraState, track: Track, glimpse: Glimpse, picture: tuple[int, int], elapsed: float) -> None:
    """Learn from an animal that goes sideways how high it is on its legs."""
    if track.kind != "animal" or not track.confirmed or glimpse.vague or not 0 < elapsed <= MAX_GAP_S:
        return
    walks = abs(track.motion.vx) >= WALKS_BL_S * sqrt(track.motion.area)
    if walks and stated_posture(track.sighting.class_name) is None and not any(cut_off(track.sighting.xyxy, picture)):
        state.baselines.setdefault(track.id, Baseline()).learn(track.sighting.xyxy, picture, elapsed)


def _accept(state: CameraState, result: Result) -> bool:
    """Note the result as the last one taken, or as late."""
    if state.last_captured_at is not None and result.captured_at <= state.last_captured_at:
        state.late += 1
        if not _clock_was_set_back(state, result.captured_at):
            return False
        _restart_clock(state, result.captured_at)
    state.last_captured_at, state.last_seq, state.late_run = result.captured_at, result.seq, None
    return True


def _clock_was_set_back(state: CameraState, captured_at: float) -> bool:
    run = state.late_run
    if run is None or captured_at <= run.last_at:
        state.late_run = LateRun(1, captured_at, captured_at)
        return False
    run.count, run.last_at = run.count + 1, captured_at
    return run.count >= CLOCK_RESTART_RESULTS and captured_at - run.first_at >= CLOCK_RESTART_S


def _restart_clock(state: CameraState, now: float) -> None:
    """Go on at `now`, before all that is remembered: tracks begin anew, episodes are kept, paused, with their times."""
    state.clock_restarts += 1
    state.tracks = Tracks(next_id=state.tracks.next_id)
    state.windows, state.activities, state.baselines, state.history = {}, {}, {}, History()
    state.last_seen_at = state.animal_seen_at = state.blind = None
    state.book.restart_clock(now)


def _since_last_seen(state: CameraState, now: float) -> float:
    """Seconds for which a picture of `now` speaks: none, when the camera was blind before it."""
    return now - state.last_seen_at if state.last_seen_at is not None and state.blind is None else 0.0


def _seen(state: CameraState, now: float) -> list[Track]:
    return [track for track in state.tracks.alive if track.last_seen_at == now]


def _as_sightings(boxes: Boxes, kinds: list[Kind], names: dict[int, str]) -> list[Sighting]:
    rows = zip(boxes.xyxy.tolist(), boxes.confidence.tolist(), kinds, boxes.class_id.tolist(), strict=True)
    return [Sighting(tuple(xyxy), confidence, kind, names[number]) for xyxy, confidence, kind, number in rows]


def _decision(result: Result, confirmed: list[Judged], glimpses: dict[int, Glimpse], alerts: list[Alert]) -> Decision:
    return Decision(
        camera_id=result.camera_id,
        seq=result.seq,
        captured_at=result.captured_at,
        sent_at=result.sent_at,
        taken_at=result.taken_at,
        inferred_at=result.inferred_at,
        width=result.width,
        height=result.height,
        tracks=[_view(judged, glimpses[judged.track.id]) for judged in confirmed if judged.track.id in glimpses],
        events=[Happening(alert.id, alert.event, alert.rule, alert.severity, alert.message) for alert in alerts],
        blind=result.blind,
    )


def _view(judged: Judged, glimpse: Glimpse) -> TrackView:
    sighting, reading = judged.track.sighting, judged.reading
    return TrackView(
        id=judged.track.id,
        kind=sighting.kind,
        class_name=sighting.class_name,
        confidence=sighting.confidence,
        xyxy=sighting.xyxy,
        posture=reading.posture,
        p_lying=reading.p_lying,
        p_lying_now=glimpse.p_lying,
        p_lying_reason=glimpse.reason,
        speed_bl_s=reading.speed_bl_s,
        speed_px_s=reading.speed_px_s,
        agitation_bl_s=judged.gait.agitation_bl_s,
        still_s=judged.gait.still_s,
        resting=sighting.kind == "animal" and judged.gait.still_s >= RESTING_AFTER_S,
    )
