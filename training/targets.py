"""Which cells of the network answer for which true box: task-aligned assignment (TOOD, Feng et al. 2021)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.labels import BETWEEN, HORSE_LYING, HORSE_STANDING

CANDIDATES = 10
"""Cells that a true box may have."""
_SCORE_POWER, _OVERLAP_POWER = 0.5, 6.0
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Truths:
    """True boxes of a batch, filled up with empty ones.

    Attributes:
        xyxy: float32 `[B, M, 4]`, in input pixels.
        label: int64 `[B, M]`, a class number or `BETWEEN`; -1 where there is none.
        ignored: bool `[B, M]`: too little is seen to ask for it, too much to call it wrong.
    """

    xyxy: Tensor
    label: Tensor
    ignored: Tensor

    @property
    def wanted(self) -> Tensor:
        """Bool `[B, M]`: must be found."""
        return (self.label >= 0) & ~self.ignored


@dataclass(frozen=True, slots=True)
class Targets:
    """What each cell should say.

    Attributes:
        score: float32 `[B, N, classes]`, 0 to 1.
        counts: bool `[B, N, classes]`: False where any score is right.
        box: float32 `[B, N, 4]`, corners; only where a score is above 0.
    """

    score: Tensor
    counts: Tensor
    box: Tensor


def overlaps(some: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes, corners last, broadcast."""
    shared = (torch.minimum(some[..., 2:], others[..., 2:]) - torch.maximum(some[..., :2], others[..., :2])).clamp(0)
    inner = shared.prod(-1)
    return inner / (_area(some) + _area(others) - inner + _EPSILON)


def assign(scores: Tensor, boxes: Tensor, cells: Tensor, truths: Truths) -> Targets:
    """Targets for what the network now says.

    A true box gets the cells inside it whose score and overlap together are best; the best of them is asked for a
    score equal to its overlap, the others for less in proportion.

    Args:
        scores: `[B, N, classes]`, before the sigmoid, without gradient.
        boxes: `[B, N, 4]`, corners, without gradient.
        cells: `[N, 3]`, middle and stride.
        truths: of the same pictures.
    """
    probability = scores.sigmoid()
    inside = _inside(cells, truths.xyxy)
    overlap = overlaps(truths.xyxy[:, :, None], boxes[:, None]) * inside * truths.wanted[..., None]
    asked = _asked(probability, truths.label)
    metric = asked.pow(_SCORE_POWER) * overlap.pow(_OVERLAP_POWER)
    chosen = _best(metric, truths.wanted) & (overlap > 0)
    # A cell that several boxes want goes to the one that it fits best.
    fits = torch.where(chosen, overlap, -1.0)
    chosen &= fits == fits.amax(1, keepdim=True)
    metric = metric * chosen
    peak = (overlap * chosen).amax(2, keepdim=True)
    quality = metric / (metric.amax(2, keepdim=True) + _EPSILON) * peak
    owner = quality.argmax(1)
    mine = chosen.any(1)
    picture = torch.arange(len(owner))[:, None]
    label = torch.where(mine, truths.label[picture, owner], -1)
    score, counts = _per_class(label, quality.amax(1), probability)
    counts &= mine[..., None] | ~_over_ignored(inside, truths, probability.shape[-1])
    return Targets(score, counts, truths.xyxy[picture, owner])


def _inside(cells: Tensor, boxes: Tensor) -> Tensor:
    """Bool `[B, M, N]`: the cell's middle lies in the box, or in the cell's own size around its middle if smaller."""
    middle = (boxes[..., :2] + boxes[..., 2:])[:, :, None] / 2
    half = torch.maximum((boxes[..., 2:] - boxes[..., :2])[:, :, None], cells[:, 2:]) / 2
    return ((cells[:, :2] - middle).abs() < half).all(-1)


def _asked(probability: Tensor, label: Tensor) -> Tensor:
    """`[B, M, N]`: the score of each box's class in each cell; of the surer horse class for one between the two."""
    horse = probability[..., [HORSE_STANDING, HORSE_LYING]].amax(-1, keepdim=True)
    known = torch.cat([probability, horse], -1).transpose(1, 2)
    index = label.clamp(0)[..., None].expand(-1, -1, known.shape[-1])
    return known.gather(1, index)


def _best(metric: Tensor, wanted: Tensor) -> Tensor:
    index = metric.topk(min(CANDIDATES, metric.shape[-1]), -1).indices
    return torch.zeros_like(metric, dtype=torch.bool).scatter_(-1, index, True) & wanted[..., None]


def _per_class(label: Tensor, quality: Tensor, probability: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and what counts, `[B, N, classes]`, of cells with these labels and qualities `[B, N]`."""
    between = label == BETWEEN
    lying = probability[..., HORSE_LYING] > probability[..., HORSE_STANDING]
    taken_for = torch.where(between, torch.where(lying, HORSE_LYING, HORSE_STANDING), label)
    classes = torch.arange(probability.shape[-1])
    score = quality[..., None] * (taken_for[..., None] == classes)
    other_posture = between[..., None] & ((classes == HORSE_STANDING) | (classes == HORSE_LYING))
    return score, ~other_posture | (taken_for[..., None] == classes)


def _over_ignored(inside: Tensor, truths: Truths, classes: int) -> Tensor:
    """Bool `[B, N, classes]`: the cell lies in a box that is ignored, and the class is of its kind."""
    kinds = torch.arange(classes)
    horses = (kinds == HORSE_STANDING) | (kinds == HORSE_LYING)
    is_horse = (truths.label == HORSE_STANDING) | (truths.label == HORSE_LYING) | (truths.label == BETWEEN)
    of_kind = torch.where(is_horse[..., None], horses, ~horses)
    over = inside & (truths.ignored & (truths.label >= 0))[..., None]
    return (over[..., None] & of_kind[:, :, None]).any(1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)
