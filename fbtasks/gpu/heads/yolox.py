"""YOLOX: a score of being anything at all, times a score for each class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fbtasks.gpu.heads.export import Export
from fbtasks.gpu.heads.graph import BEST_AT, PREFIX, XYXY, Nodes, Reduction
from fbtasks.gpu.heads.head import Pixels

_LEVELS = ((8, 16, 32), (8, 16, 32, 64))
"""Strides of the usual models and of those with a fourth level."""


@dataclass(frozen=True, slots=True)
class Yolox:
    """YOLOX: `[B, anchors, 5 + classes]`, box centre and size, objectness, scores; pictures in BGR from 0 to 255.

    As Megvii's exporter writes it by default, a box is told relative to its cell: centre in cells from the cell's
    corner, size as the logarithm of cells. With `--decode_in_inference` the graph does that arithmetic itself and
    the box is in input pixels. The shapes are the same; only the second contains an exponential.
    """

    UNDERSTOOD: ClassVar[str] = "YOLOX, one output [batch, anchors, 5 + classes]"
    HEADS: ClassVar[frozenset[str]] = frozenset({"YOLOX"})
    pixels: ClassVar[Pixels] = Pixels.BGR_BYTES

    output: str
    classes: int
    strides: tuple[int, ...]
    width: int
    height: int
    decoded: bool
    opset: int

    @classmethod
    def recognise(cls, export: Export, names: Mapping[int, str]) -> Self | None:
        """The head, if there are as many anchors as cells at one of the usual sets of strides."""
        match list(export.outputs.items()):
            case [(name, (_, int(anchors), columns))] if columns == 5 + len(names):
                size = export.width, export.height
                decoded = "Exp" in export.operators
                for strides in _LEVELS:
                    if anchors == len(cells(*size, strides)):
                        return cls(name, len(names), strides, *size, decoded, export.opset)
        return None

    def reduction(self, top_k: int) -> Reduction:
        """Objectness times best class, the best anchors, and only their boxes put where they belong."""
        graph = Nodes(self.opset)
        table = cells(self.width, self.height, self.strides)
        candidates = min(top_k, len(table))
        columns = 5 + self.classes
        objectness = graph.part(self.output, 2, 4, 5, "objectness")
        best_class = graph.greatest(graph.part(self.output, 2, 5, columns, "scores"), 2, "best_class", keepdims=1)
        best = graph.add("Mul", [objectness, best_class], "best_column")
        best = graph.add("Reshape", [best, graph.ints("flat", [0, -1])], "best")
        kept = graph.best_rows(self.output, best, columns, candidates)
        graph.best_class(kept, 5, columns)
        centre, size = graph.part(kept, 2, 0, 2, "centre"), graph.part(kept, 2, 2, 4, "size")
        if not self.decoded:
            centre, size = self._placed(graph, table, centre, size)
        graph.output("Identity", [graph.corners(centre, size, axis=2)], XYXY)
        return Reduction(graph.nodes, graph.constants, candidates)

    def _placed(self, graph: Nodes, table: NDArray[np.float32], centre: str, size: str) -> tuple[str, str]:
        """Centre and size in input pixels."""
        at = f"{PREFIX}{BEST_AT}"
        corner = graph.add("Gather", [graph.floats("cells", table[:, :2]), at], "corner", axis=0)
        stride = graph.add("Gather", [graph.floats("strides", table[:, 2:]), at], "stride", axis=0)
        in_cells = graph.add("Add", [centre, corner], "centre_in_cells")
        grown = graph.add("Exp", [size], "size_in_cells")
        return graph.add("Mul", [in_cells, stride], "placed"), graph.add("Mul", [grown, stride], "sized")


def cells(width: int, height: int, strides: tuple[int, ...]) -> NDArray[np.float32]:
    """Column, row and stride of each anchor's cell, float32 `[anchors, 3]`: level by level, row by row."""
    levels = []
    for stride in strides:
        rows, columns = np.indices((height // stride, width // stride)).reshape(2, -1)
        levels.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=1))
    return np.concatenate(levels).astype(np.float32)
