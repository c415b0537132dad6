"""Every family of heads through a real engine: the prepared graph gives what the raw outputs mean."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.gpu.engine import Engine, open_engine
from fbtasks.gpu.model import prepare
from fbtasks.gpu.onnx_engine import CPU
from fbtasks.gpu.trial import try_out
from tests.tiny_heads import FAMILIES, NAMES, Tiny

SIZES = [(96, 64), (64, 96)]
BATCH = 3


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (BATCH, height, width, 3), np.uint8)


def reference(tiny: Tiny, path: Path, frames: NDArray[np.uint8], top_k: int) -> BatchCandidates:
    """The unprepared model between plain NumPy."""
    session = ort.InferenceSession(str(path), providers=[CPU])
    pixels = frames[..., ::-1].astype(np.float32) if tiny.bgr_bytes else frames.astype(np.float32) / 255
    raw = session.run(None, {"images": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))})
    xyxy, confidence, class_id = tiny.read(raw, frames.shape[2], frames.shape[1])
    best = np.argsort(-confidence, axis=1, kind="stable")[:, :top_k]
    return BatchCandidates(
        np.take_along_axis(xyxy, best[..., None], axis=1).astype(np.float32),
        np.take_along_axis(confidence, best, axis=1),
        np.take_along_axis(class_id, best, axis=1).astype(np.int32),
    )


def run_all(engine: Engine, frames: NDArray[np.uint8]) -> BatchCandidates:
    runs = [engine.run(frames[at : at + engine.max_batch]) for at in range(0, len(frames), engine.max_batch)]
    return BatchCandidates(
        np.concatenate([run.xyxy for run in runs]),
        np.concatenate([run.confidence for run in runs]),
        np.concatenate([run.class_id for run in runs]),
    )


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_prepared_graph_gives_what_the_raw_outputs_mean(
    tmp_path: Path, family: str, size: tuple[int, int], provider: str
) -> None:
    tiny = FAMILIES[family]()
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny.model, path)
    model = prepare(path, tmp_path, top_k=5, input_size=size)
    onnx.checker.check_model(onnx.load(model.path), full_check=True)
    engine = open_engine(model, provider=provider, max_batch=BATCH, threads=1, precision="float32", cache_dir=tmp_path)  # type: ignore[arg-type]
    frames = noise(*size)
    found, wanted = run_all(engine, frames), reference(tiny, path, frames, 5)
    assert model.names == NAMES
    assert np.ptp(wanted.confidence) > 0.05, "the scores differ, or their order would mean nothing"
    np.testing.assert_allclose(found.confidence, wanted.confidence, atol=1e-5)
    np.testing.assert_array_equal(found.class_id, wanted.class_id)
    np.testing.assert_allclose(found.xyxy, wanted.xyxy, rtol=1e-4, atol=0.01)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_each_family_can_be_added(tmp_path: Path, family: str) -> None:
    path = tmp_path / "tiny.onnx"
    onnx.save(FAMILIES[family]().model, path)
    try_out(prepare(path, tmp_path, input_size=(96, 64)), [1, 2, 8])
