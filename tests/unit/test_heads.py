"""Heads: which outputs are recognised, and that the reduction keeps what a plain calculation keeps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from fbtasks.errors import ModelUnsupported
from fbtasks.gpu.heads import (
    CLASS_ID,
    CONFIDENCE,
    FAMILIES,
    XYXY,
    AnchorFreeYolo,
    Detr,
    EndToEnd,
    Export,
    Head,
    Shape,
    Yolox,
    class_names,
    recognise,
)

NAMES = {"names": "{0: 'horse', 1: 'person'}"}


def export(*shapes: Shape, **metadata: str) -> Export:
    return Export({f"output{number}": shape for number, shape in enumerate(shapes)}, NAMES | metadata, 17)


def test_yolo_is_recognised_with_its_names() -> None:
    head, names = recognise(export((None, 6, 8400), task="detect"))
    assert head == AnchorFreeYolo("output0", 2, 8400, 17)
    assert names == {0: "horse", 1: "person"}


@pytest.mark.parametrize(
    ("found", "family"),
    [
        (export((None, 6, 8400), head="Detect", end2end="False"), AnchorFreeYolo),
        (export((None, 300, 6), head="Detect", end2end="True"), EndToEnd),
        (export((None, 300, 6), end2end="False", args="{'nms': True}"), EndToEnd),
        (export((None, 300, 6), head="RTDETRDecoder", end2end="False", args="{'nms': False}"), Detr),
        (export((None, 300, 6), (None, 1)), None),
        (export((None, 8400, 7)), Yolox),
        (export((None, 8500, 7)), Yolox),
        (export((None, 300, 4), (None, 300, 2)), Detr),
        (export((None, 300, 2), (None, 300, 4)), Detr),
    ],
)
def test_families_are_told_apart(found: Export, family: type[Head] | None) -> None:
    if family is None:
        with pytest.raises(ModelUnsupported):
            recognise(found)
    else:
        assert isinstance(recognise(found)[0], family)


def test_of_two_outputs_the_boxes_are_those_with_four_columns_or_the_name() -> None:
    four = {"names": "{0: 'a', 1: 'b', 2: 'c', 3: 'd'}"}
    by_name = Export({"logits": (None, 9, 4), "pred_boxes": (None, 9, 4)}, four, 17)
    assert recognise(by_name)[0] == Detr("pred_boxes", "logits", 9, 4, 640, 640, 17)
    with pytest.raises(ModelUnsupported, match="no known detection head"):
        recognise(Export({"first": (None, 9, 4), "second": (None, 9, 4)}, four, 17))


def test_an_exponential_in_the_graph_means_that_yolox_boxes_are_in_pixels() -> None:
    for operators, decoded in ((frozenset({"Conv"}), False), (frozenset({"Conv", "Exp"}), True)):
        head, _ = recognise(Export({"output": (None, 126, 7)}, NAMES, 11, 96, 64, operators))
        assert head == Yolox("output", 2, (8, 16, 32), 96, 64, decoded, 11)


@pytest.mark.parametrize(
    ("found", "families"),
    [
        (export((None, 300, 6)), (EndToEnd, Detr)),
        (export((None, 6, 6)), (AnchorFreeYolo, EndToEnd, Detr)),
        (Export({"output": (None, 126, 6)}, {"names": "{0: 'horse'}"}, 17, 96, 64), (EndToEnd, Yolox)),
    ],
)
def test_what_fits_two_families_is_refused_until_the_metadata_decide(
    found: Export, families: tuple[type[Head], ...]
) -> None:
    with pytest.raises(ModelUnsupported, match=r"which may be .* Say which in the metadata") as refusal:
        recognise(found)
    assert all(family.UNDERSTOOD in str(refusal.value) for family in families)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (export((None, 300, 8)), r"output0 \[\?, 300, 8\]"),
        (export((None, 8401, 7)), r"output0 \[\?, 8401, 7\]"),
        (export((None, 84, 8400)), r"\[\?, 84, 8400\] with 2 class names"),
        (export((None, 6, None)), r"\[\?, 6, \?\]"),
        (export((None, 6, 8400), (None, 32, 160, 160)), r"output1 \[\?, 32, 160, 160\]"),
        (export((None, 300, 4), (None, 300, 3)), r"output1 \[\?, 300, 3\]"),
        (export((None, 6, 8400), task="obb"), "task 'obb'"),
    ],
)
def test_another_head_is_refused_with_what_was_found_and_what_is_understood(found: Export, said: str) -> None:
    with pytest.raises(ModelUnsupported, match=said) as refusal:
        recognise(found)
    assert all(family.UNDERSTOOD in str(refusal.value) for family in FAMILIES)


def test_missing_names_are_named() -> None:
    with pytest.raises(ModelUnsupported, match="carries no class names"):
        class_names({})


@pytest.mark.parametrize(
    "literal",
    ["", "horse", "['horse']", "{}", "{1: 'horse'}", "{0: 7}", "{0: ''}", "{'0': 'horse'}", "exit()", "(" * 500],
)
def test_malformed_names_are_refused(literal: str) -> None:
    with pytest.raises(ModelUnsupported, match="must be a dict"):
        class_names({"names": literal})


@given(st.text(max_size=60))
def test_any_text_gives_names_or_a_refusal(literal: str) -> None:
    try:
        names = class_names({"names": literal})
    except ModelUnsupported:
        return
    assert list(range(len(names))) == sorted(names)


def reduced(raw: NDArray[np.float32], top_k: int, opset: int) -> dict[str, Any]:
    """The reduction of `[B, 4 + classes, anchors]`, computed by ONNX's own reference implementation."""
    head = AnchorFreeYolo("raw", raw.shape[1] - 4, raw.shape[2], opset)
    reduction = head.reduction(top_k)
    outputs = [helper.make_empty_tensor_value_info(name) for name in (XYXY, CONFIDENCE, CLASS_ID)]
    graph = helper.make_graph(
        reduction.nodes,
        "reduction",
        [helper.make_tensor_value_info("raw", TensorProto.FLOAT, [None, *raw.shape[1:]])],
        outputs,
        reduction.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return dict(zip((XYXY, CONFIDENCE, CLASS_ID), ReferenceEvaluator(model).run(None, {"raw": raw}), strict=True))


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
@pytest.mark.parametrize(("batch", "classes", "anchors", "top_k"), [(1, 1, 1, 5), (3, 2, 40, 7), (2, 80, 21, 21)])
def test_the_reduction_keeps_the_best_anchors(opset: int, batch: int, classes: int, anchors: int, top_k: int) -> None:
    draw = np.random.default_rng(anchors)
    raw = draw.random((batch, 4 + classes, anchors), np.float32)
    raw[:, :4] *= 640
    result = reduced(raw, top_k, opset)

    kept = min(top_k, anchors)
    best = raw[:, 4:].max(axis=1)
    order = np.argsort(-best, axis=1, kind="stable")[:, :kept]
    rows = np.take_along_axis(raw, order[:, None], axis=2)
    centre, size = rows[:, :2], rows[:, 2:4]
    corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1).transpose(0, 2, 1)
    np.testing.assert_array_equal(result[CONFIDENCE], np.take_along_axis(best, order, axis=1))
    np.testing.assert_array_equal(result[CLASS_ID], rows[:, 4:].argmax(axis=1))
    np.testing.assert_allclose(result[XYXY], corners, rtol=1e-6)
    assert result[CLASS_ID].dtype == np.int32
    assert result[XYXY].shape == (batch, kept, 4)
