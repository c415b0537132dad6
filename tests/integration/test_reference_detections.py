"""Detections against ultralytics' own on 99 photographs, and what the JPEG between producer and worker costs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fbtasks.detections import Boxes
from fbtasks.frame import PAD_VALUE, Letterbox, tight_input
from fbtasks.gpu.engine import Engine, Provider, open_engine
from fbtasks.gpu.half import half_graph
from fbtasks.gpu.model import PreparedModel, prepare
from fbtasks.gpu.preprocess import decode_into
from fbtasks.logic.nms import non_max_suppression
from tests.average_precision import Truth, ap50, overlaps

SIDE = 640
CONFIDENCE, NMS_IOU = 0.25, 0.45
AP_CONFIDENCE = 0.001

Found = dict[str, Boxes]


@dataclass(frozen=True)
class Photograph:
    """A picture and its letterboxed form, RGB `[640, 640, 3]`, or less where the border is left out."""

    name: str
    letterbox: Letterbox
    pixels: NDArray[np.uint8]


def photograph(path: Path, *, tight: bool = False) -> Photograph:
    picture = cv2.imread(str(path))
    assert picture is not None
    height, width = picture.shape[:2]
    columns, rows = tight_input(width, height, SIDE, SIDE) if tight else (SIDE, SIDE)
    letterbox = Letterbox.fit(width, height, columns, rows)
    inner_width, inner_height = letterbox.resized
    canvas = np.full((rows, columns, 3), PAD_VALUE, np.uint8)
    inner = canvas[letterbox.pad_y :, letterbox.pad_x :][:inner_height, :inner_width]
    inner[:] = cv2.resize(picture, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    return Photograph(path.name, letterbox, np.ascontiguousarray(canvas[..., ::-1]))


@pytest.fixture(scope="module")
def expected(shared_data: Path) -> dict[str, Any]:
    """What ultralytics predicts: boxes in source pixels, scores and classes by picture."""
    content: dict[str, Any] = json.loads((shared_data / "reference" / "yolo11n.json").read_text())
    return content


@pytest.fixture(scope="module")
def paths(shared_data: Path, expected: dict[str, Any]) -> list[Path]:
    """Of all pictures, in one order."""
    found = {path.name: path for folder in ("images", "coco/images") for path in (shared_data / folder).iterdir()}
    return [found[name] for name in expected]


@pytest.fixture(scope="module")
def photographs(paths: list[Path]) -> list[Photograph]:
    return [photograph(path) for path in paths]


@pytest.fixture(scope="module")
def model(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    return prepare(shared_data / "models" / "yolo11n.onnx", tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def engine(model: PreparedModel) -> Engine:
    return open_engine(model, provider="cpu", max_batch=1, cache_dir=model.path.parent)


def boxes(engine: Engine, pixels: NDArray[np.uint8]) -> Boxes:
    """Candidates of one picture, in input pixels."""
    return engine.run(pixels[None]).of(0, AP_CONFIDENCE)


@pytest.fixture(scope="module")
def candidates(engine: Engine, photographs: list[Photograph]) -> Found:
    """Candidates of every picture, no JPEG in between."""
    return {photo.name: boxes(engine, photo.pixels) for photo in photographs}


def detections(candidates: Boxes, letterbox: Letterbox, confidence: float) -> Boxes:
    """What the logic makes of candidates: boxes in source pixels."""
    kept = non_max_suppression(candidates[candidates.confidence >= confidence], NMS_IOU)
    return Boxes(letterbox.to_source(kept.xyxy), kept.confidence, kept.class_id)


def pairs(found: Boxes, expected: Boxes) -> Iterator[tuple[int, int, float]]:
    """Expected box, the found box of its class that lies best on it, and their overlap; no found box twice."""
    table = overlaps(expected.xyxy, found.xyxy)
    table[expected.class_id[:, None] != found.class_id[None]] = 0
    for index in range(len(expected)):
        best = int(table[index].argmax())
        yield index, best, float(table[index, best])
        table[:, best] = -1


def reference_boxes(entry: dict[str, Any]) -> Boxes:
    return Boxes(
        np.array(entry["boxes"], np.float32).reshape(-1, 4),
        np.array(entry["scores"], np.float32),
        np.array(entry["classes"], np.int32),
    )


def test_detections_are_those_of_ultralytics(
    candidates: Found, photographs: list[Photograph], expected: dict[str, Any]
) -> None:
    assert len(photographs) == 99
    for photo in photographs:
        found = detections(candidates[photo.name], photo.letterbox, CONFIDENCE)
        wanted = reference_boxes(expected[photo.name])
        assert len(found) == len(wanted), photo.name
        for index, best, overlap in pairs(found, wanted):
            assert overlap > 0.99, (photo.name, wanted.xyxy[index])
            assert abs(found.confidence[best] - wanted.confidence[index]) < 0.01, (photo.name, wanted.xyxy[index])


def test_openvino_agrees_in_float32(model: PreparedModel, photographs: list[Photograph], candidates: Found) -> None:
    engine = open_engine(model, provider="openvino", max_batch=1, precision="float32", cache_dir=model.path.parent)
    for photo in photographs[:10]:
        wanted = detections(candidates[photo.name], photo.letterbox, CONFIDENCE)
        found = detections(boxes(engine, photo.pixels), photo.letterbox, CONFIDENCE)
        assert len(found) == len(wanted), photo.name
        for index, best, overlap in pairs(found, wanted):
            assert overlap > 0.99
            assert abs(found.confidence[best] - wanted.confidence[index]) < 0.01


def test_half_precision_keeps_what_is_sure(
    model: PreparedModel, photographs: list[Photograph], candidates: Found
) -> None:
    """Nineteen of twenty sure boxes. Where the processor has no half precision this compares float32 with itself."""
    engine = open_engine(model, provider="openvino", max_batch=1, precision="auto", cache_dir=model.path.parent)
    kept: list[bool] = []
    for photo in photographs[:20]:
        wanted = detections(candidates[photo.name], photo.letterbox, 0.5)
        found = detections(boxes(engine, photo.pixels), photo.letterbox, 0.4)
        for index, best, overlap in pairs(found, wanted):
            kept.append(overlap > 0.9 and abs(found.confidence[best] - wanted.confidence[index]) < 0.1)
    assert len(kept) > 50
    assert np.mean(kept) > 0.95


def truth(label: Path, letterbox: Letterbox) -> Truth:
    """COCO's boxes of one picture, from YOLO's text form: class, then centre and size as shares of the picture."""
    rows = np.loadtxt(label, ndmin=2).reshape(-1, 5)
    centre, half = rows[:, 1:3], rows[:, 3:5] / 2
    size = [letterbox.width, letterbox.height] * 2
    xyxy = np.concatenate([centre - half, centre + half], axis=1) * size
    return Truth(xyxy.astype(np.float32), rows[:, 0].astype(np.int64))


def through_jpeg(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels as the worker sees them after the producer's JPEG of quality 85."""
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    out = np.empty_like(pixels)
    decode_into(encoded.tobytes(), out)
    return out


