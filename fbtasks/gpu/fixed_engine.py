"""An engine that takes a fixed time for a batch of any size and no processor: what a GPU looks like to the pipeline.

It measures the pipeline where no GPU is at hand: whatever is lost against it, frames per second or milliseconds, is
lost in fetching, decoding and publishing. It sees the same boxes in every picture.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep

import numpy as np
from numpy.typing import NDArray

from fbtasks.detections import BatchCandidates
from fbtasks.errors import ConfigError
from fbtasks.gpu.frames import check_frames
from fbtasks.gpu.model import PreparedModel

_SPEC = re.compile(r"fixed:(\d+(?:\.\d+)?)ms")
_BOXES = 12
"""As many candidates above the worker's threshold as YOLO11n leaves of a picture with two horses, before NMS."""


@dataclass(frozen=True, slots=True)
class FixedEngine:
    """See the module's docstring, and `fbtasks.gpu.engine.Engine`.

    Attributes:
        run_s: how long a run takes, whatever the size of the batch, seconds.
        model: stands for a model: its input's size, and how many candidates come out.
    """

    run_s: float
    model: PreparedModel
    max_batch: int
    provider: str = field(default="fixed", init=False)
    at_once: int = field(default=1, init=False)

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        """Waits as the host waits for a device: asleep, without the GIL."""
        check_frames(frames, self.model, self.max_batch)
        sleep(self.run_s)
        return _same_boxes(len(frames), self.model)

    def warm_up(self) -> None:
        """Nothing is slower the first time."""


def fixed_engine(
    spec: str, max_batch: int, *, input_size: tuple[int, int] = (640, 640), candidates: int = 300
) -> FixedEngine:
    """The engine that `spec` describes, such as `fixed:20ms`.

    Args:
        spec: how long a run takes.
        max_batch: most pictures in one run.
        input_size: width and height of the pictures, pixels.
        candidates: boxes that come out for each picture.

    Raises:
        ConfigError: the text is none of that form, or the time is 0 or longer than 10 s.
    """
    match = _SPEC.fullmatch(spec)
    run_ms = float(match[1]) if match else 0.0
    if not 0 < run_ms <= 10_000:
        raise ConfigError(f"{spec!r} is no fixed engine: write fixed:20ms, with up to 10000 milliseconds for a batch")
    width, height = input_size
    model = PreparedModel(Path(spec), {0: "horse"}, width, height, candidates, f"fixed-{run_ms:g}ms", None)
    return FixedEngine(run_ms / 1000, model, max_batch)


def _same_boxes(count: int, model: PreparedModel) -> BatchCandidates:
    """`_BOXES` candidates as sure as can be in every picture, and the padding behind them."""
    box = np.array([0.25, 0.25, 0.75, 0.75], np.float32) * ([model.input_width, model.input_height] * 2)
    confidence = np.zeros((count, model.candidates), np.float32)
    confidence[:, :_BOXES] = 1.0
    xyxy = np.broadcast_to(box.astype(np.float32), (count, model.candidates, 4))
    return BatchCandidates(xyxy, confidence, np.zeros(confidence.shape, np.int32))
