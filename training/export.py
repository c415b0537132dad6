"""From the trained network to an ONNX file with the outside of an Ultralytics export."""

import warnings
from datetime import date
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from fbtasks import __version__
from training.labels import NAMES
from training.network import STRIDES, Network, distances, middles

INPUT = 640
OPSET = 17
DESCRIPTION = "Detector for the simulated pictures of the fbtasks demonstration; of no use on real horses"


class Exported(nn.Module):
    """The network with the output of YOLO11: `[B, 4 + classes, N]`, middle and size in input pixels, then scores."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        levels = zip(self.network.levels(pictures), STRIDES, strict=True)
        return torch.cat([_flat(scores, reaches, stride) for (scores, reaches), stride in levels], 2)


def _flat(scores: Tensor, reaches: Tensor, stride: int) -> Tensor:
    """`[B, 4 + classes, h * w]`; as `Network.forward`, in an order of steps whose shapes ONNX can tell beforehand."""
    distance = distances(reaches) * stride
    low, high = distance[:, :2], distance[:, 2:]
    x = middles(scores.shape[3], stride)[None, None, None, :] + (high - low)[:, :1] / 2
    y = middles(scores.shape[2], stride)[None, None, :, None] + (high - low)[:, 1:] / 2
    return torch.cat([x, y, low + high, scores.sigmoid()], 1).flatten(2)


def export(network: Network, path: Path, made_on: date, training: str) -> None:
    """Write the network as ONNX; any batch and any size that is a multiple of the largest stride.

    Args:
        network: trained.
        path: of the file.
        made_on: for its metadata.
        training: on what and how long, likewise.
    """
    exported = Exported(network).eval()
    dynamic = {"images": {0: "batch", 2: "height", 3: "width"}, "output0": {0: "batch", 2: "anchors"}}
    with warnings.catch_warnings():
        # The exporter that torch recommends instead needs two packages more, and this one does the same for us.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported,
            (torch.zeros(2, 3, INPUT, INPUT),),
            str(path),
            input_names=["images"],
            output_names=["output0"],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    _tell_shapes(model)
    onnx.helper.set_model_props(model, _metadata(made_on, training))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    _require_the_same(exported, path)


def _tell_shapes(model: onnx.ModelProto) -> None:
    """Say what the three flattenings and the output keep, so that the number of cells follows from the picture's size.

    The exporter computes their shapes while the model runs, and then nobody can tell them beforehand.
    """
    kept = onnx.numpy_helper.from_array(np.array([0, 4 + len(NAMES), -1]), "flat")
    model.graph.initializer.append(kept)
    for node in model.graph.node:
        if node.op_type == "Reshape":
            node.input[1] = kept.name
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4 + len(NAMES)
    wanted = {output.name for output in model.graph.output}
    for node in reversed(list(model.graph.node)):
        if wanted.isdisjoint(node.output):
            model.graph.node.remove(node)
        else:
            wanted.update(node.input)


def _require_the_same(exported: Exported, path: Path) -> None:
    """Stop if ONNX Runtime and torch do not agree on noise, at another batch and size than the export's."""
    noise = torch.rand(3, 3, 384, INPUT, generator=torch.Generator().manual_seed(0))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"images": noise.numpy()})
    with torch.no_grad():
        wanted = exported(noise)
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-3, atol=1e-2)


def _metadata(made_on: date, training: str) -> dict[str, str]:
    """The keys that an export by Ultralytics carries."""
    return {
        "description": DESCRIPTION,
        "author": "fbtasks",
        "date": made_on.isoformat(),
        "version": __version__,
        "license": "Apache-2.0",
        "stride": str(max(STRIDES)),
        "task": "detect",
        "batch": "1",
        "imgsz": str([INPUT, INPUT]),
        "names": str(NAMES),
        "training": training,
    }
