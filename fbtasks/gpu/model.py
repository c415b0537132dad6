"""The prepared model: one ONNX graph from the camera's pixels to the best candidates, built once and kept on disk.

Scale and layout before the detector and the choice of candidates after it belong to the graph, so that they run where
the detector runs: uint8 pixels go to the device, a few kilobytes come back.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, helper

from fbtasks.gpu.heads import CLASS_ID, CONFIDENCE, PREFIX, XYXY, Reduction, recognise
from fbtasks.gpu.source_model import BATCH, SourceModel, parse, read_file

FRAMES = "frames"
"""Name of a prepared graph's input."""

GRAPH_VERSION = 1
"""Counts changes of the graph that is built here; with a new number nothing old is taken from the cache."""


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A graph ready to run: `frames` uint8 `[B, H, W, 3]` RGB in, `xyxy`, `confidence` and `class_id` out.

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
    if not _is_intact(path):
        _store(path, _assemble(source, reduction).SerializeToString())
    return PreparedModel(
        path, names, width, height, reduction.candidates, model_id, source.export.metadata.get("license")
    )


def _assemble(source: SourceModel, reduction: Reduction) -> ModelProto:
    """The detector between its preprocessing and the reduction of its output."""
    graph = source.model.graph
    width, height = (source.picture.type.tensor_type.shape.dim[axis].dim_value for axis in (3, 2))
    detector = list(graph.node)
    del graph.node[:]
    graph.node.extend([*_preprocessing(source), *detector, *reduction.nodes])
    graph.initializer.extend(reduction.constants)
    graph.initializer.append(helper.make_tensor(f"{PREFIX}white", TensorProto.FLOAT, [], [255.0]))
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


def _preprocessing(source: SourceModel) -> list[NodeProto]:
    """From `frames` to the detector's own input.

    Divides by 255 rather than multiplying by its inverse, as Ultralytics does: the same last bit. The cast comes first
    because TensorRT takes bytes only into a cast.
    """
    element = source.picture.type.tensor_type.elem_type
    pixels, scaled, planes = f"{PREFIX}pixels", f"{PREFIX}scaled", f"{PREFIX}planes"
    return [
        helper.make_node("Cast", [FRAMES], [pixels], name=f"{pixels}/Cast", to=TensorProto.FLOAT),
        helper.make_node("Div", [pixels, f"{PREFIX}white"], [scaled], name=f"{scaled}/Div"),
        helper.make_node("Transpose", [scaled], [planes], name=f"{planes}/Transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", [planes], [source.picture.name], name=f"{planes}/Cast", to=element),
    ]


def _is_intact(path: Path) -> bool:
    """Whether the cached file is there and is what was once written, by the digest beside it."""
    try:
        return _digest_path(path).read_text() == hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False


def _store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, content)
    _replace(_digest_path(path), hashlib.sha256(content).hexdigest().encode())


def _digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _replace(path: Path, content: bytes) -> None:
    """Write the file so that another process sees all of it or the old one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
