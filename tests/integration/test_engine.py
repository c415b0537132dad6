"""Engines: the prepared graph computes what the model computes, and no provider is used that was not agreed on."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fbtasks.detections import BatchCandidates
from fbtasks.errors import ProviderUnavailable
from fbtasks.gpu.engine import Engine, open_engine
from fbtasks.gpu.model import FRAMES, PreparedModel, prepare
from fbtasks.gpu.onnx_engine import CPU, CUDA, OUTPUTS, OnnxEngine, cuda_options, require_placement, tensorrt_options
from tests import tiny_detector

WIDTH, HEIGHT = 96, 64
MAX_BATCH = 4

Open = Callable[..., Engine]


@pytest.fixture
def model(tmp_path: Path) -> PreparedModel:
    return prepare(tiny_detector.saved(tmp_path), tmp_path, input_size=(WIDTH, HEIGHT))


@pytest.fixture
def opened(model: PreparedModel, tmp_path: Path) -> Open:
    def opened(provider: str, **changes: object) -> Engine:
        options = {"max_batch": MAX_BATCH, "threads": 1, "precision": "float32", "cache_dir": tmp_path} | changes
        return open_engine(model, provider=provider, **options)  # type: ignore[arg-type]

    return opened


def noise(batch: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    return np.random.default_rng(batch).integers(0, 256, (batch, height, width, 3), np.uint8)


def run_all(engine: Engine, frames: NDArray[np.uint8]) -> BatchCandidates:
    """Candidates of all frames, in batches as large as the engine takes: of one where it has a single thread."""
    runs = [engine.run(frames[at : at + engine.max_batch]) for at in range(0, len(frames), engine.max_batch)]
    return BatchCandidates.joined(runs)


def reference(path: Path, frames: NDArray[np.uint8], top_k: int) -> BatchCandidates:
    """The unprepared model between plain NumPy: scale and layout before it, the best class and the best K after it."""
    session = ort.InferenceSession(str(path), providers=[CPU])
    planes = np.ascontiguousarray((frames.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2))
    kind = {"tensor(float16)": np.float16, "tensor(float)": np.float32}[session.get_inputs()[0].type]
    raw = session.run(None, {"images": planes.astype(kind)})[0].astype(np.float32)
    order = np.argsort(-raw[:, 4:].max(axis=1), axis=1, kind="stable")[:, :top_k]
    rows = np.take_along_axis(raw, order[:, None], axis=2)
    centre, half = rows[:, :2], rows[:, 2:4] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1).transpose(0, 2, 1)
    return BatchCandidates(corners, rows[:, 4:].max(axis=1), rows[:, 4:].argmax(axis=1).astype(np.int32))


def assert_equal(
    found: BatchCandidates, expected: BatchCandidates, *, score: float = 1e-5, pixels: float = 0.05
) -> None:
    """Equal within rounding; where two scores are that close together, their order is open, so those are left out."""
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=score)
    steps = -np.diff(expected.confidence, axis=1, prepend=2, append=-1)
    clear = (steps[:, :-1] > 2 * score) & (steps[:, 1:] > 2 * score)
    assert clear.any()
    np.testing.assert_array_equal(found.class_id[clear], expected.class_id[clear])
    np.testing.assert_allclose(found.xyxy[clear], expected.xyxy[clear], atol=pixels)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize("opset", [11, 17, 18])
def test_prepared_equals_unprepared(tmp_path: Path, provider: str, opset: int) -> None:
    source = tiny_detector.saved(tmp_path, tiny_detector.build(opset=opset))
    model = prepare(source, tmp_path, input_size=(WIDTH, HEIGHT), top_k=4)
    engine = open_engine(model, provider=provider, max_batch=3, precision="float32", cache_dir=tmp_path)  # type: ignore[arg-type]
    frames = noise(3)
    assert_equal(run_all(engine, frames), reference(source, frames, 4))


def test_a_half_precision_export_runs(tmp_path: Path) -> None:
    source = tiny_detector.saved(tmp_path, tiny_detector.build(element=TensorProto.FLOAT16))
    model = prepare(source, tmp_path, input_size=(WIDTH, HEIGHT))
    engine = open_engine(model, provider="cpu", max_batch=2, cache_dir=tmp_path)
    frames = noise(2)
    assert_equal(run_all(engine, frames), reference(source, frames, 300), score=2e-3, pixels=0.5)


@pytest.mark.parametrize("name", ["yolo11n", "yolox_nano"])
def test_prepared_equals_unprepared_for_real_models(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / "models" / f"{name}.onnx"
    engine = open_engine(prepare(source, tmp_path), provider="cpu", max_batch=2, cache_dir=tmp_path)
    frames = noise(2, 640, 640)
    assert_equal(run_all(engine, frames), reference(source, frames, 300))


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_picture_gives_the_same_alone_and_beside_others(opened: Open, provider: str) -> None:
    engine = opened(provider, threads=2)
    engine.warm_up()
    assert (engine.max_batch, engine.at_once) == (1, 2)
    frames = noise(20)[:, None]
    with ThreadPoolExecutor(engine.at_once) as threads:
        together = list(threads.map(engine.run, frames))
    for frame, beside in zip(frames, together, strict=True):
        alone = engine.run(frame)
        np.testing.assert_allclose(alone.confidence, beside.confidence, atol=1e-6)
        np.testing.assert_allclose(alone.xyxy, beside.xyxy, atol=1e-3)
        np.testing.assert_array_equal(alone.class_id, beside.class_id)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_results_are_not_overwritten_by_the_next_run(opened: Open, provider: str) -> None:
    engine = opened(provider)
    first = engine.run(noise(1))
    kept = first.xyxy.copy()
    engine.run(noise(1)[:, ::-1].copy())
    np.testing.assert_array_equal(first.xyxy, kept)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_candidates_have_the_agreed_types(opened: Open, provider: str) -> None:
    engine = opened(provider)
    batch = engine.max_batch
    found = engine.run(noise(batch))
    assert engine.provider == provider
    assert 1 <= batch <= MAX_BATCH
    assert engine.model.candidates == 6
    assert [(array.dtype.name, array.shape) for array in (found.xyxy, found.confidence, found.class_id)] == [
        ("float32", (batch, 6, 4)),
        ("float32", (batch, 6)),
        ("int32", (batch, 6)),
    ]
    assert (np.diff(found.confidence, axis=1) <= 0).all()


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize(
    "frames",
    [
        noise(MAX_BATCH + 1),
        np.zeros((0, HEIGHT, WIDTH, 3), np.uint8),
        noise(1, HEIGHT, WIDTH),
        noise(1).astype(np.float32),
        noise(1)[0],
    ],
)
def test_a_batch_that_does_not_fit_is_refused(opened: Open, provider: str, frames: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="expected"):
        opened(provider).run(frames)


@pytest.mark.parametrize("provider", ["tensorrt", "cuda"])
def test_a_gpu_runs_the_model_or_is_refused_with_what_is_missing(opened: Open, provider: str) -> None:
    try:
        engine = opened(provider)
    except ProviderUnavailable as refusal:
        assert any(word in str(refusal) for word in ("NVIDIA driver", "CUDA 13", "TensorRT 10"))  # noqa: PT017
        return
    engine.warm_up()
    assert engine.provider == provider
    assert_equal(engine.run(noise(2)), opened("cpu").run(noise(2)), score=1e-3, pixels=0.5)


def test_openvino_says_how_to_get_it(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ProviderUnavailable, match=r"pip install 'fbtasks\[openvino\]'"):
        opened("openvino")


def test_auto_says_what_it_fell_to_and_why(
    opened: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with caplog.at_level(logging.WARNING):
        engine = opened("auto")
    expected = {"tensorrt": [], "cuda": ["tensorrt: "], "cpu": ["tensorrt: ", "cuda: ", "openvino: "]}[engine.provider]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == bool(expected)
    assert all(reason in warnings[0] for reason in expected)
    assert all(f"runs on {engine.provider}" in warning for warning in warnings)


def recording_session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return ort.InferenceSession(str(path), options, providers=[CPU])


def test_a_silent_fall_back_is_found(model: PreparedModel) -> None:
    session = recording_session(model.path)
    require_placement(session, CPU)
    with pytest.raises(ProviderUnavailable, match="CUDAExecutionProvider does not start"):
        require_placement(session, CUDA)


def test_a_provider_that_takes_no_heavy_node_is_found(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "light", value[:1], value[1:])
    path = tmp_path / "light.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    with pytest.raises(ProviderUnavailable, match="does not run the model's heavy nodes"):
        require_placement(recording_session(path), CPU)


def test_tensorrt_gets_one_profile_for_all_batches(model: PreparedModel, tmp_path: Path) -> None:
    options = tensorrt_options(model, 32, True, tmp_path)
    assert options["trt_profile_min_shapes"] == "frames:1x64x96x3"
    assert options["trt_profile_opt_shapes"] == options["trt_profile_max_shapes"] == "frames:32x64x96x3"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert options["trt_fp16_enable"] == "1"
    assert tensorrt_options(model, 32, False, tmp_path)["trt_fp16_enable"] == "0"


def test_a_run_into_memory_that_is_there_already_gives_the_same(model: PreparedModel) -> None:
    """As on a GPU, whose memory is taken once for each size of batch; here it is the host's."""
    session = ort.InferenceSession(str(model.path), providers=[CPU])
    engine = OnnxEngine(session, model, "cpu", MAX_BATCH, device="cpu")
    kept: list[tuple[BatchCandidates, BatchCandidates]] = []
    for size in (3, 1, 3, 4):
        frames = noise(size)[:, ::-1]  # not contiguous
        plain = BatchCandidates(*session.run(OUTPUTS, {FRAMES: np.ascontiguousarray(frames)}))
        kept.append((engine.run(frames), plain))
    assert sorted(engine.inputs) == [1, 3, 4]
    for bound, plain in kept:
        np.testing.assert_array_equal(bound.xyxy, plain.xyxy)
        np.testing.assert_array_equal(bound.confidence, plain.confidence)
        np.testing.assert_array_equal(bound.class_id, plain.class_id)


def test_cuda_searches_for_the_fastest_kernels_and_takes_no_more_memory_than_it_needs() -> None:
    options = cuda_options(half=True)
    assert options["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert (options["use_tf32"], cuda_options(half=False)["use_tf32"]) == ("1", "0")


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_engines_report_to_nobody(tmp_path: Path, provider: str) -> None:
    """Their telemetry would write an identifier to the home or the temporary folder as soon as they are loaded."""
    home = tmp_path / "home"
    home.mkdir()
    source = tiny_detector.saved(tmp_path)
    load = (
        "from pathlib import Path; from fbtasks.gpu.engine import open_engine; from fbtasks.gpu.model import prepare; "
        f"folder = Path({str(tmp_path)!r}); model = prepare(Path({str(source)!r}), folder, input_size=(96, 64)); "
        f"open_engine(model, provider={provider!r}, max_batch=1, cache_dir=folder).warm_up()"
    )
    outside = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run(
        [sys.executable, "-c", load], env=outside | {"TMPDIR": str(home), "HOME": str(home)}, check=True, timeout=60
    )
    assert not list(home.iterdir())
