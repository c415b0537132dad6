"""The engine on OpenVINO's CPU device.

OpenVINO is called itself, not as a plug-in of ONNX Runtime: the plug-in only offers devices on Intel's processors, the
library runs on any x86-64 and Arm one. Where the processor multiplies bfloat16 itself (Intel's with AMX, AMD's from
Zen 4 on) it is more than twice as fast as ONNX Runtime's CPU provider, elsewhere hardly so (Zen 3: 1.2 times with one
picture, even with many).
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.errors import ProviderUnavailable
from fbtasks.gpu.cpu_engine import CpuEngine, Lane
from fbtasks.gpu.heads import CLASS_ID, CONFIDENCE, XYXY
from fbtasks.gpu.model import FRAMES, PreparedModel

if TYPE_CHECKING:
    from openvino import Core, InferRequest, Model


def open_openvino(model: PreparedModel, max_batch: int, half: bool, threads: int) -> CpuEngine:
    """An engine on OpenVINO's CPU device, with at most `max_batch` runs at once.

    `half` allows bfloat16 or float16 where the processor computes in it.

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
        alone = _lane(soonest.create_infer_request())
        return CpuEngine(model, "openvino", alone, _beside(core, graph, config, max_batch))
    except RuntimeError as error:
        raise ProviderUnavailable(f"OpenVINO does not take the model: {error}") from error


def _beside(core: "Core", graph: "Model", config: dict[str, object], max_batch: int) -> list[Lane]:
    """As many as OpenVINO finds best for this machine, `max_batch` at most; none instead of one."""
    if max_batch == 1:
        return []
    most = core.compile_model(
        graph, "CPU", config | {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": max_batch}
    )
    count = min(max_batch, most.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    return [_lane(most.create_infer_request()) for _ in range(count)] if count > 1 else []


def _lane(request: "InferRequest") -> Lane:
    def compute(frame: NDArray[np.uint8]) -> BatchCandidates:
        outputs = request.infer({FRAMES: frame}, share_inputs=True, share_outputs=True)
        xyxy, confidence, class_id = (outputs[name] for name in (XYXY, CONFIDENCE, CLASS_ID))
        # Copies: the request's next run overwrites its outputs.
        return BatchCandidates(xyxy.copy(), confidence.copy(), class_id.astype(np.int32))

    return compute
