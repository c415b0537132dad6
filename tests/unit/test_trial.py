"""The trial run finds what a file's shapes do not tell."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from fbtasks.errors import ModelUnsupported
from fbtasks.gpu.model import prepare
from fbtasks.gpu.trial import try_out
from tests import tiny_detector


def tried(folder: Path, model: onnx.ModelProto) -> None:
    cache = folder / "cache"
    try_out(prepare(tiny_detector.saved(folder, model), cache, input_size=(96, 64)), [1, 2, 8])


def with_constant(name: str, value: NDArray[Any]) -> onnx.ModelProto:
    """The tiny detector with another value for one of its constants."""
    model = tiny_detector.build()
    constants = model.graph.initializer
    place = [constant.name for constant in constants].index(name)
    constants[place].CopyFrom(numpy_helper.from_array(value, name))
    return model


def test_a_good_model_passes(tmp_path: Path) -> None:
    tried(tmp_path, tiny_detector.build())


def test_a_half_precision_model_passes(tmp_path: Path) -> None:
    tried(tmp_path, tiny_detector.build(element=onnx.TensorProto.FLOAT16))


def test_a_batch_that_is_open_in_name_only_is_refused(tmp_path: Path) -> None:
    model = tiny_detector.build()
    bounds = [numpy_helper.from_array(np.array([value]), name) for name, value in (("start", 0), ("end", 1))]
    model.graph.initializer.extend(bounds)
    model.graph.node[0].input[0] = "first"
    model.graph.node.insert(0, onnx.helper.make_node("Slice", ["images", "start", "end"], ["first"]))
    with pytest.raises(ModelUnsupported, match=r"1 results for a batch of 2: .* dynamic=True"):
        tried(tmp_path, model)


def test_a_graph_that_fails_at_a_larger_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnsupported, match=r"fails at a batch of 2: .* dynamic=True"):
        tried(tmp_path, with_constant("flat", np.array([1, 7, 6])))


def test_scores_without_sigmoid_are_refused(tmp_path: Path) -> None:
    model = tiny_detector.build()
    [sigmoid] = [node for node in model.graph.node if node.op_type == "Sigmoid"]
    sigmoid.op_type = "Identity"
    with pytest.raises(ModelUnsupported, match=r"scores go from .* and not from 0 to 1"):
        tried(tmp_path, model)


def test_boxes_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    scale = np.ones((1, 7, 1), np.float32)
    scale[0, :4] = np.inf
    with pytest.raises(ModelUnsupported, match="boxes are not finite"):
        tried(tmp_path, with_constant("scale", scale))


def test_scores_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    scale = np.ones((1, 7, 1), np.float32)
    scale[0, 4:] = np.nan
    with pytest.raises(ModelUnsupported, match="scores go from nan to nan"):
        tried(tmp_path, with_constant("scale", scale))


def test_an_operator_that_the_runtime_lacks_is_refused(tmp_path: Path) -> None:
    """ONNX knows a sigmoid of bfloat16, ONNX Runtime's CPU provider has none."""
    model = tiny_detector.build()
    place = [node.op_type for node in model.graph.node].index("Sigmoid")
    model.graph.node[place].CopyFrom(onnx.helper.make_node("Sigmoid", ["short"], ["short_activations"]))
    for offset, names, kind in (
        (0, (["cells"], ["short"]), onnx.TensorProto.BFLOAT16),
        (2, (["short_activations"], ["activations"]), onnx.TensorProto.FLOAT),
    ):
        model.graph.node.insert(place + offset, onnx.helper.make_node("Cast", *names, to=kind))
    with pytest.raises(ModelUnsupported, match=r"ONNX Runtime does not load the model: .*Sigmoid"):
        tried(tmp_path, model)
