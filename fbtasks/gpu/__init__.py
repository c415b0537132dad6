"""The GPU worker: frames in, candidates out, one model run for frames of several cameras.

Importing this package keeps the engines from reporting to their makers. ONNX Runtime's official Linux builds tell
Microsoft since 1.29 which models run on which machine, unless the variable is set before the library is loaded.
OpenVINO tells Google Analytics through a package of its own; without it, it goes on quietly.
"""

import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes importing it fail, as Python documents
