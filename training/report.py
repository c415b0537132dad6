"""The report on a detector, as Markdown."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
import onnx

from training.labels import NAMES

_TEMPLATE = Path(__file__).with_name("report_template.md")


@dataclass(frozen=True, slots=True)
class Figures:
    """How well somebody is found, by class.

    Attributes:
        pictures: how many.
        wanted: true boxes.
        ap50: average precision at an overlap of 0.5.
        ap: averaged over overlaps from 0.5 to 0.95.
    """

    pictures: int
    wanted: dict[int, int]
    ap50: dict[int, float]
    ap: dict[int, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures of a model.

    Attributes:
        figures: by what the pictures are.
        empty: pictures of each kind with nobody in them.
        least_sure: confidences from which boxes in these are counted.
        false: how many there are, for each of these confidences, by what the pictures are.
        speeds: milliseconds of one picture, by height of the input and threads.
    """

    figures: dict[str, Figures]
    empty: int
    least_sure: tuple[float, ...]
    false: dict[str, list[int]]
    speeds: dict[tuple[int, int], float]


def report(path: Path, measured: Measured) -> str:
    """The whole text.

    Args:
        path: of the model.
        measured: its figures.
    """
    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return _TEMPLATE.read_text().format(
        classes=", ".join(f"`{name}`" for name in NAMES.values()),
        parameters=sum(int(np.prod(weights.dims)) for weights in model.graph.initializer),
        megabytes=path.stat().st_size / 1e6,
        opset=model.opset_import[0].version,
        stride=metadata["stride"],
        training=metadata["training"],
        licence=metadata["license"],
        precision="\n".join(_precision(measured.figures)),
        false="\n".join(_false(measured)),
        speeds="\n".join(_speeds(measured.speeds)),
    )


def _precision(figures: dict[str, Figures]) -> Iterator[str]:
    yield f"| pictures | number | {' | '.join(NAMES.values())} |"
    yield "|---|" + "---:|" * (1 + len(NAMES))
    for name, one in figures.items():
        cells = [_cell(one.ap50[label], one.ap[label], one.wanted[label]) for label in NAMES]
        yield f"| {name} | {one.pictures} | {' | '.join(cells)} |"


def _false(measured: Measured) -> Iterator[str]:
    yield f"| boxes in {measured.empty} pictures of | {' | '.join(f'from {one:g}' for one in measured.least_sure)} |"
    yield "|---|" + "---:|" * len(measured.least_sure)
    for name, counts in measured.false.items():
        yield f"| {name} | {' | '.join(map(str, counts))} |"


def _cell(ap50: float, ap: float, wanted: int) -> str:
    return "none" if isnan(ap50) else f"{ap50:.3f}, {ap:.3f} ({wanted})"


def _speeds(speeds: dict[tuple[int, int], float]) -> Iterator[str]:
    threads = sorted({count for _, count in speeds})
    yield f"| input | {' | '.join(f'{count} threads' if count > 1 else '1 thread' for count in threads)} |"
    yield "|---|" + "---:|" * len(threads)
    for height in sorted({height for height, _ in speeds}, reverse=True):
        yield f"| 640x{height} | {' | '.join(f'{speeds[height, count]:.1f}' for count in threads)} |"
