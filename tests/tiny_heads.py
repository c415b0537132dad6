"""Detectors of a few weights, one for each family of heads, and what their raw outputs mean, in plain NumPy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

NAMES = {0: "horse", 1: "person", 2: "dog"}
CLASSES = len(NAMES)

Raw = list[NDArray[np.float32]]
Read = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]], NDArray[np.int64]]
"""Corners `[B, N, 4]` in input pixels, scores `[B, N]`, classes `[B, N]`: of all rows, in any order."""


@dataclass(frozen=True)
class Tiny:
    """A model and how its raw outputs are read, given the input's width and height.

    Attributes:
        bgr_bytes: whether it wants BGR from 0 to 255.
    """

    model: ModelProto
    read: Callable[[Raw, int, int], Read]
    bgr_bytes: bool = False


class _Builder:
    """Puts a model together, node after node."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._draw = np.random.default_rng(11)

    def node(self, operator: str, *inputs: str | NDArray[Any], output: str = "", **attributes: Any) -> str:
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        output = output or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def cells(self, columns: int, stride: int, spread: float = 1.0) -> str:
        """One row of numbers around 0 for each cell: `[B, cells, columns]`."""
        weights = self._draw.normal(0, spread / stride, (columns, 3, stride, stride)).astype(np.float32)
        cells = self.node("Conv", "images", weights, strides=[stride, stride])
        flat = self.node("Reshape", cells, np.array([0, columns, -1]))
        return self.node("Transpose", flat, perm=[0, 2, 1])

    def columns(self, rows: str, start: int, end: int) -> str:
        return self.node("Slice", rows, np.array([start]), np.array([end]), np.array([2]))

    def model(self, outputs: dict[str, int], metadata: dict[str, str]) -> ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "tiny",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "rows", columns])
                for name, columns in outputs.items()
            ],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, {"names": repr(NAMES), "task": "detect"} | metadata)
        return model

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name


def end_to_end() -> Tiny:
    """Corners, score and class in one list."""
    build = _Builder()
    rows = build.node("Sigmoid", build.cells(6, 32, 4.0))
    corners = build.node("Mul", build.columns(rows, 0, 4), np.array([30, 20, 90, 60], np.float32))
    number = build.node("Floor", build.node("Mul", build.columns(rows, 5, 6), np.array(CLASSES * 0.999, np.float32)))
    build.node("Concat", corners, build.columns(rows, 4, 5), number, output="output0", axis=2)

    def read(raw: Raw, _width: int, _height: int) -> Read:
        return raw[0][..., :4], raw[0][..., 4], raw[0][..., 5].astype(np.int64)

    return Tiny(build.model({"output0": 6}, {"end2end": "True"}), read)


def yolox(*, decoded: bool) -> Tiny:
    """Three levels of cells; boxes relative to them or, with an exponential in the graph, in pixels."""
    build = _Builder()
    strides = (8, 16, 32)
    # The pictures go from 0 to 255, so the weights are small.
    rows = build.node("Concat", *(build.cells(5 + CLASSES, stride, 0.004) for stride in strides), axis=1)
    boxes, scores = build.columns(rows, 0, 4), build.node("Sigmoid", build.columns(rows, 4, 5 + CLASSES))
    if decoded:
        size = build.node("Exp", build.columns(boxes, 2, 4))
        boxes = build.node("Concat", build.columns(boxes, 0, 2), size, axis=2)
    build.node("Concat", boxes, scores, output="output", axis=2)

    def read(raw: Raw, width: int, height: int) -> Read:
        boxes, confidence = raw[0][..., :4], raw[0][..., 4:5] * raw[0][..., 5:]
        if not decoded:
            boxes = _from_cells(boxes, width, height, strides)
        return _corners(boxes), confidence.max(axis=2), confidence.argmax(axis=2)

    return Tiny(build.model({"output": 5 + CLASSES}, {}), read, bgr_bytes=True)


def rt_detr() -> Tiny:
    """Ultralytics' form: shares of the picture and scores in one output."""
    build = _Builder()
    build.node("Sigmoid", build.cells(4 + CLASSES, 32, 4.0), output="output0")

    def read(raw: Raw, width: int, height: int) -> Read:
        return _shares(raw[0][..., :4], raw[0][..., 4:], width, height)

    return Tiny(build.model({"output0": 4 + CLASSES}, {"head": "RTDETRDecoder", "end2end": "False"}), read)


def detr() -> Tiny:
    """Boxes and logits apart, the logits first."""
    build = _Builder()
    build.node("Identity", build.cells(CLASSES, 32, 1.5), output="logits")
    build.node("Sigmoid", build.cells(4, 32, 4.0), output="pred_boxes")

    def read(raw: Raw, width: int, height: int) -> Read:
        return _shares(raw[1], 1 / (1 + np.exp(-raw[0])), width, height)

    return Tiny(build.model({"logits": CLASSES, "pred_boxes": 4}, {}), read)


FAMILIES: dict[str, Callable[[], Tiny]] = {
    "end to end": end_to_end,
    "yolox": lambda: yolox(decoded=False),
    "yolox in pixels": lambda: yolox(decoded=True),
    "rt-detr": rt_detr,
    "detr": detr,
}


def _corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def _shares(boxes: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], width: int, height: int) -> Read:
    return _corners(boxes) * np.array([width, height] * 2), scores.max(axis=2), scores.argmax(axis=2)


def _from_cells(boxes: NDArray[np.float32], width: int, height: int, strides: tuple[int, ...]) -> NDArray[np.float32]:
    """One cell after the other, as the paper's figure has it."""
    at = 0
    placed = boxes.copy()
    for stride in strides:
        for row in range(height // stride):
            for column in range(width // stride):
                placed[:, at, :2] = (boxes[:, at, :2] + (column, row)) * stride
                placed[:, at, 2:] = np.exp(boxes[:, at, 2:]) * stride
                at += 1
    return placed
