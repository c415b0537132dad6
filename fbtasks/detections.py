"""Boxes as arrays: what the engine finds in a batch, and what is left of it for one camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Int32s = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of one picture.

    Attributes:
        xyxy: float32 `[n, 4]`, left, top, right, bottom, in pixels. Of which picture, the owner says.
        confidence: float32 `[n]`, 0 to 1.
        class_id: int32 `[n]`, the model's class numbers.
    """

    xyxy: Float32s
    confidence: Float32s
    class_id: Int32s

    def __len__(self) -> int:
        return len(self.confidence)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Self:
        return type(self)(self.xyxy[index], self.confidence[index], self.class_id[index])

    @classmethod
    def empty(cls) -> Self:
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))


@dataclass(frozen=True, slots=True)
class BatchCandidates:
    """What one run of the model leaves: the K best candidates of each picture, before NMS, best first.

    Attributes:
        xyxy: float32 `[B, K, 4]`, in pixels of the model's input.
        confidence: float32 `[B, K]`; rows below the caller's threshold are padding.
        class_id: int32 `[B, K]`, the best class of each candidate.
    """

    xyxy: Float32s
    confidence: Float32s
    class_id: Int32s

    def __len__(self) -> int:
        return len(self.confidence)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of one part after another, at least one; no copy of a single one."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.xyxy for part in parts]),
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.class_id for part in parts]),
        )

    def of(self, index: int, threshold: float) -> Boxes:
        """Candidates of picture `index` with a confidence of at least `threshold`, in input pixels.

        Candidates that are not finite (a diverged half-precision run) are left out.
        """
        sure = np.flatnonzero(self.confidence[index] >= threshold)
        boxes = Boxes(self.xyxy[index][sure], self.confidence[index][sure], self.class_id[index][sure])
        finite = np.isfinite(boxes.xyxy)
        return boxes if finite.all() else boxes[np.flatnonzero(finite.all(axis=1))]
