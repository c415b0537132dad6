"""What an ONNX file says of itself."""

from pathlib import Path

import onnx
import pytest
from onnx import helper

from fbtasks.errors import EngineError, ModelUnsupported
from fbtasks.gpu.inspection import Inspection, classes_in_words, inspect, unused_advice
from tests import tiny_detector


def inspected(folder: Path, model: onnx.ModelProto | None = None) -> Inspection:
    return inspect(tiny_detector.saved(folder, model), 96, 64)


def test_a_usable_model(tmp_path: Path) -> None:
    found = inspected(tmp_path)
    assert found.inputs == ["images float [?, 3, ?, ?]"]
    assert found.outputs == ["output0 float [?, 7, ?]"]
    assert (found.batch, found.input_size) == ("any", "any")
    assert found.head is not None
    assert found.head.startswith("YOLOv8 and YOLO11")
    assert found.names == tiny_detector.NAMES
    assert (found.licence, found.opset) == ("Apache-2.0", 17)
    assert found.refusal is None


@pytest.mark.parametrize(
    ("model", "changes", "reason"),
    [
        (tiny_detector.build(batch=4), {"batch": "4"}, "batches of exactly 4"),
        (tiny_detector.build(size=(640, 480)), {"input_size": "480x640"}, "only takes pictures of 480x640"),
        (tiny_detector.build(size=("height", 480)), {"input_size": "480xany"}, "only takes pictures"),
        (tiny_detector.build(names=None), {"names": {}}, "carries no class names"),
        (tiny_detector.build(names="horse"), {"names": {}}, "must be a dict"),
        (tiny_detector.build(task="pose"), {"names": tiny_detector.NAMES}, "task 'pose'"),
    ],
)
def test_an_unusable_one_is_told_all_the_same(
    tmp_path: Path, model: onnx.ModelProto, changes: dict[str, object], reason: str
) -> None:
    found = inspected(tmp_path, model)
    assert found.refusal is not None
    assert reason in found.refusal
    assert found.head is None
    assert found.inputs
    assert {name: getattr(found, name) for name in changes} == changes


def test_a_model_of_something_else_takes_no_pictures(tmp_path: Path) -> None:
    sound = helper.make_tensor_value_info("sound", onnx.TensorProto.FLOAT, [1, 16000])
    out = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1, 16000])
    graph = helper.make_graph([helper.make_node("Abs", ["sound"], ["out"])], "sound", [sound], [out])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="tape", producer_version="2"
    )
    found = inspected(tmp_path, model)
    assert (found.batch, found.input_size, found.licence) == (None, None, None)
    assert found.made_by == "tape 2"
    assert found.refusal is not None


def test_who_made_it_is_ultralytics_when_its_metadata_say_so(tmp_path: Path) -> None:
    model = tiny_detector.build()
    helper.set_model_props(model, {"author": "Ultralytics", "version": "8.4.1", "names": repr(tiny_detector.NAMES)})
    assert inspected(tmp_path, model).made_by == "Ultralytics 8.4.1"


def test_what_is_no_onnx_file_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.onnx").write_text("hay, straw, oats")
    with pytest.raises(ModelUnsupported, match=r"notes\.onnx is not an ONNX model"):
        inspect(tmp_path / "notes.onnx", 96, 64)
    with pytest.raises(EngineError, match=r"absent\.onnx: No such file"):
        inspect(tmp_path / "absent.onnx", 96, 64)


def test_the_classes_that_are_used_are_named() -> None:
    names = {0: "person", 1: "car", 2: "horse"}
    assert classes_in_words(names, ["horse", "cow"], ["person"]) == "3, used are person (person), horse (animal)"
    assert classes_in_words(names, ["pony"], []) == "3, none of them used"
    assert classes_in_words({}, ["horse"], ["person"]) == "0, none of them used"


def test_a_model_without_the_animal_gets_advice() -> None:
    names = {number: f"class{number}" for number in range(20)}
    advice = unused_advice(names, ["horse"])
    assert advice is not None
    assert "logic.animal_classes (horse)" in advice
    assert advice.endswith("class6, class7 and more")
    assert unused_advice(names | {20: "horse"}, ["horse"]) is None
