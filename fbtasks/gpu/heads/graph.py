"""Nodes that are put around a detector: how they are named and joined."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

XYXY, CONFIDENCE, CLASS_ID = "xyxy", "confidence", "class_id"
"""Names of a prepared graph's outputs."""

PREFIX, SOURCE = "fbtasks/", "source/"
"""Begin the names of tensors in a prepared graph: of those that were added, and of the detector's own."""

_AXES_ARE_AN_INPUT = 18
"""First opset in which ReduceMax takes its axes as an input; before they are an attribute."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """Nodes that compute `xyxy`, `confidence` and `class_id` from a model's outputs, and how many rows they keep."""

    nodes: list[NodeProto]
    constants: list[TensorProto]
    candidates: int


class Nodes:
    """Collects nodes and constants under names of our own."""

    def __init__(self, opset: int) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._opset = opset

    def ints(self, name: str, values: list[int]) -> str:
        """A constant int64 `[n]`."""
        return self._constant(name, np.array(values, np.int64))

    def floats(self, name: str, values: Any) -> str:
        """A constant float32, of the shape of the values."""
        return self._constant(name, np.array(values, np.float32))

    def add(self, operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add a node whose outputs get our prefix; returns the first one's name."""
        names = [f"{PREFIX}{output}" for output in outputs]
        self.nodes.append(helper.make_node(operator, inputs, names, name=f"{names[0]}/{operator}", **attributes))
        return names[0]

    def output(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Add a node that makes an output of the graph."""
        name = f"{PREFIX}{output}/{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))

    def part(self, tensor: str, axis: int, start: int, end: int, name: str) -> str:
        """From `start` to `end` on one axis."""
        bounds = [
            self.ints(f"{name}/{key}", [value]) for key, value in (("start", start), ("end", end), ("axis", axis))
        ]
        return self.add("Slice", [tensor, *bounds], name)

    def greatest(self, tensor: str, axis: int, name: str, *, keepdims: int) -> str:
        """The greatest value on one axis."""
        if self._opset >= _AXES_ARE_AN_INPUT:
            return self.add("ReduceMax", [tensor, self.ints(f"{name}/axis", [axis])], name, keepdims=keepdims)
        return self.add("ReduceMax", [tensor], name, axes=[axis], keepdims=keepdims)

    def corners(self, centre: str, size: str, axis: int) -> str:
        """Left, top, right, bottom of boxes that are given by centre and size; x and y lie on `axis`."""
        half = self.add("Mul", [size, self.floats("half", 0.5)], "half_size")
        low = self.add("Sub", [centre, half], "low")
        high = self.add("Add", [centre, half], "high")
        return self.add("Concat", [low, high], "corners", axis=axis)

    def best_rows(self, rows: str, best: str, columns: int, candidates: int) -> str:
        """The best rows `[B, K, columns]` of `[B, N, columns]` by their scores `best` `[B, N]`, best first.

        Makes the output `confidence`, and the tensor `best_at`: int64 `[B, K]`, where each of these rows was.
        """
        at = f"{PREFIX}{BEST_AT}"
        count = self.ints("k", [candidates])
        self.nodes.append(helper.make_node("TopK", [best, count], [CONFIDENCE, at], name=f"{at}/TopK", axis=1))
        column = self.add("Reshape", [at, self.ints("as_column", [0, -1, 1])], "best_at_column")
        spread = self.add("Expand", [column, self.ints("spread", [1, 1, columns])], "best_at_spread")
        return self.add("GatherElements", [rows, spread], "kept", axis=1)

    def best_class(self, kept: str, first: int, end: int) -> None:
        """Makes the output `class_id`: which of the columns from `first` to `end` of `[B, K, ...]` is greatest."""
        scores = self.part(kept, 2, first, end, "kept_scores")
        self.output(
            "Cast", [self.add("ArgMax", [scores], "classes", axis=2, keepdims=0)], CLASS_ID, to=TensorProto.INT32
        )

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(values, f"{PREFIX}{name}"))
        return f"{PREFIX}{name}"


BEST_AT = "best_at"
"""Tensor that `Nodes.best_rows` leaves, without its prefix."""
