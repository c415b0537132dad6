"""The detector that really looks: pictures of the drawn stable through the producer's encoder, JPEG and a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fbtasks.cli.engine import engine_of
from fbtasks.detections import Boxes
from fbtasks.frame import tight_input
from fbtasks.gpu.engine import Engine
from fbtasks.gpu.preprocess import decode_into
from fbtasks.producer.encoder import Encoder
from fbtasks.settings import Settings
from fbtasks.sim.motion import Spans
from fbtasks.sim.scene import Scene
from fbtasks.sim.stage import Conditions, Placed
from fbtasks.sim.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Pixels:
    """What makes such detectors, one for each story.

    Attributes:
        model: the ONNX file; opened once for each size of input.
    """

    model: Path
    settings: Settings
    _engines: dict[tuple[int, int], Engine] = field(default_factory=dict)

    def __call__(self, timeline: Timeline, _seed: int) -> "PixelDetector":
        return PixelDetector(timeline, self)

    def engine(self, size: tuple[int, int]) -> Engine:
        """The model in the settings' engine, for pictures of that width and height.

        Raises:
            EngineError: the model or the provider cannot be used here.
        """
        if size not in self._engines:
            provider = self.settings.gpu.provider
            self._engines[size] = engine_of(self.settings, self.model, size, provider=provider, max_batch=1)
        return self._engines[size]


class PixelDetector:
    """Draws each picture and runs the model on it, a picture at a time."""

    def __init__(self, timeline: Timeline, pixels: Pixels) -> None:
        camera, gpu = timeline.scenario.camera, pixels.settings.gpu
        full, tight = (gpu.input_width, gpu.input_height), gpu.input == "auto"
        width, height = size = tight_input(camera.width, camera.height, *full) if tight else full
        self._scene = Scene(timeline.place, camera.width, camera.height)
        self._encoder = Encoder(*full, pixels.settings.producer.jpeg_quality, tight=tight)
        self._engine = pixels.engine(size)
        self._least = gpu.min_confidence
        self._input = np.empty((1, height, width, 3), np.uint8)

    @property
    def names(self) -> dict[int, str]:
        return self._engine.model.names

    @property
    def hidden(self) -> Mapping[str, Spans]:
        return {}

    def boxes(self, placed: list[Placed], conditions: Conditions, t: float) -> Boxes:
        letterbox, jpeg = self._encoder.encode(self._scene.picture(placed, conditions, round(t * 1000)))
        decode_into(jpeg, self._input[0])
        found = self._engine.run(self._input).of(0, self._least)
        return Boxes(letterbox.to_source(found.xyxy), found.confidence, found.class_id)
