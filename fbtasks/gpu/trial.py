"""A trial run: whether a model really does what its file promises."""

from collections.abc import Iterable

import numpy as np

from fbtasks.detections import BatchCandidates
from fbtasks.errors import ModelUnsupported
from fbtasks.gpu.engine import Engine, cores
from fbtasks.gpu.model import PreparedModel
from fbtasks.gpu.onnx_engine import open_cpu_as_gpu

_SLACK = 1e-3
"""How far beyond 0 and 1 rounding in half precision may carry a score."""


def try_out(model: PreparedModel, batches: Iterable[int]) -> None:
    """Run the model on noise at each batch size, in one tensor, on the CPU provider, which every machine has.

    Args:
        model: from `prepare`.
        batches: numbers of pictures.

    Raises:
        ModelUnsupported: it does not load, fails at one of these sizes, does not tell the pictures apart, or its
            scores are none.
    """
    sizes = sorted(set(batches))
    engine = _opened(model, sizes[-1])
    noise = np.random.default_rng(0)
    for size in sizes:
        pictures = noise.integers(0, 256, (size, model.input_height, model.input_width, 3), np.uint8)
        _require_results(_ran(engine, pictures), size)


def _opened(model: PreparedModel, max_batch: int) -> Engine:
    try:
        return open_cpu_as_gpu(model, max_batch, cores())
    except Exception as error:  # ONNX Runtime's errors have no common base of their own
        raise ModelUnsupported(f"ONNX Runtime does not load the model: {_first_line(error)}") from error


def _ran(engine: Engine, pictures: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> BatchCandidates:
    try:
        return engine.run(pictures)
    except Exception as error:  # ONNX Runtime's errors have no common base of their own
        advice = ": its batch is open in name only, export it with dynamic=True" if len(pictures) > 1 else ""
        raise ModelUnsupported(
            f"the model fails at a batch of {len(pictures)}{advice} ({_first_line(error)})"
        ) from error


def _require_results(found: BatchCandidates, size: int) -> None:
    if len(found) != size:
        raise ModelUnsupported(
            f"the model gives {len(found)} results for a batch of {size}: its batch is open in name only, "
            "export it with dynamic=True"
        )
    low, high = float(found.confidence.min()), float(found.confidence.max())
    if not -_SLACK <= low <= high <= 1 + _SLACK:
        raise ModelUnsupported(
            f"the model's scores go from {low:.3g} to {high:.3g} and not from 0 to 1: export it as Ultralytics does, "
            "with their sigmoid"
        )
    if not np.isfinite(found.xyxy).all():
        raise ModelUnsupported("the model's boxes are not finite numbers")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
