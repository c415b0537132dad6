"""A network out of its exported file, so that it can go on learning where the checkpoint is no longer at hand."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from training.labels import NAMES
from training.network import Network, Unit
from training.pictures import Labelled

_PICTURES = 256
"""From which the norms are told again what they normalise."""
_AT_ONCE = 16


def resumed(path: Path, pictures: Iterator[Labelled]) -> Network:
    """The exported network; it says what the file says, and can be trained.

    The export merges each norm with the convolution before it. Here the norms get back the mean and variance of what
    comes to them, with the scale and the shift that undo both.

    Args:
        path: ONNX file of `training.export`.
        pictures: to see what comes; 256 are taken.

    Raises:
        KeyError: the file is of another network.
    """
    network = Network(len(NAMES))
    network.eval()
    graph = onnx.load(path).graph
    known = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    units = {f"{name}.0": module for name, module in network.named_modules() if isinstance(module, Unit)}
    with torch.no_grad():
        for node in graph.node:
            if node.op_type != "Conv":
                continue
            name, weight, bias = _module(node.name), known[node.input[1]], known[node.input[2]]
            conv = network.get_submodule(name)
            assert isinstance(conv, nn.Conv2d)
            conv.weight.copy_(weight)
            if conv.bias is not None:
                conv.bias.copy_(bias)
            else:
                _norm(units[name]).bias.copy_(bias)
        for unit in units.values():
            _norm(unit).running_var.fill_(1.0 - _norm(unit).eps)
        _tell_norms(network, list(units.values()), islice(pictures, _PICTURES))
    return network


def _module(node: str) -> str:
    """`stem.0.0` of `/stem/stem.0/stem.0.0/Conv`: a part that begins with the one before it replaces that."""
    parts: list[str] = []
    for part in node.removeprefix("/").removeprefix("network/").split("/")[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def _norm(unit: Unit) -> nn.BatchNorm2d:
    norm = unit[1]
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


def _tell_norms(network: Network, units: list[Unit], pictures: Iterator[Labelled]) -> None:
    sums: dict[nn.Module, list[Tensor]] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        came = inputs[0].double()
        of_batch = [came.mean((0, 2, 3)), came.square().mean((0, 2, 3)), torch.ones(1)]
        sums[norm] = [known + new for known, new in zip(sums.get(norm, [0.0] * 3), of_batch, strict=True)]

    hooks = [_norm(unit).register_forward_pre_hook(note) for unit in units]
    while some := list(islice(pictures, _AT_ONCE)):
        network(torch.stack([torch.from_numpy(one.pixels()).permute(2, 0, 1).float() / 255 for one in some]))
    for hook in hooks:
        hook.remove()
    for unit in units:
        norm = _norm(unit)
        mean, square = (total / sums[norm][2] for total in sums[norm][:2])
        variance = (square - mean.square()).clamp(min=0.0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias += mean
