"""Trains the detector: `python -m training.train --out FOLDER`.

Draws the pictures, teaches a new network, and then lets it settle: with those pictures of nobody in which it still sees
somebody shown more often. At last it lowers all scores until nobody is seen in empty stalls. With `--start` an earlier
network settles for longer.
"""

import argparse
import copy
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from math import cos, exp, log, pi
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import cv2
import numpy as np
import torch
from torch import Tensor, distributed, nn

from training.augment import Example, example
from training.export import export
from training.labels import NAMES
from training.loss import loss
from training.network import Network
from training.picture_set import PictureSet, picture_set
from training.pictures import Labelled
from training.resume import resumed
from training.scenes import EMPTY_TRAINING, empty_stalls
from training.targets import Truths

Shape = tuple[int, int]

Stage = tuple[float, tuple[Shape, ...], float]
"""Up to which share of the steps; heights and widths of the input to draw from; which share of pictures is changed."""

_LEARNING: tuple[Stage, ...] = (
    (0.25, ((192, 320),), 0.5),
    (0.75, (*[(256, 448)] * 15, (448, 448)), 0.5),
    (1.0, (*[(384, 640)] * 15, (640, 640)), 0.4),
)
"""Small pictures first: they teach the shapes at several times the speed."""
_SETTLING: tuple[Stage, ...] = ((1.0, (*[(384, 640)] * 15, (640, 640)), 0.0),)
"""Pictures as the producer sends them, at last."""
_SETTLING_RATE = 0.25
"""Of the highest rate of learning."""
_LAST_RATE = 2e-5
_WARM_UP = 200
"""Steps in which the rate rises."""
_DECAY = 0.05
_CLIP = 10.0
_AVERAGE = 0.999
"""Share of the old weights that the averaged ones keep at each step."""
_AHEAD = 3
"""Batches that are made while one is learnt from."""
_REPORT_EVERY_S = 20.0
_SAVE_EVERY_S = 240.0

_HARD = 0.05
"""Confidence from which a network sees somebody where nobody is."""
_HARD_TIMES = 5
"""Such a picture is shown so many times as often as the others."""

_QUIET = 0.2
"""Confidence that no box may reach in an empty stall; less than that from which a box starts a track."""
_STALLS = 400
"""Pictures of empty stalls by which the scores are set."""
_LOWERED_AT_MOST = 1.0

PICTURES, EMPTY, CHECKPOINT = "pictures", "empty", "network.pt"
"""Names in the task's folder."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, on what, and for how many steps; see the command's help."""

    out: Path
    start: Path | None
    pictures: int
    empty: int
    steps: int
    settling: int
    rate: float
    batch: int
    processes: int
    seed: int

    def in_words(self) -> str:
        """For the model's metadata."""
        steps, after = self.steps + self.settling, ""
        if self.start is not None:
            steps, after = self.settling, " after an earlier training"
        return (
            f"{self.pictures:,} pictures of horses and persons and {self.empty:,} of nobody drawn by fbtasks.sim, "
            f"{steps:,} steps of {self.batch * self.processes} pictures{after}"
        )


@dataclass(frozen=True, slots=True)
class Lesson:
    """A part of the training.

    Attributes:
        stages: one after another.
        steps: all of them together.
        rate: highest rate of learning.
        seed: of the order and of all changes.
        hard: numbers of pictures that are shown `_HARD_TIMES` times more often.
        goes_on: from the network that is kept in the task's folder.
    """

    stages: tuple[Stage, ...]
    steps: int
    rate: float
    seed: int
    hard: tuple[int, ...] = ()
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures float32 `[B, 3, H, W]`, 0 to 1, and what is true in them."""

    pictures: Tensor
    truths: Truths


def batch_of(examples: list[Example]) -> Batch:
    """All examples together; they have one size."""
    pixels = torch.from_numpy(np.stack([example.pixels for example in examples])).float().div_(255)
    most = max(1, *(len(example.label) for example in examples))
    xyxy = torch.zeros(len(examples), most, 4)
    label = torch.full((len(examples), most), -1)
    ignored = torch.zeros(len(examples), most, dtype=torch.bool)
    for row, one in enumerate(examples):
        count = len(one.label)
        xyxy[row, :count] = torch.from_numpy(one.xyxy)
        label[row, :count] = torch.from_numpy(one.label)
        ignored[row, :count] = torch.from_numpy(one.ignored)
    # A view of numbers that lie picture by picture and channels last, as the convolutions want them.
    return Batch(pixels.permute(0, 3, 1, 2), Truths(xyxy, label, ignored))


def batches(pictures: Sequence[Labelled], lesson: Lesson, size: int, rank: int) -> Iterator[Batch]:
    """One batch for each step, made by a thread while the network learns from the ones before.

    Args:
        pictures: all of them.
        lesson: what is made of them.
        size: pictures in a batch.
        rank: number of the process; each has an order of its own.
    """
    numbers = [*range(len(pictures)), *lesson.hard * _HARD_TIMES]
    order, draw = (np.random.default_rng([lesson.seed, rank, use]) for use in range(2))

    def made(step: int, chosen: list[int]) -> Batch:
        _, shapes, strength = next(stage for stage in lesson.stages if step < stage[0] * lesson.steps)
        height, width = shapes[draw.integers(len(shapes))]
        return batch_of([example(pictures[number], height, width, draw, strength) for number in chosen])

    # One thread, and random numbers of its own, so that they are drawn in the same order every time.
    with ThreadPoolExecutor(max_workers=1) as maker:
        coming: deque[Future[Batch]] = deque()
        for step, chosen in enumerate(islice(_chosen(numbers, size, order), lesson.steps)):
            coming.append(maker.submit(made, step, chosen))
            if len(coming) > _AHEAD:
                yield coming.popleft().result()
        for batch in coming:
            yield batch.result()


def _chosen(numbers: Sequence[int], size: int, draw: np.random.Generator) -> Iterator[list[int]]:
    """Numbers of the pictures of each batch; all of a round before any of the next."""
    while True:
        mixed = draw.permutation(np.asarray(numbers))
        for start in range(0, len(mixed) - size + 1, size):
            yield [int(number) for number in mixed[start : start + size]]


class Average:
    """A network whose weights are the running average of another's: steadier than its last ones."""

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval()
        self._steps = 0

    def follow(self, network: nn.Module) -> None:
        """Take a step towards the network's weights; longer ones at first."""
        self._steps += 1
        keep = min(_AVERAGE, (1 + self._steps) / (10 + self._steps))
        for own, other in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if own.is_floating_point():
                own.lerp_(other, 1 - keep)


