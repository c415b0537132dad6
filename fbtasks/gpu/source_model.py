"""The exported detector as it comes: read, checked, and fixed to the size of picture it will see."""

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, ValueInfoProto, compose, external_data_helper, helper, shape_inference

from fbtasks.errors import EngineError, ModelUnsupported
from fbtasks.gpu.heads import PREFIX, SOURCE, Export, Shape, described

BATCH = "batch"
"""Name of the one open dimension of a graph."""

_MIN_OPSET = 11  # before it TopK and GatherElements lack what the reduction uses
_USUAL_STRIDE = 32
_RANK = 4
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A detector whose tensors all bear names of their own (`source/...`) and whose input has its size.

    Attributes:
        model: the graph, with inferred shapes.
        picture: its input, float32 or float16 `[batch, 3, height, width]`.
        export: what it says of itself.
    """

    model: ModelProto
    picture: ValueInfoProto
    export: Export


def read_file(path: Path) -> bytes:
    """The model file's bytes.

    Raises:
        EngineError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"cannot read the model {path}: {error.strerror}; set gpu.model to an ONNX file") from error


def parse(content: bytes, name: str, width: int, height: int) -> SourceModel:
    """The detector in `content`, fixed to pictures of `width` x `height` pixels.

    Fixing the size lets runtimes plan their memory and fold every shape but the batch.

    Args:
        content: an ONNX file.
        name: of the file, for messages.
        width: of the pictures.
        height: of the pictures.

    Raises:
        ModelUnsupported: it is no ONNX file, or its input is not float `[batch, 3, height, width]` with an open batch
            and room for the size.
    """
    model = decode(content, name)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    model = compose.add_prefix(model, SOURCE, inplace=True)
    picture = _picture_input(model)
    _check_size(picture, metadata.get("stride", ""), width, height)
    picture.CopyFrom(
        helper.make_tensor_value_info(picture.name, picture.type.tensor_type.elem_type, [BATCH, 3, height, width])
    )
    model = _infer_shapes(model, name)
    outputs = {_as_float(model, output): shape_of(output) for output in model.graph.output}
    operators = frozenset(node.op_type for node in model.graph.node)
    export = Export(outputs, metadata, opset_of(model), width, height, operators)
    return SourceModel(model, _picture_input(model), export)


def decode(content: bytes, name: str) -> ModelProto:
    """The ONNX model in `content`, as it was exported.

    Raises:
        ModelUnsupported: it is none, is incomplete, or is of a form that is not read here.
    """
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        model = ModelProto()
    if not model.graph.node or not model.graph.output:
        raise ModelUnsupported(f"{name} is not an ONNX model, or only a part of one")
    if any(external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer):
        raise ModelUnsupported(f"{name} keeps its weights in another file; export it as a single file")
    if opset_of(model) < _MIN_OPSET:
        raise ModelUnsupported(f"{name} uses ONNX opset {opset_of(model)}; export it with opset {_MIN_OPSET} or later")
    return model


def opset_of(model: ModelProto) -> int:
    """Version of the model's operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)


def inputs_of(model: ModelProto) -> list[ValueInfoProto]:
    """The model's inputs; old exports list their weights among them, which are left out."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def _picture_input(model: ModelProto) -> ValueInfoProto:
    inputs = inputs_of(model)
    if len(inputs) != 1:
        raise ModelUnsupported(
            f"the model has {len(inputs)} inputs; one is expected, pictures [batch, 3, height, width]"
        )
    return inputs[0]


def _check_size(picture: ValueInfoProto, stride: str, width: int, height: int) -> None:
    shape = shape_of(picture)
    if picture.type.tensor_type.elem_type not in _FLOATS or len(shape) != _RANK or shape[1] not in {3, None}:
        raise ModelUnsupported(
            f"the model's input is {tensor_in_words(picture)}; expected is float [batch, 3, height, width]"
        )
    batch, _, own_height, own_width = shape
    if batch is not None:
        raise ModelUnsupported(
            f"the model only takes batches of exactly {batch}; export it with an open batch (dynamic=True)"
        )
    if own_height not in {height, None} or own_width not in {width, None}:
        raise ModelUnsupported(
            f"the model only takes pictures of {own_width}x{own_height}, not {width}x{height}; set gpu.input_width and "
            "gpu.input_height to its size, or export it with dynamic=True"
        )
    step = int(stride) if stride.isdecimal() and int(stride) > 0 else _USUAL_STRIDE
    if width % step or height % step:
        raise ModelUnsupported(f"the input size {width}x{height} is not a multiple of {step}, the model's stride")


def _infer_shapes(model: ModelProto, name: str) -> ModelProto:
    """The model with the shapes that follow from its input's, whatever the export declared."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")  # else a declared but open dimension hides the inferred one
    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except shape_inference.InferenceError as error:
        raise ModelUnsupported(f"{name} contradicts itself: {error}") from error


def _as_float(model: ModelProto, output: ValueInfoProto) -> str:
    """Name of the output as float32; a half-precision one gets a cast."""
    if output.type.tensor_type.elem_type == TensorProto.FLOAT:
        return output.name
    name = f"{PREFIX}{output.name}"
    model.graph.node.append(helper.make_node("Cast", [output.name], [name], name=f"{name}/Cast", to=TensorProto.FLOAT))
    return name


def shape_of(value: ValueInfoProto) -> Shape:
    """The shape that the model declares for an input or output."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def tensor_in_words(value: ValueInfoProto) -> str:
    """Such as `float [?, 3, 640, 640]`."""
    element = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return f"{element} {described(shape_of(value))}"
