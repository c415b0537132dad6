"""The prepared model: what it refuses and why, and a cache that is neither stale nor trusted when damaged."""

import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, external_data_helper

from fbtasks.errors import EngineError, ModelUnsupported
from fbtasks.gpu.model import PreparedModel, prepare
from tests import tiny_detector

SIZE = (96, 64)


def prepared(source: Path, cache: Path, **changes: object) -> PreparedModel:
    return prepare(source, cache, **({"input_size": SIZE} | changes))  # type: ignore[arg-type]


def test_the_prepared_graph_is_valid_and_describes_itself(tmp_path: Path) -> None:
    model = prepared(tiny_detector.saved(tmp_path), tmp_path / "cache", top_k=4)
    graph = onnx.load(model.path)
    onnx.checker.check_model(graph, full_check=True)
    assert [(value.name, [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]) for value in
            (*graph.graph.input, *graph.graph.output)] == [
        ("frames", ["batch", 64, 96, 3]),
        ("xyxy", ["batch", 4, 4]),
        ("confidence", ["batch", 4]),
        ("class_id", ["batch", 4]),
    ]  # fmt: skip
    assert model.names == tiny_detector.NAMES
    assert model.licence == "Apache-2.0"
    assert (model.input_width, model.input_height, model.candidates) == (*SIZE, 4)
    assert re.fullmatch("tiny-[0-9a-f]{8}", model.model_id)


def test_no_more_candidates_than_anchors(tmp_path: Path) -> None:
    assert prepared(tiny_detector.saved(tmp_path), tmp_path / "cache", top_k=100).candidates == 6  # cells of 32 pixels


def test_the_cache_is_used(tmp_path: Path) -> None:
    source = tiny_detector.saved(tmp_path)
    first = prepared(source, tmp_path / "cache")
    written = first.path.stat()
    assert prepared(source, tmp_path / "cache") == first
    assert (first.path.stat().st_mtime_ns, first.path.stat().st_ino) == (written.st_mtime_ns, written.st_ino)


def test_another_model_or_parameter_is_another_file(tmp_path: Path) -> None:
    source = tiny_detector.saved(tmp_path)
    first = prepared(source, tmp_path / "cache")
    fewer = prepared(source, tmp_path / "cache", top_k=2)
    wider = prepared(source, tmp_path / "cache", input_size=(128, 64))
    other = prepared(tiny_detector.saved(tmp_path, tiny_detector.build(opset=18)), tmp_path / "cache")
    assert len({first.path, fewer.path, wider.path, other.path}) == 4
    assert other.model_id != first.model_id == fewer.model_id == wider.model_id


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "no digest"])
def test_a_damaged_cache_file_is_built_again(tmp_path: Path, damage: str) -> None:
    source = tiny_detector.saved(tmp_path)
    path = prepared(source, tmp_path / "cache").path
    good = path.read_bytes()
    middle = len(good) // 2
    if damage == "no digest":
        path.with_suffix(".sha256").unlink()
    else:
        flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
        path.write_bytes({"truncate": good[:middle], "flip": flipped, "empty": b""}[damage])
    assert prepared(source, tmp_path / "cache").path == path
    assert path.read_bytes() == good
    assert not list(path.parent.glob(".*")), "a temporary file was left behind"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (tiny_detector.build(batch=1), r"batches of exactly 1; export it with an open batch \(dynamic=True\)"),
        (tiny_detector.build(size=(640, 640)), "only takes pictures of 640x640, not 96x64"),
        (tiny_detector.build(names=None), "carries no class names"),
        (tiny_detector.build(rows=9), r"output0 \[\?, 9, 6\] .* with 3 class names"),
        (tiny_detector.build(task="pose"), "task 'pose'"),
        (tiny_detector.build(element=TensorProto.DOUBLE), r"input is double \[\?, 3, \?, \?\]"),
        (tiny_detector.build(opset=10), "opset 10; export it with opset 11"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(tmp_path: Path, model: onnx.ModelProto, reason: str) -> None:
    with pytest.raises(ModelUnsupported, match=reason):
        prepared(tiny_detector.saved(tmp_path, model), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_size_off_the_stride_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnsupported, match="100x64 is not a multiple of 32"):
        prepared(tiny_detector.saved(tmp_path), tmp_path / "cache", input_size=(100, 64))


@pytest.mark.parametrize("content", [b"", b"not a model at all", bytes(1000)])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thing.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelUnsupported, match=r"thing\.onnx is not an ONNX model"):
        prepared(path, tmp_path / "cache")


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tiny_detector.saved(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelUnsupported):
        prepared(path, tmp_path / "cache")


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    model = tiny_detector.build()
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    with pytest.raises(ModelUnsupported, match="keeps its weights in another file"):
        prepared(tiny_detector.saved(tmp_path, model), tmp_path / "cache")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot read the model .*absent\.onnx: No such file"):
        prepared(tmp_path / "absent.onnx", tmp_path / "cache")
