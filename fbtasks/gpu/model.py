"""The prepared model: one ONNX graph from the camera's pixels to the best candidates, built once and kept on disk.

Scale and layout before the detector and the choice of candidates after it belong to the graph, so that they run where
the detector runs: uint8 pixels go to the device, a few kilobytes come back.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, TensorProto, helper

from fbtasks.gpu.graph_cache import kept
from fbtasks.gpu.heads import CLASS_ID, CONFIDENCE, XYXY, Pixels, Reduction, recognise
from fbtasks.gpu.heads.graph import Nodes
from fbtasks.gpu.source_model import BATCH, SourceModel, parse, read_file

FRAMES = "frames"
"""Name of a prepared graph's input."""

GRAPH_VERSION = 2
"""Counts changes of the graphs that are built here and in `half.py`; a new number takes nothing old from the cache."""


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A graph ready to run: `frames` uint8 `[B, H, W, 3]` in; `xyxy`, `confidence` and `class_id` out.

    The pictures are RGB, whatever the detector itself wants.

    Attributes:
        path: of the prepared ONNX file.
        names: class names by class number.
        input_width, input_height: of the pictures, in pixels.
        candidates: how many come out for each picture.
        model_id: name of the source file and the first 8 hex digits of its SHA-256, such as `yolo11n-1a2b3c4d`.
        licence: what the export says of its licence, if anything.
    """

    path: Path
    names: dict[int, str]
    input_width: int
    input_height: int
    candidates: int
    model_id: str
    licence: str | None


def prepare(
    model_path: Path, cache_dir: Path, *, top_k: int = 300, input_size: tuple[int, int] = (640, 640)
) -> PreparedModel:
    """The prepared form of an exported detector, from the cache or built now.

    Args:
        model_path: ONNX file with an open batch dimension.
        cache_dir: holds prepared graphs; made if missing. A damaged file in it is built again.
        top_k: candidates per picture that leave the device, at most.
        input_size: width and height of the pictures, in pixels.

    Raises:
        EngineError: the file cannot be read.
        ModelUnsupported: it is no ONNX file, or no detector that can be run here; the message says why.
    """
    content = read_file(model_path)
    width, height = input_size
    source = parse(content, model_path.name, width, height)
    head, names = recognise(source.export)
    reduction = head.reduction(top_k)
    digest = hashlib.sha256(content).hexdigest()
    model_id = f"{model_path.stem}-{digest[:8]}"
    key = hashlib.sha256(f"{digest} {GRAPH_VERSION} {reduction.candidates} {width}x{height}".encode()).hexdigest()
    path = cache_dir / f"{model_id}-{width}x{height}-{key[:16]}.onnx"
    kept(path, lambda: _assemble(source, head.pixels, reduction).SerializeToString())
    return PreparedModel(
        path, names, width, height, reduction.candidates, model_id, source.export.metadata.get("license")
    )


def _assemble(source: SourceModel, pixels: Pixels, reduction: Reduction) -> ModelProto:
    """The detector between its preprocessing and the reduction of its output."""
    graph = source.model.graph
    width, height = (source.picture.type.tensor_type.shape.dim[axis].dim_value for axis in (3, 2))
    preprocessing = _preprocessing(source, pixels)
    detector = list(graph.node)
    del graph.node[:]
    graph.node.extend([*preprocessing.nodes, *detector, *reduction.nodes])
    graph.initializer.extend([*preprocessing.constants, *reduction.constants])
    graph.input.remove(source.picture)
    graph.input.append(helper.make_tensor_value_info(FRAMES, TensorProto.UINT8, [BATCH, height, width, 3]))
    del graph.output[:]
    kept = reduction.candidates
    graph.output.extend(
        [
            helper.make_tensor_value_info(XYXY, TensorProto.FLOAT, [BATCH, kept, 4]),
            helper.make_tensor_value_info(CONFIDENCE, TensorProto.FLOAT, [BATCH, kept]),
            helper.make_tensor_value_info(CLASS_ID, TensorProto.INT32, [BATCH, kept]),
        ]
    )
    return source.model


def _preprocessing(source: SourceModel, wanted: Pixels) -> Nodes:
    """From `frames` to the detector's own input.

    Divides by 255 rather than multiplying by its inverse, as Ultralytics does: the same last bit. The cast comes first
    because TensorRT takes bytes only into a cast.
    """
    graph = Nodes(source.export.opset)
    pixels = graph.add("Cast", [FRAMES], "pixels", to=TensorProto.FLOAT)
    if wanted is Pixels.RGB_TO_ONE:
        pixels = graph.add("Div", [pixels, graph.floats("white", 255.0)], "scaled")
    else:
        pixels = graph.add("Gather", [pixels, graph.ints("blue_first", [2, 1, 0])], "swapped", axis=3)
    planes = graph.add("Transpose", [pixels], "planes", perm=[0, 3, 1, 2])
    graph.output("Cast", [planes], source.picture.name, to=source.picture.type.tensor_type.elem_type)
    return graph
