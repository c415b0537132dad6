"""The detector's network: a stem that halves the picture twice at once, four stages, a light pyramid, three heads.

Everything is a dense convolution of few channels with a ReLU, which inference engines fold into one operation. On a
CPU that is faster than the depthwise convolutions of fewer operations, which wait for memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
"""Input pixels per cell of each head."""

_PRIOR = 0.01
"""Score of every class before the first step, so that the many empty cells do not drown the rest (RetinaNet)."""
_FIRST_REACH = 0.5
"""Bias of the heads' distances; with softplus and `_REACH` a first box is a few cells wide."""
_REACH = 4.0
"""Cells per unit of a head's distance."""


@dataclass(frozen=True, slots=True)
class Size:
    """Channels of the stem and the stages of stride 8, 16 and 32, and of the pyramid."""

    stem: int = 16
    stages: tuple[int, int, int] = (32, 64, 128)
    pyramid: int = 32


class Unit(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        padding: int | None = None,
        groups: int = 1,
    ) -> None:
        space = kernel // 2 if padding is None else padding
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, space, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(Unit(channels, channels), Unit(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.inner(features)


class Split(nn.Module):
    """A stage after CSPNet: half of the channels go through the residual blocks, half around them."""

    def __init__(self, inputs: int, outputs: int, blocks: int) -> None:
        super().__init__()
        half = outputs // 2
        self.around = Unit(inputs, half, 1)
        self.through = nn.Sequential(Unit(inputs, half, 1), *(Residual(half) for _ in range(blocks)))
        self.joined = Unit(2 * half, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.joined(torch.cat([self.around(features), self.through(features)], 1))


class Context(nn.Module):
    """Maxima over ever larger surroundings (SPPF), so that the coarsest cells know the whole animal."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Unit(channels, channels // 2, 1)
        self.joined = Unit(channels * 2, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        levels = [self.narrow(features)]
        for _ in range(3):
            levels.append(functional.max_pool2d(levels[-1], 5, 1, 2))
        return self.joined(torch.cat(levels, 1))


class Pyramid(nn.Module):
    """What the coarse stages know goes down to the fine ones, then back up (FPN and PAN)."""

    def __init__(self, stages: Sequence[int], channels: int) -> None:
        super().__init__()
        fine, middle, coarse = stages
        self.coarse = Unit(coarse, channels, 1)
        self.middle = Split(middle + channels, channels, 1)
        self.fine = Split(fine + channels, channels, 1)
        self.to_middle = Unit(channels, channels, 3, 2)
        self.middle_out = Split(2 * channels, channels, 1)
        self.to_coarse = Unit(channels, channels, 3, 2)
        self.coarse_out = Split(2 * channels, channels, 1)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> list[Tensor]:
        top = self.coarse(coarse)
        between = self.middle(torch.cat([_doubled(top), middle], 1))
        low = self.fine(torch.cat([_doubled(between), fine], 1))
        between = self.middle_out(torch.cat([self.to_middle(low), between], 1))
        return [low, between, self.coarse_out(torch.cat([self.to_coarse(between), top], 1))]


class Head(nn.Module):
    """Scores and distances of one stride."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.before = Unit(channels, channels)
        self.scores = nn.Conv2d(channels, classes, 1)
        self.reaches = nn.Conv2d(channels, 4, 1)
        nn.init.constant_(_bias(self.scores), -log(1 / _PRIOR - 1))
        nn.init.constant_(_bias(self.reaches), _FIRST_REACH)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = self.before(features)
        return self.scores(features), self.reaches(features)


class Network(nn.Module):
    """From pictures to scores and boxes.

    Args:
        classes: how many.
        size: channels.
    """

    def __init__(self, classes: int, size: Size | None = None) -> None:
        super().__init__()
        size = size or Size()
        fine, middle, coarse = size.stages
        self.stem = nn.Sequential(Unit(3, size.stem, 6, 4, padding=1), Unit(size.stem, fine, 3, 2))
        self.fine = Split(fine, fine, 1)
        self.middle = nn.Sequential(Unit(fine, middle, 3, 2), Split(middle, middle, 2))
        self.coarse = nn.Sequential(Unit(middle, coarse, 3, 2), Split(coarse, coarse, 2), Context(coarse))
        self.pyramid = Pyramid(size.stages, size.pyramid)
        self.heads = nn.ModuleList(Head(size.pyramid, classes) for _ in STRIDES)

    def levels(self, pictures: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Scores before the sigmoid `[B, classes, h, w]` and reaches `[B, 4, h, w]` of each of `STRIDES`.

        Args:
            pictures: `[B, 3, H, W]`, RGB, 0 to 1; H and W multiples of 32.
        """
        fine = self.fine(self.stem(pictures))
        middle = self.middle(fine)
        levels = self.pyramid(fine, middle, self.coarse(middle))
        return [head(level) for head, level in zip(self.heads, levels, strict=True)]

    def score_biases(self) -> list[Tensor]:
        """`[classes]` of each head: what is added to all its scores."""
        return [_bias(head.scores) for head in self.heads]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores before the sigmoid `[B, N, classes]`, boxes `[B, N, 4]` and cells `[N, 3]`.

        Boxes are left, top, right, bottom in input pixels; a cell is the x and y of its middle and its stride, in
        input pixels. Cells are in the order of `STRIDES`, then rows, then columns.
        """
        levels = self.levels(pictures)
        cells = torch.cat([_cells(level, stride) for (level, _), stride in zip(levels, STRIDES, strict=True)])
        scores = torch.cat([score.flatten(2) for score, _ in levels], 2).transpose(1, 2)
        distance = distances(torch.cat([reach.flatten(2) for _, reach in levels], 2).transpose(1, 2))
        distance = distance * cells[:, 2:]
        boxes = torch.cat([cells[:, :2] - distance[..., :2], cells[:, :2] + distance[..., 2:]], -1)
        return scores, boxes, cells


def distances(reaches: Tensor) -> Tensor:
    """From the middle of a cell to the left, top, right and bottom of its box, in cells."""
    return functional.softplus(reaches.float()) * _REACH


def middles(count: int, stride: int) -> Tensor:
    """Of so many cells in a row, in input pixels."""
    return (torch.arange(count, dtype=torch.float32) + 0.5) * stride


def _cells(level: Tensor, stride: int) -> Tensor:
    height, width = level.shape[-2:]
    rows, columns = torch.meshgrid(middles(height, stride), middles(width, stride), indexing="ij")
    return torch.stack([columns, rows, torch.full_like(rows, stride)], -1).reshape(-1, 3)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
