"""What one family of detection heads must tell."""

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar, Protocol, Self

from fbtasks.gpu.heads.export import Export
from fbtasks.gpu.heads.graph import Reduction


class Pixels(Enum):
    """How a detector wants the pixels of its picture."""

    RGB_TO_ONE = "red, green, blue from 0 to 1"
    BGR_BYTES = "blue, green, red from 0 to 255"


class Head(Protocol):
    """One family of detection heads."""

    UNDERSTOOD: ClassVar[str]
    """What this family looks like, for the error message when none fits."""

    HEADS: ClassVar[frozenset[str]]
    """Values of the metadata 'head' that name it. Ultralytics' exporter leaves the class of the model's last layer."""

    pixels: ClassVar[Pixels]
    """What goes in."""

    @classmethod
    def recognise(cls, export: Export, names: Mapping[int, str]) -> Self | None:
        """The head of this export, or None if it is of another family."""

    def reduction(self, top_k: int) -> Reduction:
        """Nodes from the model's outputs to at most `top_k` candidates per picture, best first.

        They make `xyxy` float32 `[B, K, 4]` in input pixels, `confidence` float32 `[B, K]` and `class_id` int32
        `[B, K]`.
        """
