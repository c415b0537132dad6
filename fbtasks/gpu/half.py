"""A prepared graph in half precision: float16 where the time goes, float32 where digits count.

TensorRT lowers the precision by itself when it is allowed to; the CUDA provider computes in the types it is given, so
there the graph must be converted. Float16 is for everything up to the last convolution or matrix product. What comes
after that stays float32, and it is cheap: coordinates of boxes, which float16 would round to half a pixel beyond 512,
scores, and the choice of candidates. So does the scaling of the pixels before.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from fbtasks.gpu.graph_cache import kept
from fbtasks.gpu.heads import PREFIX as ADDED

PREFIX = "half/"
"""Begins the names of tensors in float16."""

HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
"""Operators that make the cost of a detector."""
_NEVER = frozenset(
    {"Range", "NonMaxSuppression", "CumSum", "TopK", "RoiAlign", "GridSample", "Upsample"}
    | {"QuantizeLinear", "DequantizeLinear"}
)
"""Have no float16 kernel on the CUDA provider, or none in ONNX's older operators."""
_ONLY_FIRST = frozenset({"Resize"})
"""Whose other inputs are float32 by ONNX's definition."""
_LARGEST = float(np.finfo(np.float16).max)
_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def half_graph(path: Path) -> Path:
    """The file of the same prepared graph in half precision, made beside it if need be."""
    return kept(path.with_suffix(".half.onnx"), lambda: to_half(onnx.load(path)).SerializeToString())


def to_half(model: ModelProto) -> ModelProto:
    """The model with everything up to its last heavy operator in float16; inputs and outputs stay what they are.

    One with control flow (a graph within a node) is returned as it is.
    """
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        return model
    halved = ModelProto()
    halved.CopyFrom(model)
    _Conversion(halved.graph, _float_tensors(model)).run()
    del halved.graph.value_info[:]  # tells types that are no longer true
    return halved


def _float_tensors(model: ModelProto) -> set[str]:
    """Names of all float32 tensors."""
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name for value in values if value.type.tensor_type.elem_type == _FLOAT} | {
        constant.name for constant in graph.initializer if constant.data_type == _FLOAT
    }


class _Conversion:
    """Rewrites one graph."""

    def __init__(self, graph: GraphProto, floats: set[str]) -> None:
        self._graph = graph
        self._floats = floats
        self._constants = {constant.name: constant for constant in graph.initializer}
        self._halved: set[str] = set()

    def run(self) -> None:
        chosen = self._chosen()
        nodes: list[NodeProto] = []
        outside = {output.name for output in self._graph.output}
        for place, node in enumerate(self._graph.node):
            if place not in chosen:
                outside |= {*node.input}
        for place, node in enumerate(self._graph.node):
            if place not in chosen:
                nodes.append(node)
                continue
            nodes += self._converted(node)
            nodes += [_cast(PREFIX + name, name, _FLOAT) for name in node.output if name in self._floats & outside]
        used = {name for node in nodes for name in node.input}
        constants = [constant for constant in self._graph.initializer if constant.name in used]
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(nodes)
        self._graph.initializer.extend(constants)

    def _chosen(self) -> set[int]:
        """Places of the nodes that compute in float16: the heavy ones and all floats that lead to one.

        The scaling of the pixels leads to one too, and stays outside.
        """
        leads: set[str] = set()
        chosen: set[int] = set()
        for place, node in reversed([*enumerate(self._graph.node)]):
            if node.op_type in HEAVY or leads & {*node.output}:
                leads |= {*node.input} & self._floats
                if self._floats & {*node.output} and self._may_change(node):
                    chosen.add(place)
        return chosen

    def _may_change(self, node: NodeProto) -> bool:
        """Whether the type of its output follows from what can be changed: its inputs, or a constant it carries."""
        if node.op_type in _NEVER or node.name.startswith(ADDED):
            return False
        carries = any(attribute.HasField("t") and attribute.t.data_type == _FLOAT for attribute in node.attribute)
        return node.op_type == "Cast" or carries or bool(self._floats & {*node.input})

    def _converted(self, node: NodeProto) -> list[NodeProto]:
        """The node in float16, after the casts of what it is the first to need."""
        before: list[NodeProto] = []
        made = NodeProto()
        made.CopyFrom(node)
        for place, name in enumerate(node.input):
            if name in self._floats and not (node.op_type in _ONLY_FIRST and place > 0):
                before += self._needed(name)
                made.input[place] = PREFIX + name
        for place, name in enumerate(node.output):
            if name in self._floats:
                self._halved.add(name)
                made.output[place] = PREFIX + name
        for attribute in made.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT:
                attribute.i = _HALF
            elif attribute.HasField("t") and attribute.t.data_type == _FLOAT:
                attribute.t.CopyFrom(_half_constant(attribute.t, attribute.t.name))
        return [*before, made]

    def _needed(self, name: str) -> list[NodeProto]:
        """What makes the float16 form of a tensor, unless it is there already."""
        if name in self._halved:
            return []
        self._halved.add(name)
        if name in self._constants:
            self._graph.initializer.append(_half_constant(self._constants[name], PREFIX + name))
            return []
        return [_cast(name, PREFIX + name, _HALF)]


def _cast(tensor: str, made: str, element: int) -> NodeProto:
    return helper.make_node("Cast", [tensor], [made], name=f"{made}/Cast to {element}", to=element)


def _half_constant(constant: TensorProto, name: str) -> TensorProto:
    values: NDArray[Any] = numpy_helper.to_array(constant)
    finite = np.isfinite(values)
    return numpy_helper.from_array(
        np.where(finite, np.clip(values, -_LARGEST, _LARGEST), values).astype(np.float16), name
    )
