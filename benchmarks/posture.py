"""Posture from plain boxes: the shape as it is judged today, and its height against the horse's own standing height.

    python -m benchmarks.posture [--boxes 240]

The simulator places one horse in a place with its camera, standing or walking, then lying on its breast and flat on
its side, at random spots, headings and carriages of the head, and says what its box truly is. The class is plain
`horse`. Told are, for each kind of place, the shares that were judged right, wrong and unknown: from 0.7 on a
probability is taken for lying, up to 0.3 for standing.

`aspect` is `fbtasks.logic.posture` as it comes; `aspect by hand` with the `lying_aspect` that suits each camera best,
found with the truth. `height` is not in the pipeline: it learns from half of the standing boxes that nothing cuts how
high a standing box is, given where it ends below and how wide it is (least squares), and a box cut above or below can
only be standing. All are judged on the same boxes, which it did not learn from: single pictures of one horse without
company, whose standing boxes are known for such. With a tracker, noise and two horses of different size it does worse.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, pi
from random import Random

import numpy as np
from numpy.typing import NDArray

from fbtasks.logic.posture import BORDER_SHARE, Posture
from fbtasks.logic.smoother import ENTER_LYING, ENTER_STANDING
from fbtasks.logic.tracker import Sighting
from fbtasks.settings import PostureSettings
from fbtasks.sim.places import place
from fbtasks.sim.scenario import Horse
from fbtasks.sim.scene import Box, Scene
from fbtasks.sim.stage import Conditions, HorsePose, Place, Placed, PlaceKind, TruePosture

WIDTH, HEIGHT = 960, 540
CAMERAS: dict[PlaceKind, int] = {"box": 8, "aisle": 3, "paddock": 3}
WALL_M = 0.9
LEAST_VISIBLE = 0.5
LYING_HEIGHT, SOFTNESS = 0.75, 0.05
"""Share of the standing height at which both postures are even, and how far from it the estimate becomes sure."""

Floats = NDArray[np.float64]
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
    options = parser.parse_args()
    columns = f"{'standing: right':>16}{'wrong':>7}{'lying: right':>14}{'wrong':>7}{'unknown':>9}"
    print(f"{'place':<9}{'judged by':<18}{columns}")
    for kind, count in CAMERAS.items():
        found: dict[str, list[Shares]] = {}
        for seed in range(count):
            for name, shares in measured(boxes(kind, seed, options.boxes)).items():
                found.setdefault(name, []).append(shares)
        for name, each in found.items():
            tell(kind, name, each)


def tell(kind: str, name: str, found: Sequence[Shares]) -> None:
    """Print the means over the cameras of one kind of place."""
    fields = ("standing_right", "standing_wrong", "lying_right", "lying_wrong")
    right, wrong, lying, missed = (sum(getattr(one, field) for one in found) / len(found) for field in fields)
    unknown = 1 - (right + wrong + lying + missed) / 2
    print(f"{kind:<9}{name:<18}{right:>16.2f}{wrong:>7.2f}{lying:>14.2f}{missed:>7.2f}{unknown:>9.2f}")


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
    return lambda xyxy: posture.of(Sighting(xyxy, 0.9, "animal", "horse"), [], WIDTH, HEIGHT).p_lying


def by_height(standing: Sequence[Box]) -> Judge:
    """By the height that a standing box has of that width, at that place in the picture."""
    whole = np.array([xyxy for xyxy in standing if not any(_cut(xyxy))])
    factors, *_ = np.linalg.lstsq(_terms(whole), whole[:, 3] - whole[:, 1], rcond=None)

    def judge(xyxy: Box) -> float | None:
        expected = float((_terms(np.array([xyxy])) @ factors)[0])
        if expected <= 0:
            return None
        p_lying = 1 / (1 + exp(((xyxy[3] - xyxy[1]) / expected - LYING_HEIGHT) / SOFTNESS))
        return None if _cut(xyxy)[1] and p_lying >= 0.5 else p_lying

    return judge


def _terms(xyxy: Floats) -> Floats:
    return np.column_stack([np.ones(len(xyxy)), xyxy[:, 3], xyxy[:, 2] - xyxy[:, 0]])


def _cut(xyxy: Box) -> tuple[bool, bool]:
    """Whether the border of the picture cuts the box at a side, and above or below."""
    left, top, right, bottom = xyxy
    sideways = left <= BORDER_SHARE * WIDTH or right >= (1 - BORDER_SHARE) * WIDTH
    return sideways, top <= BORDER_SHARE * HEIGHT or bottom >= (1 - BORDER_SHARE) * HEIGHT


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
