"""The detector that the package ships for the simulated stable, on pictures of places it was not trained on."""

import numpy as np
import onnxruntime as ort
import pytest

from fbtasks.gpu.inspection import inspect
from fbtasks.settings import GpuSettings, LogicSettings
from fbtasks.sim import DEMO_MODEL
from fbtasks.sim.nights import night
from fbtasks.sim.scenario import find_scenario, shipped
from training.evaluate import (
    Detector,
    empty_pictures,
    empty_stall_pictures,
    false_boxes,
    figures_of,
    story_results,
)
from training.labels import NAMES

MAX_BYTES = 6_000_000
NIGHTS = 64
"""Fewer hold too few visits: the pictures of one are alike, and two in which a horse hides the groom weigh much."""


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector(DEMO_MODEL, tmp_path_factory.mktemp("prepared"))


@pytest.mark.parametrize(("width", "height"), [(640, 640), (640, 384)])
def test_it_looks_like_an_export_of_ultralytics(width: int, height: int) -> None:
    seen = inspect(DEMO_MODEL, width, height)
    assert seen.refusal is None
    assert seen.batch == "any"
    assert seen.input_size == "any"
    assert seen.names == NAMES
    assert seen.licence == "Apache-2.0"
    assert seen.made_by.startswith("fbtasks ")
    assert DEMO_MODEL.stat().st_size < MAX_BYTES


@pytest.mark.timeout(400)
def test_it_finds_who_is_there(detector: Detector) -> None:
    stories = [find_scenario(name) for name in shipped()]
    stories += [night("eventful", seed).scenario for seed in range(NIGHTS)]
    found, _ = story_results(detector, stories, 20)
    figures = figures_of(found)
    assert min(figures.wanted.values()) >= 200
    assert min(figures.ap50.values()) >= 0.95, figures.ap50


@pytest.mark.timeout(400)
def test_it_finds_nobody_in_empty_stalls(detector: Detector) -> None:
    nobody = list(detector.results(empty_stall_pictures(500), GpuSettings().min_confidence))
    assert len(nobody) == 500
    assert all(not len(true.label) for _, true in nobody)
    assert false_boxes(nobody, LogicSettings().confidence) == 0


def test_it_finds_hardly_anybody_in_empty_places_of_all_kinds(detector: Detector) -> None:
    """Aisles and paddocks too, and cameras that hang where nobody would hang them."""
    nobody = list(detector.results(empty_pictures(104), GpuSettings().min_confidence))
    assert false_boxes(nobody, LogicSettings().confidence) <= 1


def test_a_picture_gives_the_same_alone_and_in_a_batch() -> None:
    session = ort.InferenceSession(DEMO_MODEL, providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(1).random((32, 3, 384, 640), np.float32)
    [together] = session.run(None, {"images": pictures})
    assert together.shape == (32, 4 + len(NAMES), (384 // 8) * (640 // 8) * 21 // 16)
    for size in (1, 2):
        [some] = session.run(None, {"images": pictures[:size]})
        np.testing.assert_allclose(some, together[:size], rtol=1e-4, atol=1e-3)
