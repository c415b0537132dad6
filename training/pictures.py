"""The training set on disk: pictures as the producer sends them, with what is true in each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import Float32s
from fbtasks.frame import Letterbox
from fbtasks.gpu.preprocess import decode_into, jpeg_size
from fbtasks.producer.encoder import Encoder
from fbtasks.sim.stage import Truth
from training.labels import BETWEEN, NAMES

Pixels = NDArray[np.uint8]

INPUT = 640
"""Width and height of the detector's input."""
QUALITY = 85
"""Of the JPEG, as the producer's default."""
LEAST_VISIBLE = 0.25
"""Share of a horse or person; of whom less is seen, it does not matter whether they are found."""
SMALLEST = 8.0
"""Nor of one that is less high or wide than so many pixels of the input."""

_JPEGS = ".jpegs"
_LABELS = {name: label for label, name in NAMES.items()}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture as the worker gets it.

    Attributes:
        jpeg: of `INPUT` x `INPUT` pixels, letterboxed; less where the border is left out.
        letterbox: where the camera's picture lies in it.
        xyxy: float32 `[n, 4]`, true boxes in input pixels.
        label: int64 `[n]`, class numbers, or `BETWEEN`.
        ignored: bool `[n]`: too little is seen of it to ask for it.
    """

    jpeg: bytes
    letterbox: Letterbox
    xyxy: Float32s
    label: NDArray[np.int64]
    ignored: NDArray[np.bool_]

    @property
    def is_wide(self) -> bool:
        """Whether the camera's picture is 16:9."""
        return 9 * self.letterbox.width == 16 * self.letterbox.height

    def pixels(self) -> Pixels:
        """uint8 `[height, width, 3]`, RGB."""
        width, height = jpeg_size(self.jpeg)
        out = np.empty((height, width, 3), np.uint8)
        decode_into(self.jpeg, out)
        return out


def labelled(
    picture: Pixels, truths: list[Truth], *, tight: bool = False, least_visible: float = LEAST_VISIBLE
) -> Labelled:
    """A camera's picture, blue first, and what is true in it, as the producer would send it.

    Args:
        picture: uint8 `[H, W, 3]`.
        truths: boxes in its pixels.
        tight: leave out the border that is not needed.
        least_visible: of whom less is seen, it does not matter whether they are found.
    """
    letterbox, jpeg = Encoder(INPUT, INPUT, QUALITY, tight=tight).encode(picture)
    source = np.array([truth.xyxy for truth in truths], np.float32).reshape(-1, 4)
    scale = np.array([*letterbox.resized] * 2) / np.array([letterbox.width, letterbox.height] * 2)
    pad = np.array([letterbox.pad_x, letterbox.pad_y] * 2)
    xyxy = (source * scale + pad).astype(np.float32)
    hidden = np.array([truth.visible < least_visible for truth in truths], bool)
    small = (xyxy[:, 2:] - xyxy[:, :2]).min(axis=1, initial=INPUT) < SMALLEST
    label = np.array([label_of(truth) for truth in truths], np.int64)
    return Labelled(bytes(jpeg), letterbox, xyxy, label, hidden | small)


def label_of(truth: Truth) -> int:
    """The class number, or `BETWEEN`."""
    if truth.kind == "horse" and truth.posture == "between":
        return BETWEEN
    return _LABELS[truth.class_name]


class Part:
    """Labelled pictures in two files: the JPEGs one after another, and an index."""

    def __init__(self, path: Path) -> None:
        self._jpegs = np.memmap(path.with_suffix(_JPEGS), np.uint8, "r")
        with np.load(path) as index:
            self._ends: NDArray[np.int64] = index["ends"]
            self._sizes: NDArray[np.int64] = index["sizes"]
            self._rows: NDArray[np.int64] = index["rows"]
            self._xyxy: Float32s = index["xyxy"]
            self._label: NDArray[np.int64] = index["label"]
            self._ignored: NDArray[np.bool_] = index["ignored"]

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, number: int) -> Labelled:
        rows = slice(self._rows[number], self._rows[number + 1])
        width, height = (int(side) for side in self._sizes[number])
        return Labelled(
            self._jpegs[self._ends[number] : self._ends[number + 1]].tobytes(),
            Letterbox.fit(width, height, INPUT, INPUT),
            self._xyxy[rows],
            self._label[rows],
            self._ignored[rows],
        )


def write_part(path: Path, pictures: Iterable[Labelled]) -> None:
    """Write a `Part`; its index comes last, so that one without an index was broken off."""
    kept: list[Labelled] = []
    ends = [0]
    with path.with_suffix(_JPEGS).open("wb") as file:
        for picture in pictures:
            file.write(picture.jpeg)
            ends.append(file.tell())
            kept.append(replace(picture, jpeg=b""))
    unfinished = path.with_name(f"unfinished-{path.name}")
    np.savez(
        unfinished,
        ends=np.array(ends),
        sizes=np.array([(picture.letterbox.width, picture.letterbox.height) for picture in kept]),
        rows=np.cumsum([0, *(len(picture.label) for picture in kept)]),
        xyxy=np.concatenate([picture.xyxy for picture in kept]),
        label=np.concatenate([picture.label for picture in kept]),
        ignored=np.concatenate([picture.ignored for picture in kept]),
    )
    unfinished.replace(path)
