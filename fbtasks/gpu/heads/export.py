"""What an exported detector says of itself: shapes, metadata, class names."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from fbtasks.errors import ModelUnsupported
from fbtasks.gpu.heads.graph import PREFIX, SOURCE

Shape = tuple[int | None, ...]
"""Of a tensor; None where the export leaves a dimension open."""


def described(shape: Shape) -> str:
    """Such as `[?, 84, 8400]`."""
    return f"[{', '.join('?' if dim is None else str(dim) for dim in shape)}]"


def _own_name(tensor: str) -> str:
    return tensor.removeprefix(PREFIX).removeprefix(SOURCE)


@dataclass(frozen=True, slots=True)
class Export:
    """What an ONNX file says of itself.

    Attributes:
        outputs: shape of each output by name, float32, at the input size that will be used.
        metadata: key and value strings that the exporter left.
        opset: version of the operators.
        width, height: of the input that will be used, in pixels.
        operators: kinds of its nodes.
    """

    outputs: Mapping[str, Shape]
    metadata: Mapping[str, str]
    opset: int
    width: int = 640
    height: int = 640
    operators: frozenset[str] = frozenset()

    @property
    def is_detector(self) -> bool:
        """Whether it claims to be one, or claims nothing."""
        return self.metadata.get("task", "detect") == "detect"

    @property
    def ends_in_nms(self) -> bool:
        """Whether Ultralytics' exporter says that it has put non-maximum suppression into the graph (`nms=True`)."""
        return "'nms': True" in self.metadata.get("args", "")

    def described(self) -> str:
        """The outputs in words, for error messages."""
        outputs = (f"{_own_name(name)} {described(shape)}" for name, shape in self.outputs.items())
        task = self.metadata.get("task")
        return ", ".join(outputs) + (f" (task {task!r})" if task else "")


def class_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Class names by number, from the `names` that Ultralytics' exporter leaves as a Python dict literal.

    Raises:
        ModelUnsupported: there are none, or they are no dict of consecutive numbers from 0 to non-empty names.
    """
    literal = metadata.get("names")
    if literal is None:
        raise ModelUnsupported(
            "the model carries no class names (metadata 'names'): export it with ultralytics, or add the metadata, "
            "a dict such as {0: 'horse', 1: 'person'}"
        )
    try:
        names = ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = None
    if not _are_names(names):
        raise ModelUnsupported(
            f"the model's class names (metadata 'names') must be a dict of 0, 1, 2, ... to names, not {literal[:80]!r}"
        )
    return dict(names)


def _are_names(names: object) -> bool:
    return (
        isinstance(names, dict)
        and len(names) > 0
        and set(names) == set(range(len(names)))
        and all(isinstance(name, str) and name for name in names.values())
    )