@pytest.fixture(scope="module")
def labels(shared_data: Path) -> dict[str, Path]:
    """Of those pictures that have true boxes, by the picture's stem."""
    return {path.stem: path for path in (shared_data / "coco" / "labels").iterdir()}


def ap50_of(found: Found, photographs: list[Photograph], labels: dict[str, Path]) -> float:
    """AP50 of candidates, over those of their pictures that have true boxes."""
    labelled = [photo for photo in photographs if photo.name in found and Path(photo.name).stem in labels]
    assert len(labelled) >= 40
    return ap50(
        [
            (
                detections(found[photo.name], photo.letterbox, AP_CONFIDENCE),
                truth(labels[Path(photo.name).stem], photo.letterbox),
            )
            for photo in labelled
        ]
    )


def tight_candidates(shared_data: Path, photographs: list[Photograph], provider: Provider) -> Found:
    """Candidates of the pictures of the three usual sizes that lie across, each by an engine of its size."""
    found: Found = {}
    for size in ((640, 384), (640, 448), (640, 480)):
        with TemporaryDirectory() as folder:
            prepared = prepare(shared_data / "models" / "yolo11n.onnx", Path(folder), input_size=size)
            engine = open_engine(prepared, provider=provider, max_batch=1, cache_dir=Path(folder))
            found |= {
                photo.name: boxes(engine, photo.pixels) for photo in photographs if photo.pixels.shape[1::-1] == size
            }
    return found


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_sure_boxes_are_the_same_without_the_border(
    shared_data: Path, paths: list[Path], photographs: list[Photograph], candidates: Found, provider: Provider
) -> None:
    """Against the CPU provider at 640x640; OpenVINO in half precision, where there is one: the fastest way here.

    The model sees other pixels beyond the picture's edge, so boxes and confidences are not those to the digit.
    """
    tight = {photo.name: photo for photo in (photograph(path, tight=True) for path in paths)}
    found = tight_candidates(shared_data, list(tight.values()), provider)
    best_overlaps: list[float] = []
    for photo in photographs:
        if photo.name in found:
            wanted = detections(candidates[photo.name], photo.letterbox, 0.5)
            seen = detections(found[photo.name], tight[photo.name].letterbox, CONFIDENCE)
            best_overlaps += [overlap for *_, overlap in pairs(seen, wanted)]
    same, close = (np.mean(np.array(best_overlaps) > least) for least in (0.5, 0.9))
    print(f"{provider}: of {len(best_overlaps)} sure boxes {same:.3f} are found, {close:.3f} with IoU over 0.9")
    assert len(best_overlaps) > 200
    assert same > 0.98
    assert close > 0.9


