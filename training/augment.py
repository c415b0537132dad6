"""One picture of the training set, changed at random, and laid into the network's input."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import Float32s
from fbtasks.frame import PAD_VALUE
from training.pictures import SMALLEST, Labelled, Pixels

_SCALES = (0.75, 1.2)
_LEAST_LEFT = 0.4
"""Of a box, after the picture was cut: with less of it, it is ignored."""


@dataclass(frozen=True, slots=True)
class Example:
    """What the network is shown.

    Attributes:
        pixels: uint8 `[height, width, 3]`, RGB.
        xyxy, label, ignored: as in the picture it was made from, boxes in pixels of this one; none lies outside.
    """

    pixels: Pixels
    xyxy: Float32s
    label: NDArray[np.int64]
    ignored: NDArray[np.bool_]


def example(picture: Labelled, height: int, width: int, draw: np.random.Generator, strength: float) -> Example:
    """The picture in an input of this size.

    Args:
        picture: from the training set.
        height: of the input, pixels.
        width: of the input, pixels.
        draw: for everything random.
        strength: 0 lays it in as the producer does, but for mirroring; 1 moves, scales and changes light every time.
    """
    box = picture.letterbox
    inner = picture.pixels()[box.pad_y : box.pad_y + box.resized[1], box.pad_x : box.pad_x + box.resized[0]]
    fit = min(width / inner.shape[1], height / inner.shape[0])
    scale, slack = fit, 0.5
    changed = draw.random() < strength
    if changed:
        scale, slack = fit * draw.uniform(*_SCALES), draw.random()
    mirrored = draw.random() < 0.5
    across = scale * (-1 if mirrored else 1)
    left = (width - scale * inner.shape[1]) * slack
    top = (height - scale * inner.shape[0]) * (draw.random() if changed else 0.5)
    matrix = np.array([[across, 0, left + (scale * inner.shape[1] if mirrored else 0)], [0, scale, top]])
    # The warp's points are the pixels' middles, the boxes' are their corners.
    matrix[:, 2] += 0.5 * np.array([across, scale]) - 0.5
    inner = _relit(inner, draw) if changed else inner
    pixels = np.asarray(cv2.warpAffine(inner, matrix, (width, height), borderValue=[PAD_VALUE] * 3), np.uint8)
    matrix[:, 2] -= 0.5 * np.array([across, scale]) - 0.5
    xyxy = (picture.xyxy - np.array([box.pad_x, box.pad_y] * 2, np.float32)).reshape(-1, 2, 2)
    corners = xyxy * [across, scale] + matrix[:, 2]
    moved = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    return _cut(pixels, moved, picture)


def _cut(pixels: Pixels, xyxy: Float32s, picture: Labelled) -> Example:
    height, width = pixels.shape[:2]
    inside = np.clip(xyxy, 0, [width, height, width, height]).astype(np.float32)
    area = (inside[:, 2:] - inside[:, :2]).prod(axis=1)
    left = area / np.maximum((xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1), 1.0)
    ignored = picture.ignored | (left < _LEAST_LEFT)
    ignored |= (inside[:, 2:] - inside[:, :2]).min(axis=1, initial=width) < SMALLEST / 2
    there = area > 0
    return Example(pixels, inside[there], picture.label[there], ignored[there])


def _relit(pixels: Pixels, draw: np.random.Generator) -> Pixels:
    """Another gain, contrast, gamma and tint; sometimes without colour, sometimes blurred."""
    level = np.arange(256) / 255
    curve = draw.uniform(0.75, 1.25) * level ** draw.uniform(0.75, 1.33) + draw.uniform(-0.06, 0.06)
    tint = draw.uniform(0.85, 1.15, 3) if draw.random() < 0.25 else np.ones(3)
    table = (np.clip(curve[:, None] * tint, 0, 1) * 255).astype(np.uint8)
    relit = cv2.LUT(pixels, table[:, None])
    kind = draw.random()
    if kind < 0.1:
        relit = cv2.GaussianBlur(relit, (0, 0), draw.uniform(0.5, 1.5))
    elif kind < 0.2:
        relit = cv2.cvtColor(cv2.cvtColor(relit, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(relit, np.uint8)
