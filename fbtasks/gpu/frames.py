"""What every engine asks of a batch of pictures."""

import numpy as np
from numpy.typing import NDArray

from fbtasks.gpu.model import PreparedModel


def check_frames(frames: NDArray[np.uint8], model: PreparedModel, max_batch: int) -> None:
    """Refuse a batch that the model cannot take.

    Raises:
        ValueError: not uint8 `[B, H, W, 3]` of the model's input size with `B` from 1 to `max_batch`.
    """
    picture = (model.input_height, model.input_width, 3)
    if frames.dtype != np.uint8 or frames.shape != (len(frames), *picture):
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected is uint8 (B, *{picture})")
    if not 1 <= len(frames) <= max_batch:
        raise ValueError(f"a batch of {len(frames)} frames; expected are 1 to {max_batch}")
