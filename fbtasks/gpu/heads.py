"""Detection heads: what a model's raw output means, and the graph nodes that cut it down to the best candidates.

A head is recognised from what the export says of itself: its outputs and its metadata. To teach the worker another
family, write one class with the two parts of `Head` and add it to `FAMILIES`.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from onnx import NodeProto, TensorProto, helper

from fbtasks.errors import ModelUnsupported

XYXY, CONFIDENCE, CLASS_ID = "xyxy", "confidence", "class_id"
"""Names of a prepared graph's outputs."""

PREFIX, SOURCE = "fbtasks/", "source/"
"""Begin the names of tensors in a prepared graph: of those that were added, and of the detector's own."""

_AXES_ARE_AN_INPUT = 18
"""First opset in which ReduceMax takes its axes as an input; before they are an attribute."""

Shape = tuple[int | None, ...]
"""Of a tensor; None where the export leaves a dimension open."""


def described(shape: Shape) -> str:
    """Such as `[?, 84, 8400]`."""
    return f"[{', '.join('?' if dim is None else str(dim) for dim in shape)}]"


def _own_name(tensor: str) -> str:
    return tensor.removeprefix(PREFIX).removeprefix(SOURCE)


@dataclass(frozen=True, slots=True)
class Export:
    """What an ONNX file says of itself.

    Attributes:
        outputs: shape of each output by name, float32, at the input size that will be used.
        metadata: key and value strings that the exporter left.
        opset: version of the operators.
    """

    outputs: Mapping[str, Shape]
    metadata: Mapping[str, str]
    opset: int

    def described(self) -> str:
        """The outputs in words, for error messages."""
        outputs = (f"{_own_name(name)} {described(shape)}" for name, shape in self.outputs.items())
        task = self.metadata.get("task")
        return ", ".join(outputs) + (f" (task {task!r})" if task else "")


@dataclass(frozen=True, slots=True)
class Reduction:
    """Nodes that compute `xyxy`, `confidence` and `class_id` from a model's outputs, and how many rows they keep."""

    nodes: list[NodeProto]
    constants: list[TensorProto]
    candidates: int


class Head(Protocol):
    """One family of detection heads."""

    UNDERSTOOD: ClassVar[str]
    """What this family looks like, for the error message when none fits."""

    @classmethod
    def recognise(cls, export: Export, names: Mapping[int, str]) -> Self | None:
        """The head of this export, or None if it is of another family."""

    def reduction(self, top_k: int) -> Reduction:
        """Nodes from the model's outputs to at most `top_k` candidates per picture, best first.

        They make `xyxy` float32 `[B, K, 4]` in input pixels, `confidence` float32 `[B, K]` and `class_id` int32
        `[B, K]`.
        """


@dataclass(frozen=True, slots=True)
class AnchorFreeYolo:
    """Ultralytics' YOLOv8 and YOLO11: `[B, 4 + classes, anchors]`, box centre and size in input pixels, then scores.

    Each anchor gives one candidate, of its best class, as Ultralytics' own prediction does (NMS with
    `multi_label=False`). So keeping the K best anchors loses nothing as long as at most K pass the threshold.
    """

    UNDERSTOOD: ClassVar[str] = "YOLOv8 and YOLO11 detection, one output [batch, 4 + classes, anchors]"

    output: str
    classes: int
    anchors: int
    opset: int

    @classmethod
    def recognise(cls, export: Export, names: Mapping[int, str]) -> Self | None:
        """The head, if there is one output of the right form and it is a detector's."""
        if len(export.outputs) != 1 or export.metadata.get("task", "detect") != "detect":
            return None
        [(name, shape)] = export.outputs.items()
        match shape:
            case (_, rows, int(anchors)) if rows == 4 + len(names):
                return cls(name, len(names), anchors, export.opset)
        return None

    def reduction(self, top_k: int) -> Reduction:
        """The best class of each anchor, the best anchors of each picture, and their boxes as corners."""
        graph = _Nodes()
        candidates = min(top_k, self.anchors)
        rows = 4 + self.classes
        scores = graph.rows(self.output, 4, rows, "scores")
        best = self._best(graph, scores)
        confidence = graph.add("TopK", [best, graph.ints("k", [candidates])], "top", "anchor", axis=2)
        # Which class was the best is asked of the K chosen anchors alone, not of all.
        anchor = graph.add("Expand", [f"{PREFIX}anchor", graph.ints("spread", [1, rows, 1])], "anchors")
        kept = graph.add("GatherElements", [self.output, anchor], "kept", axis=2)
        graph.output("Reshape", [confidence, graph.ints("flat", [0, -1])], CONFIDENCE)
        classes = graph.add("ArgMax", [graph.rows(kept, 4, rows, "kept_scores")], "classes", axis=1, keepdims=0)
        graph.output("Cast", [classes], CLASS_ID, to=TensorProto.INT32)
        graph.output("Transpose", [_corners(graph, kept)], XYXY, perm=[0, 2, 1])
        return Reduction(graph.nodes, graph.constants, candidates)

    def _best(self, graph: "_Nodes", scores: str) -> str:
        """Score of each anchor's best class, `[B, 1, anchors]`."""
        if self.opset >= _AXES_ARE_AN_INPUT:
            return graph.add("ReduceMax", [scores, graph.ints("class_axis", [1])], "best", keepdims=1)
        return graph.add("ReduceMax", [scores], "best", axes=[1], keepdims=1)


