"""A detector of a few weights with the outside of a YOLO11 export: quick to build, open to every variation."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

NAMES = {0: "horse", 1: "person", 2: "dog"}
STRIDE = 32


def build(
    *,
    names: str | None = repr(NAMES),
    batch: int | str = "batch",
    size: tuple[int | str, int | str] = ("height", "width"),
    opset: int = 17,
    element: int = TensorProto.FLOAT,
    rows: int = 4 + len(NAMES),
    task: str = "detect",
) -> ModelProto:
    """The model, from `images` `[batch, 3, height, width]` to `output0` `[batch, rows, anchors]`, one for each cell."""
    draw = np.random.default_rng(7)
    kind = helper.tensor_dtype_to_np_dtype(element)
    weights = draw.normal(0, 0.05, (rows, 3, STRIDE, STRIDE)).astype(kind)
    scale = np.concatenate([np.full(4, 100), np.ones(rows - 4)]).reshape(1, rows, 1).astype(kind)
    nodes = [
        helper.make_node("Conv", ["images", "weights"], ["cells"], strides=[STRIDE, STRIDE]),
        helper.make_node("Sigmoid", ["cells"], ["activations"]),
        helper.make_node("Reshape", ["activations", "flat"], ["anchors"]),
        helper.make_node("Mul", ["anchors", "scale"], ["output0"]),
    ]
    constants = {"weights": weights, "scale": scale, "flat": np.array([0, rows, -1])}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", element, [batch, 3, *size])],
        [helper.make_tensor_value_info("output0", element, [batch, rows, "anchors"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    metadata = {"task": task, "stride": str(STRIDE), "license": "Apache-2.0", "end2end": "False"}
    helper.set_model_props(model, metadata | ({"names": names} if names is not None else {}))
    return model


def saved(folder: Path, model: ModelProto | None = None) -> Path:
    """Path of the model as a file in `folder`."""
    path = folder / "tiny.onnx"
    save(model or build(), str(path))
    return path
