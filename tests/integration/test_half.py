"""Half precision: which nodes compute in it, and that the result is the same within its rounding."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference

from fbtasks.gpu.half import HEAVY, half_graph, to_half
from fbtasks.gpu.model import FRAMES, PreparedModel, prepare
from fbtasks.gpu.onnx_engine import CPU, OUTPUTS
from tests import tiny_detector
from tests.tiny_heads import FAMILIES

SIZE = (96, 64)


def types(model: ModelProto) -> dict[str, int]:
    """Element type of every tensor."""
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        constant.name: constant.data_type for constant in graph.initializer
    }


def run(path: Path, width: int, height: int) -> list[np.ndarray]:
    frames = np.random.default_rng(1).integers(0, 256, (3, height, width, 3), np.uint8)
    session = ort.InferenceSession(str(path), providers=[CPU])
    return session.run(OUTPUTS, {FRAMES: frames})  # type: ignore[no-any-return]


def prepared(folder: Path, model: ModelProto) -> PreparedModel:
    path = folder / "tiny.onnx"
    onnx.save(model, path)
    return prepare(path, folder, input_size=SIZE, top_k=5)


@pytest.mark.parametrize("family", [*FAMILIES, "yolo11"])
def test_the_heavy_nodes_are_in_half_precision_and_the_boxes_are_not(tmp_path: Path, family: str) -> None:
    source = tiny_detector.build() if family == "yolo11" else FAMILIES[family]().model
    model = prepared(tmp_path, source)
    path = half_graph(model.path)
    halved = onnx.load(path)
    onnx.checker.check_model(halved, full_check=True)
    kinds = types(halved)
    heavy = [node for node in halved.graph.node if node.op_type in HEAVY]
    assert heavy
    assert {kinds[name] for node in heavy for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}
    after = [node for node in halved.graph.node if node.op_type in {"TopK", "Sigmoid", "Exp", "ReduceMax"}]
    assert TensorProto.FLOAT16 not in {kinds[name] for node in after for name in node.input}

    exact, close = run(model.path, *SIZE), run(path, *SIZE)
    np.testing.assert_allclose(close[1], exact[1], atol=5e-3)
    np.testing.assert_array_equal(close[2].shape, exact[2].shape)
    same = close[2] == exact[2]
    assert same.mean() > 0.7, "close scores may change places"
    assert np.abs(close[0] - exact[0])[same].max() < 1.5


@pytest.mark.parametrize("name", ["yolo11n", "yolox_nano"])
def test_a_real_model_is_half_as_large_and_agrees(shared_data: Path, tmp_path: Path, name: str) -> None:
    model = prepare(shared_data / "models" / f"{name}.onnx", tmp_path)
    path = half_graph(model.path)
    assert path.stat().st_size < 0.55 * model.path.stat().st_size
    exact, close = run(model.path, 640, 640), run(path, 640, 640)
    np.testing.assert_allclose(close[1][:, :20], exact[1][:, :20], atol=5e-3)


def test_the_converted_file_is_made_once(tmp_path: Path) -> None:
    model = prepared(tmp_path, tiny_detector.build())
    first = half_graph(model.path).stat()
    assert half_graph(model.path).stat().st_mtime_ns == first.st_mtime_ns


def test_an_export_in_half_precision_stays_what_it_is(tmp_path: Path) -> None:
    model = prepared(tmp_path, tiny_detector.build(element=TensorProto.FLOAT16))
    for exact, same in zip(run(model.path, *SIZE), run(half_graph(model.path), *SIZE), strict=True):
        np.testing.assert_array_equal(exact, same)


def graph_of(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray] | None = None) -> ModelProto:
    """From `x` float32 `[1, 3, 4, 4]` to `y`."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, None, None])],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


WEIGHTS = np.full((2, 3, 1, 1), 1e6, np.float32)


def test_weights_beyond_its_range_become_the_largest_there_is() -> None:
    model = graph_of(helper.make_node("Conv", ["x", "w"], ["y"], name="conv"), constants={"w": WEIGHTS})
    [weights] = to_half(model).graph.initializer
    assert numpy_helper.to_array(weights).max() == np.finfo(np.float16).max


def test_a_constant_that_both_sides_need_is_there_in_both_types() -> None:
    model = graph_of(
        helper.make_node("Mul", ["x", "c"], ["scaled"], name="mul"),
        helper.make_node("Conv", ["scaled", "w"], ["conv"], name="conv"),
        helper.make_node("Add", ["conv", "c"], ["y"], name="add"),
        constants={"c": np.array(0.1, np.float32), "w": WEIGHTS / 1e6},
    )
    halved = to_half(model)
    onnx.checker.check_model(halved, full_check=True)
    kinds = {constant.name: constant.data_type for constant in halved.graph.initializer}
    assert kinds == {"c": TensorProto.FLOAT, "half/c": TensorProto.FLOAT16, "half/w": TensorProto.FLOAT16}


def test_sizes_and_scales_stay_as_onnx_wants_them() -> None:
    model = graph_of(
        helper.make_node("Resize", ["x", "", "scales"], ["large"], name="resize"),
        helper.make_node("Conv", ["large", "w"], ["y"], name="conv"),
        constants={"scales": np.array([1, 1, 2, 2], np.float32), "w": WEIGHTS / 1e6},
    )
    halved = to_half(model)
    onnx.checker.check_model(halved, full_check=True)
    assert types(halved)["scales"] == TensorProto.FLOAT


@pytest.mark.parametrize("attribute", [{"value_float": 0.5}, {"value": helper.make_tensor("", 1, [], [0.5])}])
def test_constants_within_nodes_fit_their_consumers(attribute: dict[str, Any]) -> None:
    model = graph_of(
        helper.make_node("Constant", [], ["c"], name="constant", **attribute),
        helper.make_node("Mul", ["x", "c"], ["scaled"], name="mul"),
        helper.make_node("Conv", ["scaled", "w"], ["y"], name="conv"),
        constants={"w": WEIGHTS / 1e6},
    )
    halved = to_half(model)
    onnx.checker.check_model(halved, full_check=True)
    session = ort.InferenceSession(halved.SerializeToString(), providers=[CPU])
    [found] = session.run(None, {"x": np.ones((1, 3, 4, 4), np.float32)})
    np.testing.assert_allclose(found, 1.5, rtol=1e-3)


def test_a_graph_with_control_flow_is_left_alone() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["out"])], "branch", [], [helper.make_empty_tensor_value_info("out")]
    )
    model = graph_of(
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
        constants={"yes": np.array(True)},
    )
    assert to_half(model) == model
