"""Producers that share one list with a GPU worker, in simulated time: who sends how much under overload.

The worker is ours as far as the list can tell: it takes up to a batch, and when that waited for longer than four runs
it takes more, to choose the freshest of each camera. A `plain` worker takes batch after batch.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fbtasks.producer.back_pressure import BackPressure, room_for
from fbtasks.producer.pacing import Pacer

STEP_S = 0.01
BACKLOG_RUNS = 4
BACKLOG_STEP = 8


@dataclass
class Producer:
    """Cameras of one process.

    Attributes:
        rates: frames per second that each camera wants.
        starts_at: seconds; before, it sends nothing.
        share: that it begins with.
        sent: times of the frames of each camera.
    """

    rates: Sequence[float]
    starts_at: float = 0.0
    share: float = 1.0
    min_fps: float = 1.0
    sent: list[list[float]] = field(default_factory=list)
    shares: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Worker:
    """Takes frames; `capacity(at)` is in frames per second, 0 while it is away."""

    capacity: Callable[[float], float]
    batch: int = 8
    plain: bool = False
    busy_until: float = 0.0

    def take(self, waiting: "deque[float]", at: float) -> None:
        rate = self.capacity(at)
        if at < self.busy_until or not waiting or rate <= 0:
            return
        run_s = self.batch / rate
        count = min(self.batch, len(waiting))
        taken = [waiting.popleft() for _ in range(count)]
        while not self.plain and waiting and len(taken) >= self.batch and at - taken[-1] > BACKLOG_RUNS * run_s:
            taken += [waiting.popleft() for _ in range(min(max(BACKLOG_STEP, self.batch), len(waiting)))]
        self.busy_until = at + run_s * count / self.batch


def simulate(
    producers: Sequence[Producer], worker: Worker, seconds: float, max_length: int = 256
) -> list[tuple[float, int]]:
    """Run them; fills `sent` and `shares` of the producers, and returns the length of the list over time."""
    laws = [BackPressure(room_for(worker.batch)) for _ in producers]
    pacers: list[list[Pacer]] = []
    for law, producer in zip(laws, producers, strict=True):
        law.share = producer.share
        pacers.append([Pacer(rate, index * 0.618 % 1) for index, rate in enumerate(producer.rates)])
        producer.sent = [[] for _ in producer.rates]
    sides = list(zip(laws, producers, pacers, strict=True))
    order = random.Random(1)
    waiting: deque[float] = deque(maxlen=max_length)
    lengths = []
    for step in range(round(seconds / STEP_S)):
        at = step * STEP_S
        worker.take(waiting, at)
        for law, producer, own in order.sample(sides, len(sides)):
            if at < producer.starts_at:
                continue
            due = [
                index
                for index, (pacer, rate) in enumerate(zip(own, producer.rates, strict=True))
                if pacer.due(at, max(min(producer.min_fps, rate), rate * law.share))
            ]
            if due:
                before = len(waiting)
                waiting.extend([at] * len(due))
                law.pushed(before, at)
            for index in due:
                producer.sent[index].append(at)
            if step % 50 == 0:
                producer.shares.append((at, law.share))
        if step % 10 == 0:
            lengths.append((at, len(waiting)))
    return lengths


def rate(times: Sequence[float], begin: float, end: float) -> float:
    """Frames per second within that stretch."""
    return sum(begin <= at < end for at in times) / (end - begin)
