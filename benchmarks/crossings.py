"""Horses and persons that cross, stop, lie down and go behind a door, and what a detector would make of them.

Drawn from nothing but chance and a pinhole camera, so that a tracker can be judged on hours of difficult pictures in
seconds. Everything is settled at 50 pictures a second; slower cameras see every second, fifth, tenth or 25th of them.
"""

from dataclasses import dataclass
from math import atan2, cos, hypot, pi, sin

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import Boxes

Floats = NDArray[np.float64]
RATE = 50
WIDTH, HEIGHT = 960, 540
ANIMAL, PERSON = 17, 0
SEEN_FROM = 0.2
"""Share of a body that must be visible for a tracker to be asked for it."""
FOUND_FROM = 0.1
_SAMPLES = 10


@dataclass(frozen=True, slots=True)
class Story:
    """Who moves how, before which camera.

    Attributes:
        animals, persons: how many.
        width, depth: of the ground, metres.
        door: an open door hides a part of the picture, 3 s at a time.
        rails: everybody walks to and fro along a line of its own, so that all cross again and again.
    """

    name: str
    animals: int
    persons: int
    width: float
    depth: float
    door: bool = False
    rails: bool = False


STORIES = (
    Story("two horses cross", 2, 0, 9.0, 5.0, rails=True),
    Story("three horses cross", 3, 0, 10.0, 6.0, rails=True),
    Story("two horses, one box", 2, 0, 5.0, 5.0),
    Story("two horses, a door", 2, 0, 7.0, 5.0, door=True),
    Story("horse and persons", 1, 2, 5.0, 5.0, door=True),
    Story("four in a paddock", 3, 1, 12.0, 9.0),
    Story("four horses", 4, 0, 10.0, 7.0),
)


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: what is truly in it, and what a detector finds.

    Attributes:
        at: seconds.
        ids, kinds: int `[n]`, who is visible, or found though hardly visible; class numbers.
        truth: `[n, 4]`, left, top, right, bottom of what is visible of them, as detectors are taught, pixels.
        found: boxes after suppression.
    """

    at: float
    ids: NDArray[np.int64]
    kinds: NDArray[np.int64]
    truth: Floats
    found: Boxes


@dataclass(slots=True)
class _Body:
    """One animal or person over time: `[frames]` of each.

    Attributes:
        x, y, heading: over the ground; down: 0 to 1; head: 0 low, 1 high.
    """

    kind: int
    height: float
    x: Floats
    y: Floats
    heading: Floats
    down: Floats
    head: Floats


def bodies(story: Story, seconds: float, chance: np.random.Generator) -> list[_Body]:
    """Everybody's movements."""
    kinds = [ANIMAL] * story.animals + [PERSON] * story.persons
    return [_body(story, kind, lane, len(kinds), round(seconds * RATE), chance) for lane, kind in enumerate(kinds)]


def _body(  # noqa: PLR0917 - one for each thing that is settled before it moves
    story: Story, kind: int, lane: int, lanes: int, frames: int, chance: np.random.Generator
) -> _Body:
    body = _Body(
        kind,
        chance.uniform(1.4, 1.75) if kind == ANIMAL else chance.uniform(1.6, 1.9),
        *(np.zeros(frames) for _ in range(5)),
    )
    lane_y = story.depth * (lane + 0.5) / lanes
    x, y = chance.uniform(0.5, story.width - 0.5), (lane_y if story.rails else chance.uniform(0.5, story.depth - 0.5))
    heading, speed, down = chance.uniform(0, 2 * pi), 0.0, 0.0
    goal, pace, until, lies = (x, y), 0.0, chance.uniform(0, 1.5), False
    side = lane % 2
    head, head_goal = 0.7, 0.7
    for frame in range(frames):
        at = frame / RATE
        near = hypot(goal[0] - x, goal[1] - y) < 0.25
        if near and pace:
            pace, until = 0.0, at + chance.choice([0.0, 0.6, chance.uniform(1, 6)])
            lies = kind == ANIMAL and chance.random() < 0.15 and not story.rails
            if lies:
                until = at + chance.uniform(8, 14)
        if not pace and at >= until and down == 0.0:
            if story.rails:
                side = 1 - side
                goal = (0.3 + side * (story.width - 0.6), lane_y + chance.uniform(-0.2, 0.2))
            else:
                goal = (chance.uniform(0.3, story.width - 0.3), chance.uniform(0.3, story.depth - 0.3))
            pace = chance.choice([0.6, 1.0, 1.5, 3.0], p=[0.25, 0.4, 0.27, 0.08])
        if not pace and at >= until:
            lies = False
        down = float(np.clip(down + (1 if lies else -1) / (2.5 * RATE), 0, 1))
        wanted = pace if down == 0.0 else 0.0
        speed += float(np.clip(wanted - speed, -2.0 / RATE, 1.5 / RATE))
        if pace:
            turn = (atan2(goal[1] - y, goal[0] - x) - heading + pi) % (2 * pi) - pi
            heading += float(np.clip(turn, -2.2 / RATE, 2.2 / RATE))
            slow = max(0.15, cos(turn)) * min(1.0, 0.35 + hypot(goal[0] - x, goal[1] - y))
            x, y = x + speed * slow * cos(heading) / RATE, y + speed * slow * sin(heading) / RATE
        if chance.random() < 0.2 / RATE:
            head_goal = chance.uniform(0, 1)
        head += float(np.clip(head_goal - head, -0.8 / RATE, 0.8 / RATE))
        row = (x, y, heading, down, head)
        body.x[frame], body.y[frame], body.heading[frame], body.down[frame], body.head[frame] = row
    return body


