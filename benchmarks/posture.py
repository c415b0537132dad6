"""Posture from plain boxes: the shape as it is judged today, and its height against the horse's own standing height.

    python -m benchmarks.posture [--boxes 240] [--nights 6]

**Single pictures.** The simulator places one horse in a place with its camera, standing or walking, then lying on its
breast and flat on its side, at random spots, headings and carriages of the head, and says what its box truly is. The
class is plain `horse`. Told are, for each kind of place, the shares that were judged right, wrong and unknown: from 0.7
on a probability is taken for lying, up to 0.3 for standing. `aspect` is `fbtasks.logic.posture` before anything walked;
`aspect by hand` with the `lying_aspect` that suits each camera best, found with the truth; `height` is
`fbtasks.logic.baseline`, learned from half of the standing boxes that nothing cuts. All are judged on the same boxes,
which it did not learn from.

**Nights.** Quiet nights of two hours, in boxes with one horse and paddocks with up to three of different size, go
through noise, suppression, tracker, windows and the whole pipeline, a picture a second. Told are the same shares of the
seconds, with the baselines and without.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import pi
from random import Random

from fbtasks.logic.baseline import Baseline
from fbtasks.logic.pipeline import Decision
from fbtasks.logic.posture import Posture, cut_off
from fbtasks.logic.site import pipeline_of
from fbtasks.logic.smoother import ENTER_LYING, ENTER_STANDING
from fbtasks.logic.state import CameraState
from fbtasks.logic.tracker import Sighting
from fbtasks.settings import LogicSettings, PostureSettings, Settings
from fbtasks.sim.nights import Habits, night
from fbtasks.sim.noise import NoisyDetector
from fbtasks.sim.places import place
from fbtasks.sim.scenario import Horse, Scenario
from fbtasks.sim.scene import Box, Scene
from fbtasks.sim.stage import Conditions, HorsePose, Place, Placed, PlaceKind, TruePosture
from fbtasks.sim.timeline import Timeline
from fbtasks.wire import Frame, Result

WIDTH, HEIGHT = 960, 540
CAMERAS: dict[PlaceKind, int] = {"box": 8, "aisle": 3, "paddock": 3}
WALL_M = 0.9
LEAST_VISIBLE = 0.5
LEAST_OVERLAP = 0.3

Judge = Callable[[Box], float | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """One box and what it truly is."""

    xyxy: Box
    lies: bool


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the standing and of the lying boxes."""

    standing_right: float
    standing_wrong: float
    lying_right: float
    lying_wrong: float

    @property
    def balance(self) -> float:
        """Right less wrong."""
        return self.standing_right + self.lying_right - self.standing_wrong - self.lying_wrong


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=240, help="standing boxes of each camera, and half as many lying")
    parser.add_argument("--nights", type=int, default=6, help="nights of two hours")
    options = parser.parse_args()
    columns = f"{'standing: right':>16}{'wrong':>7}{'lying: right':>14}{'wrong':>7}{'unknown':>9}"
    print(f"{'place':<9}{'judged by':<20}{columns}")
    for kind, count in CAMERAS.items():
        found: dict[str, list[Shares]] = {}
        for seed in range(count):
            for name, shares in measured(boxes(kind, seed, options.boxes)).items():
                found.setdefault(name, []).append(shares)
        for name, each in found.items():
            tell(kind, name, each)
    for where, ways in nights(options.nights).items():
        for name, told in ways.items():
            tell(where, f"{name}, by night", [told])


def tell(kind: str, name: str, found: Sequence[Shares]) -> None:
    """Print the means over the cameras of one kind of place."""
    fields = ("standing_right", "standing_wrong", "lying_right", "lying_wrong")
    right, wrong, lying, missed = (sum(getattr(one, field) for one in found) / len(found) for field in fields)
    unknown = 1 - (right + wrong + lying + missed) / 2
    print(f"{kind:<9}{name:<20}{right:>16.2f}{wrong:>7.2f}{lying:>14.2f}{missed:>7.2f}{unknown:>9.2f}")


