"""Heads of the DETR family: a fixed number of queries, each with one box as shares of the picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from fbtasks.gpu.heads.export import Export
from fbtasks.gpu.heads.graph import XYXY, Nodes, Reduction
from fbtasks.gpu.heads.head import Pixels

_MOST_QUERIES = 1000
_BOX_NAMES = ("box", "dets")


@dataclass(frozen=True, slots=True)
class Detr:
    """Box centre and size from 0 to 1, and for each class a score: RT-DETR, D-FINE and their kin.

    Ultralytics' RT-DETR gives both in one output `[B, queries, 4 + classes]`, the scores from 0 to 1. Others give the
    boxes `[B, queries, 4]` beside logits `[B, queries, classes]`, each class by itself (sigmoid). The first DETR's
    form, a softmax with one class more for "nothing", is not meant: it wants pictures of a normalised brightness.
    """

    UNDERSTOOD: ClassVar[str] = (
        "RT-DETR and its kin, one output [batch, queries, 4 + classes], or boxes [batch, queries, 4] and logits "
        "[batch, queries, classes]"
    )
    HEADS: ClassVar[frozenset[str]] = frozenset({"RTDETRDecoder"})
    pixels: ClassVar[Pixels] = Pixels.RGB_TO_ONE

    boxes: str
    logits: str | None
    queries: int
    classes: int
    width: int
    height: int
    opset: int

    @classmethod
    def recognise(cls, export: Export, names: Mapping[int, str]) -> Self | None:
        """The head, if one output or two have the right form, and it is told which of two is which."""
        if export.ends_in_nms or export.metadata.get("end2end") == "True":
            return None
        more = len(names), export.width, export.height, export.opset
        match list(export.outputs.items()):
            case [(name, (_, int(queries), columns))] if columns == 4 + len(names) and queries <= _MOST_QUERIES:
                return cls(name, None, queries, *more)
            case [(first, (_, int(queries), one)), (second, (_, int(others), other))] if queries == others:
                sizes = {first: one, second: other}
                boxes = [name for name, size in sizes.items() if size == 4]
                if len(boxes) == len(sizes):
                    boxes = [name for name in boxes if any(word in name.lower() for word in _BOX_NAMES)]
                if len(boxes) == 1 and sizes[logits := ({*sizes} - {*boxes}).pop()] == len(names):
                    return cls(boxes[0], logits, queries, *more)
        return None

    def reduction(self, top_k: int) -> Reduction:
        """The best class of each query, the best queries, and their boxes as corners in input pixels."""
        graph = Nodes(self.opset)
        candidates = min(top_k, self.queries)
        columns = 4 + self.classes
        rows = self.boxes
        if self.logits is not None:
            rows = graph.add("Concat", [rows, graph.add("Sigmoid", [self.logits], "sigmoid")], "rows", axis=2)
        best = graph.greatest(graph.part(rows, 2, 4, columns, "scores"), 2, "best", keepdims=0)
        kept = graph.best_rows(rows, best, columns, candidates)
        graph.best_class(kept, 4, columns)
        corners = graph.corners(graph.part(kept, 2, 0, 2, "centre"), graph.part(kept, 2, 2, 4, "size"), axis=2)
        graph.output("Mul", [corners, graph.floats("picture", [self.width, self.height] * 2)], XYXY)
        return Reduction(graph.nodes, graph.constants, candidates)
