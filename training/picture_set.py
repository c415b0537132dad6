"""The training set: drawn once, kept on disk, read at random."""

from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import overload

import numpy as np

from training.pictures import Labelled, Part, write_part
from training.scenes import EMPTY_TRAINING, TRAINING, views

_PART = 300
"""Pictures that one process draws at a time."""
_NOBODY = 0.04
"""Share of the pictures with nobody in them; there is a set of others."""


class PictureSet(Sequence[Labelled]):
    """All parts, one after another."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._ends: list[int] = np.cumsum([len(part) for part in parts]).tolist()

    def __len__(self) -> int:
        return self._ends[-1]

    def __add__(self, other: "PictureSet") -> "PictureSet":
        return PictureSet([*self._parts, *other._parts])

    @overload
    def __getitem__(self, number: int) -> Labelled: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Labelled]: ...
    def __getitem__(self, number: int | slice) -> Labelled | Sequence[Labelled]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        part = bisect_right(self._ends, number)
        return self._parts[part][number - (self._ends[part - 1] if part else 0)]


def picture_set(folder: Path, count: int, processes: int, *, empty: bool = False) -> PictureSet:
    """So many pictures of the training's places; those that are in the folder already are not drawn again.

    Args:
        empty: with nobody in them, each of another place, most of them cluttered.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.npz" for number in range(-(-count // _PART))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    if missing:
        with ProcessPoolExecutor(processes) as drawers:
            list(drawers.map(_draw_empty if empty else _draw, [paths[number] for number in missing], missing))
    return PictureSet([Part(path) for path in paths])


def _draw(path: Path, number: int) -> None:
    # No part uses a place of another: a place has less pictures than a part.
    write_part(path, (view.labelled() for view in views(_PART, TRAINING + number * _PART, empty=_NOBODY)))


def _draw_empty(path: Path, number: int) -> None:
    of_nobody = views(_PART, EMPTY_TRAINING + number * _PART, empty=1.0, per_place=1, cluttered=True)
    write_part(path, (view.labelled() for view in of_nobody))
