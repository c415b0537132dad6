"""A detector for the drawn stable, and for nothing else: it finds a horse by the colour of its coat.

It is a real ONNX model with the input and output of a YOLO11 export, so that every stage of the pipeline runs as it
does with a trained detector, in about 10 ms a picture on one core. It knows nothing of shape: a brown blanket is a
horse to it. To watch real horses, set `gpu.model` to the export of a trained model.

How it works: the picture is halved; a pixel belongs to a class when three linear inequalities of its red, green and
blue hold (one convolution of 1x1); lone pixels are smoothed away; the box reaches from the first to the last row and
column with a pixel of the class. So there is one box for each class, with no confidence when there are no pixels.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

SIZE = 640
"""Width and height of the input, pixels."""
HALVED = SIZE // 2
NAMES = {0: "person", 1: "horse"}
OPSET = 17

PERSON_RULES = ((-1.4, 0.0, 1.0, 0.0), (0.0, -1.2, 1.0, 0.0), (0.0, 0.0, 1.0, -0.2))
"""Blue working clothes: `a * red + b * green + c * blue + d > 0` for each, colours from 0 to 1."""
HORSE_RULES = ((1.0, -1.5, 0.0, 0.0), (0.0, 1.0, -1.15, 0.0), (1.0, 0.0, 0.0, -0.15))
"""A chestnut's coat: far more red than green, more green than blue, not black. Wood and straw have too much green."""

SURE_PIXELS = 400.0
"""Pixels of the halved picture from which the confidence is full: 20 x 20, a horse at the far end of a long aisle."""
FULL_CONFIDENCE = 0.95


def write_colour_model(path: Path) -> None:
    """Write the detector as an ONNX file of a few kilobytes.

    Input `images`, float32 `[batch, 3, 640, 640]`, RGB, 0 to 1. Output `output0`, float32 `[batch, 6, 2]`: for each of
    two candidates (a person, a horse) the box's centre and size in input pixels, then the score of each class.
    """
    onnx.save(colour_model(), path)


def colour_model() -> ModelProto:
    """The detector; see `write_colour_model`."""
    graph = helper.make_graph(
        [*_pixels_of_classes(), *_boxes(), *_scores(), _node("Concat", ["boxes", "scores"], "output0", axis=1)],
        "colour-detector-for-drawn-pictures",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 4 + len(NAMES), len(NAMES)])],
        [numpy_helper.from_array(value, name) for name, value in _constants().items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, _metadata())
    onnx.checker.check_model(model, full_check=True)
    return model


def _metadata() -> dict[str, str]:
    """The keys that an export by Ultralytics carries."""
    return {
        "description": "Colour detector for the drawn pictures of the fbtasks demonstration; finds no real animal",
        "author": "fbtasks",
        "license": "Apache-2.0",
        "task": "detect",
        "stride": "32",
        "batch": "1",
        "imgsz": str([SIZE, SIZE]),
        "names": str(NAMES),
    }


def _pixels_of_classes() -> list[NodeProto]:
    """`mask`, `[batch, 2, 320, 320]`: 1 where a pixel and most of those around it have the class's colour."""
    return [
        _node("AveragePool", ["images"], "halved", kernel_shape=[2, 2], strides=[2, 2]),
        _node("Conv", ["halved", "colour_weight", "colour_bias"], "inequalities"),
        helper.make_node("Split", ["inequalities", "per_class"], ["first", "second", "third"], axis=1),
        _node("Min", ["first", "second", "third"], "weakest"),
        *_is_above("weakest", "zero", "coloured"),
        _node("AveragePool", ["coloured"], "density", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1],
              count_include_pad=1),
        *_is_above("density", "half", "mask"),
    ]  # fmt: skip


def _boxes() -> list[NodeProto]:
    """`boxes`, `[batch, 4, 2]`: centre x, centre y, width, height, in pixels of the input.

    The ends come from maxima over a ramp, not from ArgMax: choosing the last of equal maxima is an option of it that
    not every execution provider has.
    """
    nodes = []
    for axis, over in (("x", 2), ("y", 3)):
        nodes += [
            _node("ReduceMax", ["mask"], f"{axis}_line", axes=[over], keepdims=0),
            _node("Mul", [f"{axis}_line", "ramp_up"], f"{axis}_ends"),
            _node("Mul", [f"{axis}_line", "ramp_down"], f"{axis}_rest"),
            _node("ReduceMax", [f"{axis}_ends"], f"{axis}_high", axes=[2], keepdims=0),
            _node("ReduceMax", [f"{axis}_rest"], f"{axis}_from_end", axes=[2], keepdims=0),
            _node("Sub", ["extent", f"{axis}_from_end"], f"{axis}_low"),
            # Halves of the sum and of the difference, in pixels twice as large as the input's.
            _node("Add", [f"{axis}_low", f"{axis}_high"], f"{axis}_centre"),
            _node("Sub", [f"{axis}_high", f"{axis}_low"], f"{axis}_difference"),
            _node("Relu", [f"{axis}_difference"], f"{axis}_width"),
            _node("Add", [f"{axis}_width", f"{axis}_width"], f"{axis}_size"),
        ]
    rows = ["x_centre", "y_centre", "x_size", "y_size"]
    lifted = [_node("Unsqueeze", [row, "axis_1"], f"{row}_row") for row in rows]
    return [*nodes, *lifted, _node("Concat", [f"{row}_row" for row in rows], "boxes", axis=1)]


def _scores() -> list[NodeProto]:
    """`scores`, `[batch, 2, 2]`: each candidate scores for its own class only."""
    return [
        helper.make_node("ReduceSum", ["mask", "axes_2_3"], ["area"], keepdims=0),
        _node("Mul", ["area", "confidence_per_pixel"], "unbounded"),
        _node("Min", ["unbounded", "full_confidence"], "confidence"),
        _node("Unsqueeze", ["confidence", "axis_1"], "confidence_row"),
        _node("Mul", ["confidence_row", "own_class"], "scores"),
    ]


def _constants() -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    # By inequality first, so that each third of the channels holds one inequality of every class.
    rules = np.array([PERSON_RULES, HORSE_RULES], np.float32).transpose(1, 0, 2).reshape(-1, 4)
    ramp = np.arange(1, HALVED + 1, dtype=np.float32)
    return {
        "colour_weight": np.ascontiguousarray(rules[:, :3]).reshape(-1, 3, 1, 1),
        "colour_bias": np.ascontiguousarray(rules[:, 3]),
        "per_class": np.full(3, len(NAMES), np.int64),
        "zero": np.array(0.0, np.float32),
        "half": np.array(0.5, np.float32),
        "ramp_up": ramp,
        "ramp_down": np.ascontiguousarray(ramp[::-1]),
        "extent": np.array(HALVED, np.float32),
        "axis_1": np.array([1], np.int64),
        "axes_2_3": np.array([2, 3], np.int64),
        "confidence_per_pixel": np.array(FULL_CONFIDENCE / SURE_PIXELS, np.float32),
        "full_confidence": np.array(FULL_CONFIDENCE, np.float32),
        "own_class": np.eye(len(NAMES), dtype=np.float32)[None],
    }


def _is_above(values: str, threshold: str, name: str) -> list[NodeProto]:
    """1 where `values` are above the threshold, 0 elsewhere."""
    return [
        _node("Greater", [values, threshold], f"{name}_or_not"),
        _node("Cast", [f"{name}_or_not"], name, to=TensorProto.FLOAT),
    ]


def _node(operator: str, inputs: list[str], output: str, **attributes: int | list[int]) -> NodeProto:
    return helper.make_node(operator, inputs, [output], None, None, None, None, **attributes)