def outline(body: _Body, story: Story) -> tuple[Floats, Floats]:
    """`[frames, 4]` boxes in the picture, not cut off, and `[frames]` distances from the camera in metres."""
    size = body.height / 1.6
    if body.kind == ANIMAL:
        length, width = 2.1 * size, 0.65 * size * (1 + 0.5 * body.down)
        top = body.height * (1.05 - 0.5 * body.down) + 0.35 * body.head * (1 - 0.6 * body.down)
        reach = 0.35 * (1 - body.head)
    else:
        length, width, top, reach = 0.45, np.full_like(body.x, 0.5), np.full_like(body.x, body.height), 0 * body.x
    corners = [
        (along * length / 2 + (reach if along > 0 else 0.0), across * width / 2, up * top)
        for along in (-1, 1)
        for across in (-1, 1)
        for up in (0, 1)
    ]
    turn_cos, turn_sin = np.cos(body.heading), np.sin(body.heading)
    distance, height, pitch = 3.0 + 0.25 * story.depth, 2.9, 0.36
    focal = 0.62 * WIDTH * (distance + story.depth / 2) / max(story.width, 6.0) / 1.1
    us, vs, depths = [], [], []
    for along, across, up in corners:
        px = body.x + along * turn_cos - across * turn_sin - story.width / 2
        away = distance + (story.depth - (body.y + along * turn_sin + across * turn_cos))
        drop = height - up
        forward = np.maximum(away * cos(pitch) + drop * sin(pitch), 0.3)
        us.append(WIDTH / 2 + focal * px / forward)
        vs.append(HEIGHT / 2 + focal * (drop * cos(pitch) - away * sin(pitch)) / forward)
        depths.append(forward)
    u, v = np.stack(us), np.stack(vs)
    return np.stack([u.min(0), v.min(0), u.max(0), v.max(0)], axis=1), np.stack(depths).mean(0)


def film(story: Story, seconds: float, seed: int) -> "list[Shot]":
    """The story at 50 pictures a second."""
    chance = np.random.default_rng([seed, sum(map(ord, story.name))])
    cast = bodies(story, seconds, chance)
    frames = len(cast[0].x)
    outlines = [outline(body, story) for body in cast]
    boxes, depths = np.stack([box for box, _ in outlines], 1), np.stack([depth for _, depth in outlines], 1)
    kinds = np.array([body.kind for body in cast])
    doors = _doors(story, frames, chance)
    detector = _Detector(len(cast), frames, chance)
    shots = []
    for frame in range(frames):
        seen, visible = _visible(boxes[frame], depths[frame], doors[frame])
        lying = np.array([body.down[frame] for body in cast])
        found, hit = detector.look(frame, seen, visible, kinds, lying)
        there = (visible >= SEEN_FROM) | hit
        shots.append(Shot(frame / RATE, np.flatnonzero(there), kinds[there], seen[there], found))
    return shots


def _doors(story: Story, frames: int, chance: np.random.Generator) -> Floats:
    """`[frames, 2]`, from where to where a door hides the picture; an empty span when none is open."""
    spans = np.zeros((frames, 2))
    if not story.door:
        return spans
    frame = round(chance.uniform(3, 6) * RATE)
    while frame < frames:
        left = chance.uniform(0.1, 0.6) * WIDTH
        spans[frame : frame + 3 * RATE] = left, left + chance.uniform(0.25, 0.4) * WIDTH
        frame += round(chance.uniform(6, 10) * RATE)
    return spans


