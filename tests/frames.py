"""Frames as the producer sends them."""

from typing import Any

import numpy as np

from fbtasks.producer.encoder import Encoder
from fbtasks.wire import Frame


def grey_frame(
    camera_id: str = "box-3", *, captured_at: float, seq: int = 7, shade: int = 90, size: tuple[int, int] = (1280, 720)
) -> Frame:
    """A grey picture of that width and height."""
    width, height = size
    letterbox, jpeg = Encoder(640, 640, 85, tight=True).encode(np.full((height, width, 3), shade, np.uint8))
    facts: dict[str, Any] = {name: getattr(letterbox, name) for name in ("width", "height", "scale", "pad_x", "pad_y")}
    return Frame(camera_id=camera_id, seq=seq, captured_at=captured_at, sent_at=captured_at, jpeg=jpeg, **facts)
