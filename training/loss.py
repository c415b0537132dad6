"""How wrong the network is: cross entropy for the scores, complete IoU for the boxes."""

from math import pi

import torch
from torch import Tensor
from torch.nn import functional

from training.targets import Targets, Truths, assign, overlaps

_SCORE_WEIGHT, _BOX_WEIGHT = 1.0, 4.0
_EPSILON = 1e-7


def loss(scores: Tensor, boxes: Tensor, cells: Tensor, truths: Truths) -> tuple[Tensor, Tensor]:
    """Loss of the scores and of the boxes, for a batch.

    Args:
        scores: `[B, N, classes]`, before the sigmoid.
        boxes: `[B, N, 4]`, corners.
        cells: `[N, 3]`, middle and stride.
        truths: of the same pictures.
    """
    scores, boxes = scores.float(), boxes.float()
    targets = assign(scores.detach(), boxes.detach(), cells, truths)
    total = targets.score.sum().clamp(min=1.0)
    entropy = functional.binary_cross_entropy_with_logits(scores, targets.score, reduction="none")
    return _SCORE_WEIGHT * (entropy * targets.counts).sum() / total, _BOX_WEIGHT * _box_loss(boxes, targets) / total


def _box_loss(boxes: Tensor, targets: Targets) -> Tensor:
    weight = targets.score.sum(-1)
    mine = weight > 0
    return ((1 - complete_iou(boxes[mine], targets.box[mine])) * weight[mine]).sum()


def complete_iou(found: Tensor, true: Tensor) -> Tensor:
    """Overlap less the distance of the middles and the difference of the proportions (CIoU, Zheng et al. 2020)."""
    iou = overlaps(found, true)
    hull = torch.maximum(found[:, 2:], true[:, 2:]) - torch.minimum(found[:, :2], true[:, :2])
    apart = (found[:, :2] + found[:, 2:] - true[:, :2] - true[:, 2:]) / 2
    distance = apart.square().sum(-1) / (hull.square().sum(-1) + _EPSILON)
    found_size, true_size = found[:, 2:] - found[:, :2], true[:, 2:] - true[:, :2]
    angle = torch.atan2(true_size[:, 0], true_size[:, 1]) - torch.atan2(found_size[:, 0], found_size[:, 1])
    proportion = 4 / pi**2 * angle.square()
    with torch.no_grad():
        share = proportion / (1 - iou + proportion + _EPSILON)
    return iou - distance - share * proportion