def _visible(boxes: Floats, depths: Floats, door: Floats) -> tuple[Floats, Floats]:
    """`[n, 4]` boxes around what is visible of each body, and `[n]` visible shares of it."""
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    xs = boxes[:, None, 0] + steps * (boxes[:, 2] - boxes[:, 0])[:, None]
    ys = boxes[:, None, 1] + steps * (boxes[:, 3] - boxes[:, 1])[:, None]
    seen = ((xs > 0) & (xs < WIDTH) & ((xs < door[0]) | (xs > door[1])))[:, None, :] & ((ys > 0) & (ys < HEIGHT))[
        :, :, None
    ]
    # A body does not fill its box: an eighth on each side shows what is behind.
    margins = (boxes[:, 2:] - boxes[:, :2]) / 8
    for front in np.argsort(depths):
        low, high = boxes[front, :2] + margins[front], boxes[front, 2:] - margins[front]
        behind = depths > depths[front]
        covered = ((xs > low[0]) & (xs < high[0]))[:, None, :] & ((ys > low[1]) & (ys < high[1]))[:, :, None]
        seen &= ~(covered & behind[:, None, None])
    around = boxes.copy()
    for index, cells in enumerate(seen):
        columns, rows = np.flatnonzero(cells.any(0)), np.flatnonzero(cells.any(1))
        if len(columns):
            left, top, right, bottom = boxes[index]
            wide, tall = (right - left) / _SAMPLES, (bottom - top) / _SAMPLES
            around[index] = (
                left + columns[0] * wide,
                top + rows[0] * tall,
                left + (columns[-1] + 1) * wide,
                top + (rows[-1] + 1) * tall,
            )
    return np.clip(around, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT]), seen.mean(axis=(1, 2))


class _Detector:
    """What a small detector makes of bodies: errors that last for some tenths of a second, and some for one picture."""

    def __init__(self, count: int, frames: int, chance: np.random.Generator) -> None:
        self._chance = chance
        self._wander = _wander((frames, count, 4), 0.25, chance) * 0.025
        self._mood = _wander((frames, count), 0.4, chance)
        self._double = _wander((frames, count), 0.3, chance)
        self._merge = _wander((frames,), 0.5, chance)
        self._ghost = _wander((frames, 2), 0.5, chance)
        self._ghosts = chance.uniform([50, 150, 60, 60], [700, 380, 200, 160], (2, 4))

    def look(
        self, frame: int, boxes: Floats, visible: Floats, kinds: NDArray[np.int64], lying: Floats
    ) -> tuple[Boxes, NDArray[np.bool_]]:
        """What is found before suppression, and bool `[n]`, who of the bodies is."""
        chance = self._chance
        sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        noisy = boxes + sizes * (self._wander[frame] + chance.normal(0, 0.008, boxes.shape))
        sure = (
            0.88
            - 0.75 * (1 - visible) ** 1.3
            - 0.2 * lying
            + 0.1 * self._mood[frame]
            + chance.normal(0, 0.03, len(boxes))
        )
        hit = (sure > FOUND_FROM) & (chance.random(len(boxes)) > 0.03) & (self._mood[frame] > -2.0) & (visible > 0.08)
        rows = [(*noisy[i], sure[i], kinds[i]) for i in np.flatnonzero(hit)]
        for i in np.flatnonzero(hit & (self._double[frame] > 1.5)):
            left, top, right, bottom = noisy[i]
            part = left + (right - left) * (0.45 if i % 2 else 0.5)
            half = (left, top, part, bottom) if i % 2 else (part, top, right, bottom)
            rows.append((*half, min(sure[i], 0.35 + 0.1 * self._double[frame, i] - 0.15), kinds[i]))
        if self._merge[frame] > 0.8:
            rows += self._merged(noisy, sure, kinds, hit)
        for i in np.flatnonzero(self._ghost[frame] > 1.9):
            x, y, wide, high = self._ghosts[i]
            rows.append((x, y, x + wide, y + high, 0.1 + 0.2 * (self._ghost[frame, i] - 1.4), (ANIMAL, PERSON)[i]))
        table = np.array(rows, np.float64).reshape(-1, 6)
        table[:, :4] = np.clip(table[:, :4], 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        confidence = np.clip(table[:, 4], 0.05, 0.97)
        keep = confidence >= FOUND_FROM
        found = Boxes(
            table[keep, :4].astype(np.float32), confidence[keep].astype(np.float32), table[keep, 5].astype(np.int32)
        )
        return found, hit

    @staticmethod
    def _merged(
        boxes: Floats, sure: Floats, kinds: NDArray[np.int64], hit: NDArray[np.bool_]
    ) -> list[tuple[float, ...]]:
        """One box around two animals that stand before each other."""
        rows = []
        for i in np.flatnonzero(hit & (kinds == ANIMAL)):
            for j in np.flatnonzero(hit & (kinds == ANIMAL)):
                low, high = np.maximum(boxes[i, :2], boxes[j, :2]), np.minimum(boxes[i, 2:], boxes[j, 2:])
                if i < j and (high - low > 0.25 * (boxes[i, 2:] - boxes[i, :2])).all():
                    around = (*np.minimum(boxes[i, :2], boxes[j, :2]), *np.maximum(boxes[i, 2:], boxes[j, 2:]))
                    rows.append((*around, max(sure[i], sure[j]) + 0.02, ANIMAL))
        return rows


def _wander(shape: tuple[int, ...], memory_s: float, chance: np.random.Generator) -> Floats:
    """Noise of unit variance that forgets itself within `memory_s`."""
    stay = float(np.exp(-1 / (memory_s * RATE)))
    values = chance.normal(0, 1, shape)
    for frame in range(1, shape[0]):
        values[frame] = stay * values[frame - 1] + (1 - stay**2) ** 0.5 * values[frame]
    return values
