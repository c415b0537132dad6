"""What an ONNX file says of itself, and why it cannot be used, if it cannot."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, ValueInfoProto

from fbtasks.errors import ModelUnsupported
from fbtasks.gpu.heads import Head, class_names, recognise
from fbtasks.gpu.source_model import decode, inputs_of, opset_of, parse, read_file, shape_of, tensor_in_words

NAMES_SHOWN = 8
_OPEN = "any"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of a model without running it.

    Attributes:
        inputs, outputs: name, element and declared shape of each, in words.
        batch: how many pictures it takes at once, "any" or a number; None if it takes no pictures.
        input_size: of these pictures, "any" or width x height in pixels, with "any" for the open one.
        head: the family of its detection head, None if it is of none that is known.
        names: class names by class number; none if they are missing or malformed.
        licence: what the export says of its licence.
        made_by: program and version of its export, as far as they are told.
        opset: version of its operators.
        refusal: why it cannot be used, None if it can.
    """

    inputs: list[str]
    outputs: list[str]
    batch: str | None
    input_size: str | None
    head: str | None
    names: dict[int, str]
    licence: str | None
    made_by: str
    opset: int
    refusal: str | None


def inspect(path: Path, width: int, height: int) -> Inspection:
    """What the file says, and whether it can be used with pictures of `width` x `height` pixels.

    Raises:
        EngineError: the file cannot be read.
        ModelUnsupported: it is no ONNX file, not all of one, or of operators that are too old.
    """
    content = read_file(path)
    model = decode(content, path.name)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    inputs = inputs_of(model)
    batch, size = _picture(inputs)
    head, refusal = _judged(content, path.name, width, height)
    return Inspection(
        inputs=[_in_words(value) for value in inputs],
        outputs=[_in_words(value) for value in model.graph.output],
        batch=batch,
        input_size=size,
        head=head.UNDERSTOOD if head else None,
        names=_names(metadata),
        licence=metadata.get("license"),
        made_by=_maker(model, metadata),
        opset=opset_of(model),
        refusal=refusal,
    )


def classes_in_words(names: Mapping[int, str], animals: Collection[str], persons: Collection[str]) -> str:
    """How many classes there are and which are used, such as `80, used are horse (animal), person (person)`.

    Args:
        names: the model's, by class number.
        animals: class names that are the animal.
        persons: class names that are a person.
    """
    kinds = dict.fromkeys(persons, "person") | dict.fromkeys(animals, "animal")
    used = [f"{name} ({kinds[name]})" for name in names.values() if name in kinds]
    return f"{len(names)}, " + (f"used are {', '.join(used)}" if used else "none of them used")


def unused_advice(names: Mapping[int, str], animals: Collection[str]) -> str | None:
    """What to do about a model that knows no class of the animal's; None when it knows one."""
    if set(animals) & set(names.values()):
        return None
    shown = ", ".join(list(names.values())[:NAMES_SHOWN]) + (" and more" if len(names) > NAMES_SHOWN else "")
    return (
        f"no class is one of logic.animal_classes ({', '.join(animals)}), so no horse would be seen; set it to the "
        f"animal's among the model's classes: {shown}"
    )


def _judged(content: bytes, name: str, width: int, height: int) -> tuple[Head | None, str | None]:
    """The head, and the reason for refusing the model."""
    try:
        head, _ = recognise(parse(content, name, width, height).export)
    except ModelUnsupported as error:
        return None, str(error)
    return head, None


def _names(metadata: Mapping[str, str]) -> dict[int, str]:
    try:
        return class_names(metadata)
    except ModelUnsupported:
        return {}  # the refusal says so


def _picture(inputs: list[ValueInfoProto]) -> tuple[str | None, str | None]:
    shapes = [shape_of(value) for value in inputs]
    match shapes:
        case [(batch, _, None, None)]:
            return str(batch or _OPEN), _OPEN
        case [(batch, _, height, width)]:
            return str(batch or _OPEN), f"{width or _OPEN}x{height or _OPEN}"
    return None, None


def _in_words(value: ValueInfoProto) -> str:
    return f"{value.name} {tensor_in_words(value)}"


def _maker(model: ModelProto, metadata: Mapping[str, str]) -> str:
    """Ultralytics tells its own version in the metadata; the field for it names PyTorch."""
    if "author" in metadata:
        return f"{metadata['author']} {metadata.get('version', '')}".strip()
    return f"{model.producer_name} {model.producer_version}".strip()
