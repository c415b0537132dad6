"""The engine on OpenVINO's CPU device.

OpenVINO is called itself, not as a plug-in of ONNX Runtime: the plug-in only offers devices on Intel's processors, the
library runs on any x86-64 and Arm one and is twice as fast as ONNX Runtime's CPU provider on AMD's too.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.errors import ProviderUnavailable
from fbtasks.gpu.frames import check_frames
from fbtasks.gpu.heads import CLASS_ID, CONFIDENCE, XYXY
from fbtasks.gpu.memory import memory_faults
from fbtasks.gpu.model import FRAMES, PreparedModel

if TYPE_CHECKING:
    from openvino import Core, InferRequest, Model
    from openvino.utils.data_helpers.wrappers import OVDict

_Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class OpenVinoEngine:
    """An engine on OpenVINO; see `fbtasks.gpu.engine.Engine`.

    One picture is computed by all threads: its result comes soonest. Several are computed at once, each by a few
    threads that need not wait for each other: 1.1 to 1.5 times as many a second (YOLO11n on two cores, measured). An
    open batch dimension gains nothing on a CPU, and compiles anew at every size.

    Attributes:
        alone: for one picture.
        beside: for several, one each; none where a batch is one picture.
    """

    alone: "InferRequest"
    beside: "tuple[InferRequest, ...]"
    model: PreparedModel
    provider: str = "openvino"

    @property
    def max_batch(self) -> int:
        return max(1, len(self.beside))

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """See `fbtasks.gpu.engine.Engine.run`; the results are copies, for the next run overwrites OpenVINO's own."""
        check_frames(frames, self.model, self.max_batch)
        # With most of those beside each other idle, all threads on one picture after another are sooner done.
        at_once = 2 * len(frames) > len(self.beside) > 1
        with memory_faults():
            found = self._at_once(frames) if at_once else [_of(self.alone, frame) for frame in _each(frames)]
        xyxy, confidence, class_id = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return BatchCandidates(xyxy, confidence, class_id)

    def _at_once(self, frames: NDArray[np.uint8]) -> list[_Found]:
        running = list(zip(self.beside, _each(frames), strict=False))
        for request, frame in running:
            request.start_async({FRAMES: frame}, share_inputs=True)
        for request, _ in running:
            request.wait()
        return [_found(request.results) for request, _ in running]

    def warm_up(self) -> None:
        """One picture alone and one batch: there is one shape only."""
        for size in {1, self.max_batch}:
            self.run(np.zeros((size, self.model.input_height, self.model.input_width, 3), np.uint8))


def open_openvino(model: PreparedModel, max_batch: int, half: bool, threads: int) -> OpenVinoEngine:
    """An engine on OpenVINO's CPU device; `half` allows bfloat16 or float16 where the processor computes in it.

    Raises:
        ProviderUnavailable: OpenVINO is not installed or does not take the model.
    """
    try:
        import openvino  # noqa: PLC0415 an extra, and slow to load
    except ImportError as error:
        raise ProviderUnavailable("OpenVINO is not installed: pip install 'fbtasks[openvino]'") from error
    config: dict[str, object] = {"INFERENCE_NUM_THREADS": threads}
    if not half:
        config["INFERENCE_PRECISION_HINT"] = "f32"
    core = openvino.Core()
    try:
        graph = core.read_model(model.path)
        graph.reshape([1, model.input_height, model.input_width, 3])
        soonest = core.compile_model(graph, "CPU", config | {"PERFORMANCE_HINT": "LATENCY"})
        return OpenVinoEngine(soonest.create_infer_request(), _beside(core, graph, config, max_batch), model)
    except RuntimeError as error:
        raise ProviderUnavailable(f"OpenVINO does not take the model: {error}") from error


def _beside(core: "Core", graph: "Model", config: dict[str, object], max_batch: int) -> "tuple[InferRequest, ...]":
    """As many as OpenVINO finds best for this machine, at most one for each picture of a batch; none instead of one."""
    if max_batch == 1:
        return ()
    most = core.compile_model(
        graph, "CPU", config | {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": max_batch}
    )
    count = min(max_batch, most.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    return tuple(most.create_infer_request() for _ in range(count)) if count > 1 else ()


def _each(frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [frames[index : index + 1] for index in range(len(frames))]


def _of(request: "InferRequest", frame: NDArray[np.uint8]) -> _Found:
    return _found(request.infer({FRAMES: frame}, share_inputs=True, share_outputs=True))


def _found(outputs: "OVDict") -> _Found:
    """Copies."""
    xyxy, confidence, class_id = (outputs[name] for name in (XYXY, CONFIDENCE, CLASS_ID))
    return xyxy.copy(), confidence.copy(), class_id.astype(np.int32)