def learning_rate(highest: float, step: int, steps: int) -> float:
    """Rises from nothing, then falls along a cosine."""
    fallen = _LAST_RATE + (highest - _LAST_RATE) * (1 + cos(pi * step / steps)) / 2
    return fallen * min(1.0, (step + 1) / _WARM_UP)


def multiplies_bfloat16() -> bool:
    """Whether the processor itself does; others take ten times as long for it as for float32."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


class Learner:
    """One of the processes that train the same network, each on pictures of its own.

    Several with one thread each learn faster than one with several: nothing waits but once for each step.

    Args:
        task: where from and with how many.
        lesson: what to learn.
        rank: number of the process.
    """

    def __init__(self, task: Task, lesson: Lesson, rank: int) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        torch.manual_seed(task.seed)
        self.task = task
        self.lesson = lesson
        self.rank = rank
        network = _loaded(task.out / CHECKPOINT) if lesson.goes_on else Network(len(NAMES))
        self.network = network.to(memory_format=torch.channels_last).train()
        self.average = Average(self.network)
        self.optimizer = torch.optim.AdamW(_groups(self.network), lr=lesson.rate, fused=True)
        self.progress = Progress(lesson.steps, task.batch * task.processes)
        self.short = multiplies_bfloat16()

    def run(self) -> None:
        """Take all steps."""
        for step, batch in enumerate(batches(_pictures(self.task), self.lesson, self.task.batch, self.rank)):
            self._step(step, batch)
            if self.rank == 0:
                self.average.follow(self.network)
                if self.progress.saving_is_due():
                    self.save()
        if self.rank == 0:
            self.save()

    def save(self) -> None:
        """Keep the averaged network."""
        torch.save(self.average.network.state_dict(), self.task.out / CHECKPOINT)

    def _step(self, step: int, batch: Batch) -> None:
        """Learn from one batch of each process."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.short):
            scores, boxes, cells = self.network(batch.pictures)
        score_loss, box_loss = loss(scores, boxes, cells, batch.truths)
        self.optimizer.zero_grad()
        (score_loss + box_loss).backward()
        self._agree()
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.lesson.rate, step, self.lesson.steps)
        self.optimizer.step()
        if self.rank == 0:
            self.progress.step(score_loss.item(), box_loss.item())

    def _agree(self) -> None:
        """Take the mean of all processes' gradients, so that they stay alike."""
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        together /= self.task.processes
        for gradient, part in zip(gradients, together.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


class Progress:
    """Says now and then how it goes.

    Args:
        steps: to take.
        pictures: in one step.
    """

    def __init__(self, steps: int, pictures: int) -> None:
        self._start = monotonic()
        self._all = steps
        self._pictures = pictures
        self._steps = 0
        self._losses: list[tuple[float, float]] = []
        self._reported = self._saved = 0.0

    def step(self, score_loss: float, box_loss: float) -> None:
        """A step was taken."""
        self._steps += 1
        self._losses.append((score_loss, box_loss))
        since_start = monotonic() - self._start
        seconds = since_start - self._reported
        if seconds < _REPORT_EVERY_S:
            return
        scores, boxes = np.mean(self._losses, axis=0)
        speed = len(self._losses) * self._pictures / seconds
        sys.stderr.write(
            f"{since_start:5.0f} s, step {self._steps} of {self._all}: scores {scores:.3f}, boxes {boxes:.3f}, "
            f"{speed:.0f} pictures/s\n"
        )
        sys.stderr.flush()
        self._reported = since_start
        self._losses = []

    def saving_is_due(self) -> bool:
        """Every few minutes."""
        since_start = monotonic() - self._start
        due = since_start - self._saved >= _SAVE_EVERY_S
        if due:
            self._saved = since_start
        return due


def _groups(network: Network) -> list[dict[str, object]]:
    """Weights decay, biases and norms do not."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": weights, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}]


def _learn(rank: int, task: Task, lesson: Lesson, meeting: str) -> None:
    """What each process does."""
    distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=task.processes)
    Learner(task, lesson, rank).run()
    distributed.destroy_process_group()


def _pictures(task: Task) -> PictureSet:
    """Those of somebody, then those of nobody."""
    return picture_set(task.out / PICTURES, task.pictures, task.processes) + _empty(task)


def _empty(task: Task) -> PictureSet:
    return picture_set(task.out / EMPTY, task.empty, task.processes, empty=True)


def _loaded(checkpoint: Path) -> Network:
    network = Network(len(NAMES))
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    network.eval()
    return network


def _started(start: Path, pictures: Sequence[Labelled]) -> Network:
    """The network of a checkpoint, or of an exported file."""
    return resumed(start, iter(pictures)) if start.suffix == ".onnx" else _loaded(start)


def hard_ones(network: Network, pictures: Sequence[Labelled]) -> tuple[int, ...]:
    """Numbers of those pictures of nobody in which the network sees somebody."""
    least = -log(1 / _HARD - 1)
    return tuple(number for number, picture in enumerate(pictures) if score_of(network, picture) > least)


def quieten(network: Network, empty: Iterable[Labelled]) -> None:
    """Lower all scores alike, before the sigmoid, until nobody is seen where nobody is.

    Which box is surer than which stays as it is, and so does average precision.
    """
    highest = max(score_of(network, picture) for picture in empty)
    lowered = min(max(0.0, highest + log(1 / _QUIET - 1)), _LOWERED_AT_MOST)
    sys.stderr.write(f"the surest box in an empty stall has {1 / (1 + exp(-highest)):.2f}: lowered by {lowered:.2f}\n")
    with torch.no_grad():
        for bias in network.score_biases():
            bias.sub_(lowered)


def score_of(network: Network, picture: Labelled) -> float:
    """The highest in the picture, before the sigmoid."""
    pixels = torch.from_numpy(picture.pixels()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        return float(network(pixels)[0].max())


def train(task: Task) -> Network:
    """The averaged network after all steps; it is kept on the way too."""
    task.out.mkdir(parents=True, exist_ok=True)
    pictures, empty = _pictures(task), _empty(task)
    if task.start is None:
        _teach(task, Lesson(_LEARNING, task.steps, task.rate, task.seed))
    else:
        torch.save(_started(task.start, pictures).state_dict(), task.out / CHECKPOINT)
    hard = hard_ones(_loaded(task.out / CHECKPOINT), empty)
    sys.stderr.write(f"{len(hard)} of {len(empty)} empty pictures are hard\n")
    first = len(pictures) - len(empty)
    hard = tuple(first + number for number in hard)
    _teach(task, Lesson(_SETTLING, task.settling, _SETTLING_RATE * task.rate, task.seed + 1, hard, goes_on=True))
    network = _loaded(task.out / CHECKPOINT)
    quieten(network, (view.labelled() for view in empty_stalls(_STALLS, EMPTY_TRAINING + task.empty)))
    return network


def _teach(task: Task, lesson: Lesson) -> None:
    with TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_learn, (task, lesson, str(Path(folder) / "meeting")), task.processes)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures, checkpoint and model")
    parser.add_argument("--start", type=Path, help="network.pt or model of an earlier training, to settle on")
    parser.add_argument("--pictures", type=int, default=9600, help="of horses and persons")
    parser.add_argument("--empty", type=int, default=2400, help="pictures of nobody")
    parser.add_argument("--steps", type=int, default=7400, help="of learning")
    parser.add_argument("--settling", type=int, default=800, help="steps with what is hard")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest rate of learning")
    parser.add_argument("--batch", type=int, default=8, help="pictures of each process in one step")
    parser.add_argument("--processes", type=int, default=2, help="with one thread each")
    parser.add_argument("--seed", type=int, default=1)
    start = monotonic()
    task = Task(**vars(parser.parse_args()))
    export(train(task), task.out / "demo_model.onnx", datetime.now(UTC).date(), task.in_words())
    sys.stderr.write(f"done after {(monotonic() - start) / 60:.1f} minutes\n")


if __name__ == "__main__":
    main()