def test_leaving_out_the_border_costs_at_most_a_hundredth_of_ap50(
    shared_data: Path, paths: list[Path], photographs: list[Photograph], candidates: Found, labels: dict[str, Path]
) -> None:
    """What a producer sends by default, through an engine of its size; the three usual sizes that lie across."""
    tight = [photograph(path, tight=True) for path in paths]
    found = tight_candidates(shared_data, tight, "cpu")
    whole = ap50_of({name: candidates[name] for name in found}, photographs, labels)
    cut = ap50_of(found, tight, labels)
    print(f"AP50 of {len(found)} pictures: {whole:.4f} at 640x640, {cut:.4f} without needless border")
    assert cut > whole - 0.01


def test_half_precision_of_the_cuda_graph_costs_at_most_a_hundredth_of_ap50(
    model: PreparedModel, photographs: list[Photograph], candidates: Found, labels: dict[str, Path]
) -> None:
    """The graph that the CUDA provider is given, its weights and what flows between its nodes in float16."""
    halved = replace(model, path=half_graph(model.path))
    engine = open_engine(halved, provider="cpu", max_batch=1, cache_dir=model.path.parent)
    found = {photo.name: boxes(engine, photo.pixels) for photo in photographs[:50]}
    whole = ap50_of({name: candidates[name] for name in found}, photographs, labels)
    half = ap50_of(found, photographs, labels)
    print(f"AP50 of {len(found)} pictures: {whole:.4f} in float32, {half:.4f} in float16")
    assert half > whole - 0.01


def test_the_jpeg_step_costs_at_most_a_hundredth_of_ap50(
    engine: Engine, photographs: list[Photograph], candidates: Found, labels: dict[str, Path]
) -> None:
    squeezed = {photo.name: boxes(engine, through_jpeg(photo.pixels)) for photo in photographs}
    plain = ap50_of(candidates, photographs, labels)
    assert plain > 0.6
    assert ap50_of(squeezed, photographs, labels) > plain - 0.01
