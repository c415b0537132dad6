"""Engines on ONNX Runtime: TensorRT, CUDA and its own CPU provider.

ONNX Runtime is quick to fall back: a GPU provider whose libraries are missing is replaced by the CPU with a line in the
log, and a failing run is tried again on the CPU. Here both are refused, and where the nodes went is checked.
"""

import contextlib
import ctypes
import io
import logging
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.errors import ProviderUnavailable
from fbtasks.gpu.cpu_engine import CpuEngine, Lane
from fbtasks.gpu.frames import check_frames
from fbtasks.gpu.half import HEAVY, half_graph
from fbtasks.gpu.heads import CLASS_ID, CONFIDENCE, XYXY
from fbtasks.gpu.memory import memory_faults
from fbtasks.gpu.model import FRAMES, PreparedModel

log = logging.getLogger(__name__)

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"

_HEAVY = HEAVY | {"FusedConv"}
"""Operators that must not run elsewhere. Shape arithmetic may stay on the CPU, and CUDA leaves it there."""

_NEEDS = {
    CUDA: "it needs CUDA 13 and cuDNN 9: pip install 'onnxruntime-gpu[cuda,cudnn]'",
    TENSORRT: "it needs TensorRT 10 besides CUDA 13: pip install tensorrt-cu13, its libraries on LD_LIBRARY_PATH",
}
OUTPUTS = [XYXY, CONFIDENCE, CLASS_ID]
_ERROR_SEVERITY = 3

# Below that ONNX Runtime warns of every machine that has no GPU, when it looks for one.
ort.set_default_logger_severity(_ERROR_SEVERITY)


@dataclass(frozen=True, slots=True)
class OnnxEngine:
    """An engine on an ONNX Runtime session of a GPU; see `fbtasks.gpu.engine.Engine`.

    Attributes:
        device: where its input lies, as ONNX Runtime calls it.
        inputs: memory for a batch of each size on the device, taken at the first run of that size and kept.
    """

    session: ort.InferenceSession
    model: PreparedModel
    provider: str
    max_batch: int
    device: str = "cuda"
    at_once: int = field(default=1, init=False)
    inputs: dict[int, Any] = field(default_factory=dict)

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """All pictures at once."""
        check_frames(frames, self.model, self.max_batch)
        with memory_faults():
            return BatchCandidates(*self._run_bound(frames))

    def warm_up(self) -> None:
        """Run every batch size, for the GPU's libraries choose kernels for each; the largest first, for its memory."""
        for size in range(self.max_batch, 0, -1):
            self.run(np.zeros((size, self.model.input_height, self.model.input_width, 3), np.uint8))

    def _run_bound(self, frames: NDArray[np.uint8]) -> Any:
        """One copy to memory of the device that is there already, and the few candidates back."""
        pictures = self.inputs.get(len(frames))
        if pictures is None:
            pictures = ort.OrtValue.ortvalue_from_shape_and_type(list(frames.shape), np.uint8, self.device, 0)
            self.inputs[len(frames)] = pictures
        pictures.update_inplace(np.ascontiguousarray(frames))
        binding = self.session.io_binding()
        binding.bind_ortvalue_input(FRAMES, pictures)
        for name in OUTPUTS:
            binding.bind_output(name, "cpu")
        self.session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()


def open_cpu(model: PreparedModel, max_batch: int, threads: int) -> CpuEngine:
    """An engine on ONNX Runtime's own CPU provider, with at most `max_batch` runs at once."""
    alone = _cpu_lane(model, threads)
    count = min(threads, max_batch)
    # Whoever calls computes too, so one session serves all at once, with the threads that are left.
    beside = [_cpu_lane(model, threads - count + 1)] * count if count > 1 else []
    return CpuEngine(model, "cpu", alone, beside)


def open_cpu_as_gpu(model: PreparedModel, max_batch: int, threads: int) -> OnnxEngine:
    """An engine on the CPU provider that runs a batch in one tensor, as a GPU does: to try out what a GPU will get."""
    return OnnxEngine(_cpu_session(model, threads), model, "cpu", max_batch, device="cpu")


def _cpu_lane(model: PreparedModel, threads: int) -> Lane:
    session = _cpu_session(model, threads)
    return lambda frame: BatchCandidates(*session.run(OUTPUTS, {FRAMES: frame}))


def _cpu_session(model: PreparedModel, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning threads fight the other processes of the machine for its cores: 120 ms a frame instead of 36 on two.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(model.path), options, providers=[CPU])


def open_cuda(model: PreparedModel, max_batch: int, half: bool) -> OnnxEngine:
    """An engine on the CUDA provider; `half` runs the graph in float16, see `fbtasks.gpu.half`.

    A model for whose float16 form CUDA lacks a kernel runs in float32, and the log says so.

    Raises:
        ProviderUnavailable: the provider does not run the model here.
    """
    require_build_and_driver(CUDA)
    providers = [(CUDA, cuda_options(half))]
    if half:
        try:
            return OnnxEngine(_gpu_session(half_graph(model.path), providers), model, "cuda", max_batch)
        except Exception as error:  # noqa: BLE001 - if the fault is not the form's, it comes again below
            log.warning("the model does not run on CUDA in half precision, trying float32: %s", error)
    return OnnxEngine(_gpu_session(model.path, providers), model, "cuda", max_batch)


