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
from fbtasks.gpu.model import FRAMES, PreparedModel

if TYPE_CHECKING:
    from openvino import InferRequest


@dataclass(frozen=True, slots=True)
class OpenVinoEngine:
    """An engine on OpenVINO; see `fbtasks.gpu.engine.Engine`.

    Pictures run one after the other on all threads, through a graph fixed to one picture: on a CPU a batch gains
    nothing, and an open batch dimension costs (measured, YOLO11n on two cores: 25 ms a frame, against 46 in a batch
    of 4) and compiles anew at every size.
    """

    request: "InferRequest"
    model: PreparedModel
    max_batch: int
    provider: str = "openvino"

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        check_frames(frames, self.model, self.max_batch)
        shape = (len(frames), self.model.candidates)
        found = BatchCandidates(
            np.empty((*shape, 4), np.float32), np.empty(shape, np.float32), np.empty(shape, np.int32)
        )
        for index in range(len(frames)):
            self.request.infer({FRAMES: frames[index : index + 1]}, share_inputs=True)
            found.xyxy[index] = self.request.get_tensor(XYXY).data[0]
            found.confidence[index] = self.request.get_tensor(CONFIDENCE).data[0]
            found.class_id[index] = self.request.get_tensor(CLASS_ID).data[0]
        return found

    def warm_up(self) -> None:
        self.run(np.zeros((1, self.model.input_height, self.model.input_width, 3), np.uint8))


def open_openvino(model: PreparedModel, max_batch: int, half: bool, threads: int) -> OpenVinoEngine:
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
    return OpenVinoEngine(request, model, max_batch)
