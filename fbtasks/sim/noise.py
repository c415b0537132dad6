"""From what is true to what a nano detector would say of it, with the faults that such detectors have.

Measured with YOLO11n through this project's own engine, at 5 pictures a second, JPEG quality 85: a horse in clear view
(60 pictures, 12 s of a paddock) is found in every one, with a confidence of 0.92 +- 0.025 that does not depend on that
of the picture before; its edges jitter by 1.0 to 1.7 % of the box's side; before suppression it gives 10 boxes. The
rear one of two horses (55 pictures), half hidden most of the time, reaches 0.25 in 45 % of them and 0.1 in 69 %; the
box of the front one jumps to the outline of both at times. All figures on light, dirt, runs of misses, false boxes and
postures are ours.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from zlib import crc32

import numpy as np

from fbtasks.detections import Boxes
from fbtasks.sim.stage import Conditions, Truth

Classes = Literal["posture", "coco"]
NAMES: dict[Classes, dict[int, str]] = {
    "posture": {0: "person", 1: "horse_standing", 2: "horse_lying"},
    "coco": {0: "person", 16: "dog", 17: "horse", 19: "cow"},
}
LIGHT = {"day": 1.0, "dusk": 0.96, "infrared": 0.9}
"""Quality of what is seen in it, as a share."""
LEAST_VISIBLE = 0.12
"""With less of it visible nothing is found."""
UNDECIDED_S = 1.0
"""A horse that lies down or rises is called lying or standing for so long: the answer follows the pose, picture by
picture, and the pose changes slowly."""


@dataclass(frozen=True, slots=True)
class Flaws:
    """How bad the detector is; shares are of pictures unless said otherwise.

    Attributes:
        jitter: standard deviation of each edge, as a share of the box's side.
        confidence, spread: mean and standard deviation of it in clear view; the spread grows sixfold as quality ends.
        runs_per_min: runs of misses in clear view; twenty times as many as quality ends.
        run_s: longest run.
        wrong_class: a horse called another animal, or of the other posture, in clear view.
        doubles: further boxes of the same animal before suppression.
        false_per_h: false boxes, each in one place for up to `run_s`.
        merged: two that overlap seen as one more box around both.
    """

    jitter: float = 0.013
    confidence: float = 0.92
    spread: float = 0.025
    runs_per_min: float = 0.1
    run_s: float = 2.5
    wrong_class: float = 0.01
    doubles: int = 2
    false_per_h: float = 4.0
    merged: float = 0.1


@dataclass(frozen=True, slots=True)
class _Seen:
    xyxy: tuple[float, float, float, float]
    confidence: float
    class_id: int


class NoisyDetector:
    """A detector that is told the truth and says what it would have made of it. The same moment, the same answer.

    Args:
        width, height: of the pictures, pixels.
        seed: of all chance.
        classes: what kind of model it is like.
    """

    BLOCK_S = 30.0

    def __init__(
        self, width: int, height: int, seed: int, classes: Classes = "posture", flaws: Flaws | None = None
    ) -> None:
        self._size = width, height
        self._seed = seed
        self._classes: Classes = classes
        self._flaws = flaws or Flaws()
        self._runs = lru_cache(maxsize=256)(self._made_runs)
        self._ghosts = lru_cache(maxsize=4)(self._made_false)

    @property
    def names(self) -> dict[int, str]:
        """Names of the classes it knows."""
        return NAMES[self._classes]

    def boxes(self, truths: list[Truth], conditions: Conditions, t: float) -> Boxes:
        """What is seen `t` seconds into the story, before suppression, in source pixels.

        Args:
            truths: everybody in the picture.
            conditions: what the camera has to see through.
        """
        chance = np.random.default_rng([self._seed, round(t * 1000)])
        seen: list[_Seen] = []
        if not conditions.covered:
            for truth in truths:
                seen += self._seen(truth, conditions, t, chance)
            seen += self._merged(truths, t, chance)
        seen += self._false(t)
        return self._as_boxes(seen)

    def _seen(self, truth: Truth, conditions: Conditions, t: float, chance: np.random.Generator) -> list[_Seen]:
        quality = _quality(truth, conditions)
        if truth.visible < LEAST_VISIBLE or self._missed(truth.id, quality, t):
            return []
        spread = self._flaws.spread * (1 + 5 * (1 - quality))
        confidence = float(np.clip(chance.normal(self._flaws.confidence * quality, spread), 0.0, 0.99))
        class_id = self._class_of(truth, quality, t, chance)
        jitter = self._flaws.jitter * (1 + 2 * (1 - quality))
        # Those that suppression removes: they lie close to the first and are less sure.
        weaker = confidence * chance.uniform(0.3, 0.9, self._flaws.doubles)
        return [
            _Seen(self._jittered(truth.xyxy, jitter, chance), each, class_id)
            for each in (confidence, *weaker.tolist())
            if each >= 0.1
        ]

    def _class_of(self, truth: Truth, quality: float, t: float, chance: np.random.Generator) -> int:
        if truth.kind == "person":
            return 0
        mistaken = chance.random() < self._flaws.wrong_class * (1 + 10 * (1 - quality))
        if self._classes == "coco":
            return int(chance.choice([16, 19])) if mistaken else 17
        if truth.posture == "between":
            return 1 + int(self._undecided(truth.id, int(t // UNDECIDED_S)))
        return 1 + int((truth.posture == "lying") != mistaken)

    def _undecided(self, who: str, block: int) -> bool:
        """Whether a horse between the two is called lying."""
        return bool(np.random.default_rng([self._seed, crc32(who.encode()), 1, block]).random() < 0.5)

    def _jittered(
        self, xyxy: tuple[float, float, float, float], jitter: float, chance: np.random.Generator
    ) -> tuple[float, float, float, float]:
        left, top, right, bottom = xyxy
        dx, dy = jitter * (right - left), jitter * (bottom - top)
        noise = (chance.normal(0.0, 1.0, 4) * (dx, dy, dx, dy)).tolist()
        width, height = self._size
        low_x, high_x = sorted((left + noise[0], right + noise[2]))
        low_y, high_y = sorted((top + noise[1], bottom + noise[3]))
        return max(0.0, low_x), max(0.0, low_y), min(float(width), high_x), min(float(height), high_y)

    def _missed(self, who: str, quality: float, t: float) -> bool:
        """Whether `t` is in a run of misses; the worse the view, the more of the possible runs are real."""
        rate = self._flaws.runs_per_min * (1 + 19 * (1 - quality))
        block = int(t // self.BLOCK_S)
        runs = (*self._runs(who, block - 1), *self._runs(who, block))
        return any(start <= t < end and draw < rate for start, end, draw in runs)

    def _made_runs(self, who: str, block: int) -> list[tuple[float, float, float]]:
        """Possible runs that begin in the block: start, end, and the rate per minute from which they are real."""
        chance = np.random.default_rng([self._seed, crc32(who.encode()), block + 1])
        # Candidates come at the highest rate there is; each is real up to its own.
        highest = 20 * self._flaws.runs_per_min
        count = int(chance.poisson(highest * self.BLOCK_S / 60))
        starts = (block + chance.random(count)) * self.BLOCK_S
        ends = starts + chance.uniform(0.2, self._flaws.run_s, count)
        return list(zip(starts.tolist(), ends.tolist(), (chance.random(count) * highest).tolist(), strict=True))

    def _false(self, t: float) -> list[_Seen]:
        block = int(t // self.BLOCK_S)
        return [seen for number in (block - 1, block) for start, end, seen in self._ghosts(number) if start <= t < end]

    def _made_false(self, block: int) -> list[tuple[float, float, _Seen]]:
        chance = np.random.default_rng([self._seed, 0, block + 1])
        found = []
        for _ in range(int(chance.poisson(self._flaws.false_per_h * self.BLOCK_S / 3600))):
            start = float((block + chance.random()) * self.BLOCK_S)
            width, height = self._size
            wide, high = chance.uniform(0.05, 0.35, 2) * (width, height)
            left, top = chance.uniform(0, width - wide), chance.uniform(0, height - high)
            class_id = int(chance.choice(sorted(self.names)))
            seen = _Seen((left, top, left + wide, top + high), float(chance.uniform(0.1, 0.45)), class_id)
            found.append((start, start + float(chance.uniform(0.2, self._flaws.run_s)), seen))
        return found

    def _merged(self, truths: list[Truth], t: float, chance: np.random.Generator) -> list[_Seen]:
        horses = [truth for truth in truths if truth.kind == "horse"]
        found = []
        for index, one in enumerate(horses):
            for other in horses[index + 1 :]:
                if _meet(one, other) and chance.random() < self._flaws.merged:
                    both = np.array([one.xyxy, other.xyxy])
                    left, top = both[:, :2].min(axis=0).tolist()
                    right, bottom = both[:, 2:].max(axis=0).tolist()
                    class_id = self._class_of(other, 1.0, t, chance)
                    found.append(_Seen((left, top, right, bottom), float(chance.uniform(0.1, 0.4)), class_id))
        return found

    def _as_boxes(self, seen: list[_Seen]) -> Boxes:
        if not seen:
            return Boxes.empty()
        return Boxes(
            np.array([one.xyxy for one in seen], np.float32),
            np.array([one.confidence for one in seen], np.float32),
            np.array([one.class_id for one in seen], np.int32),
        )


def _quality(truth: Truth, conditions: Conditions) -> float:
    """How well it can be seen, 0 to 1: half hidden it is near the threshold, as was measured."""
    shown = float(np.interp(truth.visible, [0.0, 0.25, 0.5, 0.8, 1.0], [0.0, 0.1, 0.3, 0.85, 1.0]))
    dark = min(1.0, 0.6 + 0.4 * conditions.brightness)
    lying = 0.95 if truth.posture == "lying" else 1.0
    return shown * LIGHT[conditions.light] * dark * (1 - 0.7 * conditions.dirt) * lying


def _meet(one: Truth, other: Truth) -> bool:
    left, top, right, bottom = one.xyxy
    other_left, other_top, other_right, other_bottom = other.xyxy
    return min(right, other_right) > max(left, other_left) and min(bottom, other_bottom) > max(top, other_top)