FAMILIES: tuple[type[Head], ...] = (AnchorFreeYolo,)


def recognise(export: Export) -> tuple[Head, dict[int, str]]:
    """The head of an export and its class names.

    Raises:
        ModelUnsupported: no known family fits, or the class names are missing or malformed.
    """
    names = class_names(export.metadata)
    for family in FAMILIES:
        head = family.recognise(export, names)
        if head is not None:
            return head, names
    understood = "; ".join(family.UNDERSTOOD for family in FAMILIES)
    raise ModelUnsupported(
        f"the model's output is {export.described()} with {len(names)} class names, which is no known detection head; "
        f"understood: {understood}. Export a detection model with nms=False and without end-to-end head"
    )


def class_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Class names by number, from the `names` that Ultralytics' exporter leaves as a Python dict literal.

    Raises:
        ModelUnsupported: there are none, or they are no dict of consecutive numbers from 0 to non-empty names.
    """
    literal = metadata.get("names")
    if literal is None:
        raise ModelUnsupported(
            "the model carries no class names (metadata 'names'): export it with ultralytics, or add the metadata, "
            "a dict such as {0: 'horse', 1: 'person'}"
        )
    try:
        names = ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = None
    if not _are_names(names):
        raise ModelUnsupported(
            f"the model's class names (metadata 'names') must be a dict of 0, 1, 2, ... to names, not {literal[:80]!r}"
        )
    return dict(names)


def _are_names(names: object) -> bool:
    return (
        isinstance(names, dict)
        and len(names) > 0
        and set(names) == set(range(len(names)))
        and all(isinstance(name, str) and name for name in names.values())
    )


class _Nodes:
    """Collects nodes and constants under names of our own."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def ints(self, name: str, values: list[int]) -> str:
        self.constants.append(helper.make_tensor(f"{PREFIX}{name}", TensorProto.INT64, [len(values)], values))
        return f"{PREFIX}{name}"

    def add(self, operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add a node whose outputs get our prefix; returns the first one's name."""
        names = [f"{PREFIX}{output}" for output in outputs]
        self.nodes.append(helper.make_node(operator, inputs, names, name=f"{names[0]}/{operator}", **attributes))
        return names[0]

    def output(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Add a node that makes an output of the graph."""
        name = f"{PREFIX}{output}/{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))

    def rows(self, tensor: str, start: int, end: int, name: str) -> str:
        """Rows `start` to `end` of axis 1."""
        bounds = [self.ints(f"{name}/{part}", [value]) for part, value in (("start", start), ("end", end), ("axis", 1))]
        return self.add("Slice", [tensor, *bounds], name)


def _corners(graph: _Nodes, boxes: str) -> str:
    """Left, top, right, bottom `[B, 4, K]` of boxes whose first four rows are centre and size."""
    graph.constants.append(helper.make_tensor(f"{PREFIX}half", TensorProto.FLOAT, [], [0.5]))
    centre = graph.rows(boxes, 0, 2, "centre")
    half = graph.add("Mul", [graph.rows(boxes, 2, 4, "size"), f"{PREFIX}half"], "half_size")
    low = graph.add("Sub", [centre, half], "low")
    high = graph.add("Add", [centre, half], "high")
    return graph.add("Concat", [low, high], "corners", axis=1)