def open_tensorrt(model: PreparedModel, max_batch: int, half: bool, cache_dir: Path) -> OnnxEngine:
    """An engine on the TensorRT provider; `half` allows float16.

    TensorRT builds its engine at the first run, for minutes, and keeps it under `cache_dir`. It is built once for all
    batch sizes from 1 to `max_batch`, tuned for `max_batch`: that is what runs when time is short.

    Raises:
        ProviderUnavailable: the provider does not run the model here.
    """
    require_build_and_driver(TENSORRT)
    cache = cache_dir / "tensorrt" / f"{model.path.stem}-b{max_batch}-{'half' if half else 'float32'}"
    options = tensorrt_options(model, max_batch, half, cache)
    cache.mkdir(parents=True, exist_ok=True)
    session = _gpu_session(model.path, [(TENSORRT, options), (CUDA, cuda_options(half))])
    return OnnxEngine(session, model, "tensorrt", max_batch)


def tensorrt_options(model: PreparedModel, max_batch: int, half: bool, cache: Path) -> dict[str, str]:
    """Options of the TensorRT provider: one explicit profile, and caches for the engine and for kernel timings.

    Without a profile TensorRT rebuilds the engine, for up to minutes, whenever it meets a new batch size. It names its
    files by graph, its own version and the GPU's architecture, so a cache folder may be shared or outlive an update.
    """
    picture = f"{model.input_height}x{model.input_width}x3"
    return {
        "trt_profile_min_shapes": f"{FRAMES}:1x{picture}",
        "trt_profile_opt_shapes": f"{FRAMES}:{max_batch}x{picture}",
        "trt_profile_max_shapes": f"{FRAMES}:{max_batch}x{picture}",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": "1" if half else "0",
    }


def cuda_options(half: bool) -> dict[str, str]:
    """Options of the CUDA provider.

    The arena grows by what is asked and not to the next power of two: sessions for several sizes of picture share the
    device. Every batch size is warmed, so cuDNN may search for the fastest kernels of each.
    """
    return {
        "use_tf32": "1" if half else "0",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
    }


def _gpu_session(path: Path, providers: list[tuple[str, dict[str, str]]]) -> ort.InferenceSession:
    """A session that runs on the first of `providers`, or none."""
    wanted = providers[0][0]
    _preload_libraries()
    options = ort.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        # Without `enable_fallback=0` a run that fails on the GPU is repeated on the CPU, and all later ones stay there.
        session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors have no common base of their own
        raise ProviderUnavailable(f"{wanted} does not start ({_missing_library(wanted)}); {_NEEDS[wanted]}") from error
    require_placement(session, wanted)
    return session


def require_placement(session: ort.InferenceSession, wanted: str) -> None:
    """Check that a session which recorded its graph assignment runs its heavy nodes on the wanted provider.

    Raises:
        ProviderUnavailable: it does not.
    """
    active = session.get_providers()
    if active[0] != wanted:
        raise ProviderUnavailable(f"{wanted} does not start ({_missing_library(wanted)}); {_NEEDS[wanted]}")
    placed = heavy_nodes(session)
    elsewhere = {provider: count for provider, count in placed.items() if provider != wanted}
    if elsewhere or not placed:
        raise ProviderUnavailable(f"{wanted} started but does not run the model's heavy nodes: {dict(placed)}")


def heavy_nodes(session: ort.InferenceSession) -> Counter[str]:
    """How many of the nodes that cost time each provider was given."""
    return Counter(
        part.ep_name
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
        if node.op_type in _HEAVY
    )


def require_build_and_driver(wanted: str) -> None:
    """Check that there is any point in trying.

    Raises:
        ProviderUnavailable: there is none; the message says why.
    """
    if wanted not in ort.get_available_providers():
        raise ProviderUnavailable(f"this ONNX Runtime is built without {wanted}: pip install onnxruntime-gpu")
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(driver)
    except OSError as error:
        raise ProviderUnavailable(
            f"there is no NVIDIA driver ({driver} cannot be loaded); install one, or start the container with its GPUs"
        ) from error


def _preload_libraries() -> None:
    """Load CUDA and cuDNN from their wheels, if installed; what ONNX Runtime prints about it goes to the log."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        ort.preload_dlls()
    if printed.getvalue():
        log.debug("preloading CUDA: %s", printed.getvalue().strip())


def _missing_library(provider: str) -> str:
    """What the system's loader says against the provider's library."""
    folder = Path(ort.__file__).parent / "capi"
    name = {CUDA: "cuda", TENSORRT: "tensorrt"}[provider]
    libraries: list[Any] = []
    try:
        for library in ("shared", name):
            path = folder / f"libonnxruntime_providers_{library}.so"
            libraries.append(ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL))
    except OSError as error:
        return str(error)
    return "its libraries load, so look for ONNX Runtime's own message above"
