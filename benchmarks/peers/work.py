"""What every compared server does with a batch: decode it, run the model, keep the boxes."""

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir
from time import sleep

import numpy as np
import onnxruntime as ort
import simplejpeg
from numpy.typing import NDArray

MAX_BATCH = 8
LEAST = 0.1
"""Confidence of the boxes that are kept."""
_FIXED = "fixed:"


class Work:
    """The model, opened once in each process that serves.

    Args:
        engine: `cpu`, or `fixed:20ms` for a device that takes so long for every batch.
        model: ONNX file of a YOLO11 export.
    """

    def __init__(self, engine: str, model: str) -> None:
        self._decoders = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self._run_s = float(engine.removeprefix(_FIXED).removesuffix("ms")) / 1000 if engine.startswith(_FIXED) else 0.0
        if self._run_s:
            # One device for all processes: who has the lock has it for the time of the run.
            self._device = (Path(gettempdir()) / f"peers-device-{os.getuid()}").open("w")
        else:
            options = ort.SessionOptions()
            options.intra_op_num_threads = len(os.sched_getaffinity(0))
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, jpegs: list[bytes]) -> list[bytes]:
        """The boxes of each picture, float32 `[n, 5]`: centre, size and confidence."""
        pictures = np.stack(list(self._decoders.map(_decoded, jpegs)))
        if self._run_s:
            fcntl.flock(self._device, fcntl.LOCK_EX)
            sleep(self._run_s)
            fcntl.flock(self._device, fcntl.LOCK_UN)
            return [np.ones((12, 5), np.float32).tobytes()] * len(jpegs)
        tensor = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32) / 255
        [out] = self._session.run(None, {self._session.get_inputs()[0].name: tensor})
        return [_boxes(np.asarray(one)) for one in out]


def _decoded(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(simplejpeg.decode_jpeg(jpeg, fastdct=True, fastupsample=True), np.uint8)


def _boxes(out: NDArray[np.float32]) -> bytes:
    confidence = out[4:].max(axis=0)
    kept = confidence >= LEAST
    return np.column_stack([out[:4, kept].T, confidence[kept]]).tobytes()
