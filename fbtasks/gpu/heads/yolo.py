"""Ultralytics' heads: one score for each class and anchor, or a short list that is ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from onnx import TensorProto

from fbtasks.gpu.heads.export import Export
from fbtasks.gpu.heads.graph import CLASS_ID, CONFIDENCE, PREFIX, XYXY, Nodes, Reduction
from fbtasks.gpu.heads.head import Pixels

_LONGEST_LIST = 1000
"""Rows of a list that is ready; Ultralytics' has 300. YOLOX's anchors are more at any usual size of picture."""
_CLASS = TensorProto.INT32


@dataclass(frozen=True, slots=True)
class AnchorFreeYolo:
    """Ultralytics' YOLOv8 and YOLO11: `[B, 4 + classes, anchors]`, box centre and size in input pixels, then scores.

    Each anchor gives one candidate, of its best class, as Ultralytics' own prediction does (NMS with
    `multi_label=False`). So keeping the K best anchors loses nothing as long as at most K pass the threshold.
    """

    UNDERSTOOD: ClassVar[str] = "YOLOv8 and YOLO11 detection, one output [batch, 4 + classes, anchors]"
    HEADS: ClassVar[frozenset[str]] = frozenset({"Detect", "v10Detect"})
    pixels: ClassVar[Pixels] = Pixels.RGB_TO_ONE

    output: str
    classes: int
    anchors: int
    opset: int

    @classmethod
    def recognise(cls, export: Export, names: Mapping[int, str]) -> Self | None:
        """The head, if there is one output of the right form and it is a detector's."""
        match list(export.outputs.items()):
            case [(name, (_, rows, int(anchors)))] if rows == 4 + len(names):
                return cls(name, len(names), anchors, export.opset)
        return None

    def reduction(self, top_k: int) -> Reduction:
        """The best class of each anchor, the best anchors of each picture, and their boxes as corners."""
        graph = Nodes(self.opset)
        candidates = min(top_k, self.anchors)
        rows = 4 + self.classes
        best = graph.greatest(graph.part(self.output, 1, 4, rows, "scores"), 1, "best", keepdims=1)
        confidence = graph.add("TopK", [best, graph.ints("k", [candidates])], "top", "anchor", axis=2)
        # Which class was the best is asked of the K chosen anchors alone, not of all.
        anchor = graph.add("Expand", [f"{PREFIX}anchor", graph.ints("spread", [1, rows, 1])], "anchors")
        kept = graph.add("GatherElements", [self.output, anchor], "kept", axis=2)
        graph.output("Reshape", [confidence, graph.ints("flat", [0, -1])], CONFIDENCE)
        scores = graph.part(kept, 1, 4, rows, "kept_scores")
        graph.output("Cast", [graph.add("ArgMax", [scores], "classes", axis=1, keepdims=0)], CLASS_ID, to=_CLASS)
        corners = graph.corners(graph.part(kept, 1, 0, 2, "centre"), graph.part(kept, 1, 2, 4, "size"), axis=1)
        graph.output("Transpose", [corners], XYXY, perm=[0, 2, 1])
        return Reduction(graph.nodes, graph.constants, candidates)


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """A list that is ready: `[B, N, 6]`, corners in input pixels, score, class number; unused rows have score 0.

    YOLOv10 and YOLO26, and what Ultralytics exports with `nms=True`.
    """

    UNDERSTOOD: ClassVar[str] = "end-to-end detection, one output [batch, rows, 6]: corners, score, class"
    HEADS: ClassVar[frozenset[str]] = frozenset({"Detect", "v10Detect", "RTDETRDecoder"})
    pixels: ClassVar[Pixels] = Pixels.RGB_TO_ONE

    output: str
    rows: int
    opset: int

    @classmethod
    def recognise(cls, export: Export, names: Mapping[int, str]) -> Self | None:
        """The head, if the form fits and the export does not say that its list is not ready."""
        if export.metadata.get("end2end") == "False" and not export.ends_in_nms:
            return None
        match list(export.outputs.items()):
            case [(name, (_, int(rows), 6))] if rows <= _LONGEST_LIST:
                return cls(name, rows, export.opset)
        return None

    def reduction(self, top_k: int) -> Reduction:
        """The best rows, in order."""
        graph = Nodes(self.opset)
        candidates = min(top_k, self.rows)
        scores = graph.add("Reshape", [graph.part(self.output, 2, 4, 5, "scores"), graph.ints("flat", [0, -1])], "best")
        kept = graph.best_rows(self.output, scores, 6, candidates)
        graph.output("Identity", [graph.part(kept, 2, 0, 4, "corners")], XYXY)
        number = graph.part(kept, 2, 5, 6, "class_column")
        number = graph.add("Reshape", [number, graph.ints("flat_classes", [0, -1])], "classes")
        graph.output("Cast", [number], CLASS_ID, to=_CLASS)
        return Reduction(graph.nodes, graph.constants, candidates)
