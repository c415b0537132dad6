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
    from openvino import InferRequest


@dataclass(frozen=True, slots=True)
class OpenVinoEngine:
    """An engine on OpenVINO; see `fbtasks.gpu.engine.Engine`.

    A batch is one picture, on all threads: on a CPU a larger one gains nothing, and its first result waits for its
    last. An open batch dimension costs besides (measured, YOLO11n on two cores: 25 ms a frame, against 46 in a batch
    of 4) and compiles anew at every size.
    """

    request: "InferRequest"
    model: PreparedModel
    max_batch: int = 1
    provider: str = "openvino"

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """See `fbtasks.gpu.engine.Engine.run`; the results are copies, for the next run overwrites OpenVINO's own."""
        check_frames(frames, self.model, self.max_batch)
        with memory_faults():
            found = self.request.infer({FRAMES: frames}, share_inputs=True, share_outputs=True)
        xyxy, confidence, class_id = (found[name] for name in (XYXY, CONFIDENCE, CLASS_ID))
        return BatchCandidates(xyxy.copy(), confidence.copy(), class_id.astype(np.int32))

    def warm_up(self) -> None:
        """One picture is enough: there is one shape only."""
        self.run(np.zeros((1, self.model.input_height, self.model.input_width, 3), np.uint8))


def open_openvino(model: PreparedModel, half: bool, threads: int) -> OpenVinoEngine:
    """An engine on OpenVINO's CPU device; `half` allows bfloat16 or float16 where the processor computes in it.

    Raises:
        ProviderUnavailable: OpenVINO is not installed or does not take the model.
    """
    try:
        import openvino  # noqa: PLC0415 an extra, and slow to load
    except ImportError as error:
        raise ProviderUnavailable("OpenVINO is not installed: pip install 'fbtasks[openvino]'") from error
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if not half:
        config["INFERENCE_PRECISION_HINT"] = "f32"
    core = openvino.Core()
    try:
        graph = core.read_model(model.path)
        graph.reshape([1, model.input_height, model.input_width, 3])
        request = core.compile_model(graph, "CPU", config).create_infer_request()
    except RuntimeError as error:
        raise ProviderUnavailable(f"OpenVINO does not take the model: {error}") from error
    return OpenVinoEngine(request, model)
