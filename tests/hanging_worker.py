"""A GPU worker whose engine hangs in its third run, as a driver does: `python -m tests.hanging_worker`."""

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fbtasks.cli.infer import serve
from fbtasks.detections import BatchCandidates
from fbtasks.gpu.engine import Engine
from fbtasks.gpu.engines import Engines
from fbtasks.gpu.fixed_engine import fixed_engine
from fbtasks.gpu.model import PreparedModel
from fbtasks.settings import load_settings

SIDE = 64


@dataclass
class HangingEngine:
    """See the module's docstring."""

    inner: Engine
    runs: int = field(default=0)

    @property
    def provider(self) -> str:
        return self.inner.provider

    @property
    def max_batch(self) -> int:
        return self.inner.max_batch

    @property
    def at_once(self) -> int:
        return self.inner.at_once

    @property
    def model(self) -> PreparedModel:
        return self.inner.model

    def warm_up(self) -> None:
        """Nothing is slow."""

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        self.runs += 1
        if self.runs == 3:
            threading.Event().wait()
        return self.inner.run(frames)


if __name__ == "__main__":
    serve(load_settings(), Engines(HangingEngine(fixed_engine("fixed:5ms", 2, input_size=(SIDE, SIDE), candidates=20))))