def boxes(kind: PlaceKind, seed: int, count: int) -> list[Seen]:
    """What one camera sees: `count` boxes of a horse on its legs, then a quarter as many of each way to lie."""
    random = Random(f"{kind} {seed}")
    where = place(kind, seed)
    scene = Scene(where, WIDTH, HEIGHT)
    horse = Horse(id="horse", height=random.uniform(1.3, 1.75))
    poses = [*(_upright(random) for _ in range(count)), *(_down(random, 0.0) for _ in range(count // 4))]
    poses += [_down(random, random.choice([-pi / 2, pi / 2])) for _ in range(count // 4)]
    seen = []
    for moment, pose in enumerate(poses):
        truth = scene.truth([_somewhere(random, horse, where, pose)], Conditions(), moment)
        if truth and truth[0].visible >= LEAST_VISIBLE:
            seen.append(Seen(truth[0].xyxy, pose.down == 1.0))
    return seen


def measured(seen: Sequence[Seen]) -> dict[str, Shares]:
    """How each way to judge does on the boxes that it did not learn from."""
    standing = [one for one in seen if not one.lies]
    learned, judged = standing[::2], [*standing[1::2], *(one for one in seen if one.lies)]
    settings = PostureSettings()
    aspect = Posture(settings.lying_aspect, settings.softness)
    by_hand = [replace(aspect, lying_aspect=tenths / 10) for tenths in range(10, 25)]
    return {
        "aspect": shares(judged, by_aspect(aspect)),
        "aspect by hand": max((shares(judged, by_aspect(one)) for one in by_hand), key=lambda one: one.balance),
        "height": shares(judged, by_height([one.xyxy for one in learned])),
    }


def shares(judged: Sequence[Seen], judge: Judge) -> Shares:
    """What `judge` makes of the boxes."""
    verdicts = {lies: [judge(one.xyxy) for one in judged if one.lies is lies] for lies in (False, True)}
    standing, lying = verdicts[False], verdicts[True]
    return Shares(
        sum(p is not None and p <= ENTER_STANDING for p in standing) / len(standing),
        sum(p is not None and p >= ENTER_LYING for p in standing) / len(standing),
        sum(p is not None and p >= ENTER_LYING for p in lying) / len(lying),
        sum(p is not None and p <= ENTER_STANDING for p in lying) / len(lying),
    )


def by_aspect(posture: Posture) -> Judge:
    """As the pipeline judges a box of a model without postures."""
    return lambda xyxy: posture.of(Sighting(xyxy, 0.9, "animal", "horse"), [], (WIDTH, HEIGHT)).p_lying


def by_height(standing: Sequence[Box]) -> Judge:
    """By the height that the animal has where it stands; as the pipeline does, once it has walked enough."""
    baseline = Baseline()
    for xyxy in (xyxy for xyxy in standing if not any(cut_off(xyxy, (WIDTH, HEIGHT)))):
        baseline.learn(xyxy, (WIDTH, HEIGHT), 1.0)
    posture = Posture(PostureSettings().lying_aspect, PostureSettings().softness)
    return lambda xyxy: posture.of(Sighting(xyxy, 0.9, "animal", "horse"), [], (WIDTH, HEIGHT), baseline).p_lying


def nights(count: int) -> dict[str, dict[str, Shares]]:
    """Shares of the seconds of some nights, by kind of place and way to judge."""
    seen: dict[str, dict[str, Counter[tuple[bool, str]]]] = {}
    for seed in range(count):
        told = night("quiet", seed, Habits().faster(4))
        for name, counted in played(told.scenario).items():
            seen.setdefault(told.scenario.place.kind, {}).setdefault(name, Counter()).update(counted)
    return {kind: {name: _as_shares(one) for name, one in ways.items()} for kind, ways in seen.items()}


def played(scenario: Scenario) -> dict[str, "Counter[tuple[bool, str]]"]:
    """How often a horse that lies or stands was judged to do what, with its baseline and without."""
    timeline, camera = Timeline(scenario), scenario.camera
    scene = Scene(timeline.place, camera.width, camera.height)
    detector = NoisyDetector(camera.width, camera.height, scenario.seed, classes="coco")
    ways = {"aspect": False, "height": True}
    pipelines = {
        name: pipeline_of(Settings(logic=LogicSettings(posture=PostureSettings(baseline=on))), scenario.name)
        for name, on in ways.items()
    }
    states = {name: CameraState(camera_id=scenario.name) for name in ways}
    counted: dict[str, Counter[tuple[bool, str]]] = {name: Counter() for name in states}
    for t in range(int(scenario.length_s)):
        conditions = timeline.conditions(t)
        if conditions.covered or not timeline.sends(t):
            continue
        truths = scene.truth(timeline.placed(t), conditions, t)
        boxes = detector.boxes(truths, conditions, t)
        at = 1_768_000_000.0 + t
        frame = Frame(
            camera_id=scenario.name, seq=t, captured_at=at, sent_at=at, width=camera.width, height=camera.height,
            scale=1.0, pad_x=0, pad_y=0, jpeg=memoryview(b""),
        )  # fmt: skip
        result = Result.of(frame, boxes, names=detector.names, model_id="simulated", taken_at=at, inferred_at=at)
        sure = [one for one in truths if one.visible >= LEAST_VISIBLE and one.posture != "between"]
        for name, state in states.items():
            _, decision, _ = pipelines[name].step(state, result)
            state.ledger.take()
            for one in sure:
                counted[name][one.posture == "lying", _judged(one.xyxy, decision)] += 1
    return counted


def _judged(xyxy: Box, decision: Decision | None) -> str:
    """What the logic believes of the animal there."""
    near = [(_iou(xyxy, view.xyxy), view.posture) for view in decision.tracks] if decision else []
    overlap, posture = max(near, default=(0.0, "unknown"))
    return posture if overlap >= LEAST_OVERLAP else "unknown"


def _iou(one: Box, other: Box) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1.0)


def _as_shares(counted: "Counter[tuple[bool, str]]") -> Shares:
    total = {lies: max(1, sum(n for (truly, _), n in counted.items() if truly is lies)) for lies in (False, True)}
    return Shares(
        counted[False, "standing"] / total[False],
        counted[False, "lying"] / total[False],
        counted[True, "lying"] / total[True],
        counted[True, "standing"] / total[True],
    )


def _somewhere(random: Random, horse: Horse, where: Place, pose: HorsePose) -> Placed:
    x, y = random.uniform(WALL_M, where.width - WALL_M), random.uniform(WALL_M, where.depth - WALL_M)
    posture: TruePosture = "lying" if pose.down else "standing"
    return Placed(horse.id, horse.look, x, y, random.uniform(0, 2 * pi), pose, posture)


def _upright(random: Random) -> HorsePose:
    pace = random.choice([0.0, 0.0, 0.4])
    return HorsePose(head=random.choice([0.0, 0.3, 0.7, 0.7, 1.0]), pace=pace, strides=random.random())


def _down(random: Random, roll: float) -> HorsePose:
    return HorsePose(down=1.0, roll=roll, head=random.uniform(0.2, 0.8))


if __name__ == "__main__":
    main()
