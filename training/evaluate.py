"""How good a detector is on simulated pictures: `python -m training.evaluate MODEL`.

The pictures take the way that they take in service: the producer's letterbox and JPEG, the worker's decoder, the graph
that the worker runs, and the logic's suppression of double boxes.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from fbtasks.detections import Boxes
from fbtasks.gpu.engine import Engine, open_engine
from fbtasks.gpu.model import prepare
from fbtasks.logic.nms import non_max_suppression
from fbtasks.settings import GpuSettings, LogicSettings
from fbtasks.sim.nights import night
from fbtasks.sim.scenario import Scenario, find_scenario, load_scenario, shipped
from fbtasks.sim.scene import Scene
from fbtasks.sim.timeline import Timeline
from training.average_precision import OVERLAPS, Sighting, average_precision
from training.labels import BETWEEN, KINDS, NAMES
from training.pictures import INPUT, LEAST_VISIBLE, Labelled
from training.report import Figures, Measured, report
from training.scenes import HELD_OUT, View, empty_stalls, views

LEAST = 0.001
"""Confidence from which boxes count for average precision, as in other evaluations of YOLO."""
Result = list[tuple[Boxes, Labelled]]
"""Found boxes in input pixels and what is true, for each picture."""
EMPTY = HELD_OUT + 500_000
"""First seed of the empty places."""
STALLS = HELD_OUT + 700_000
"""First seed of the empty stalls."""
TIGHT = 384
"""Height of the input without the border that a 16:9 picture does not need."""
SPEEDS = [(INPUT, 1), (INPUT, 2), (TIGHT, 1), (TIGHT, 2)]
"""Heights of the input and threads to measure."""
CLEARLY = 0.5
"""Share of a horse or person that is seen clearly enough to leave no excuse."""
LEAST_SURE = (LogicSettings().confidence, GpuSettings().min_confidence)
"""From which confidence boxes start a track, and from which they leave the worker."""
_SCENARIOS = Path(__file__).parents[1] / "benchmarks" / "scenarios"
_PART = 8
"""Pictures that are held at once."""
_RUNS = 60
"""Of which the median is told."""


class Detector:
    """A model as the worker runs it, on the CPU.

    Args:
        model: ONNX file.
        cache: folder for what is made of it.
        height: of its input, pixels.
        threads: that compute.
    """

    def __init__(self, model: Path, cache: Path, *, height: int = INPUT, threads: int = 0) -> None:
        prepared = prepare(model, cache, input_size=(INPUT, height))
        self.engine: Engine = open_engine(
            prepared, provider="cpu", max_batch=_PART, threads=threads, precision="float32", cache_dir=cache
        )

    def results(self, pictures: Iterable[Labelled], least: float = LEAST) -> Iterator[tuple[Boxes, Labelled]]:
        """Found boxes of each picture, in input pixels, at least so sure, doubles suppressed."""
        with ThreadPoolExecutor(self.engine.at_once) as threads:
            for some in _in_parts(pictures, _PART):
                yield from zip(threads.map(partial(self._found, least=least), some), some, strict=True)

    def _found(self, picture: Labelled, least: float) -> Boxes:
        candidates = self.engine.run(picture.pixels()[None])
        return non_max_suppression(candidates.of(0, least), LogicSettings().nms_iou)

    def milliseconds(self) -> float:
        """Of one picture, without JPEG and suppression."""
        model = self.engine.model
        noise = np.random.default_rng(0).integers(0, 256, (1, model.input_height, model.input_width, 3), np.uint8)
        self.engine.run(noise)
        taken = []
        for _ in range(_RUNS):
            start = perf_counter()
            self.engine.run(noise)
            taken.append(perf_counter() - start)
        return 1000 * median(taken)


def _in_parts(pictures: Iterable[Labelled], size: int) -> Iterator[list[Labelled]]:
    some: list[Labelled] = []
    for picture in pictures:
        some.append(picture)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def empty_pictures(count: int) -> Iterator[Labelled]:
    """Of places that no training set has, with nobody in them."""
    return (view.labelled() for view in views(count, EMPTY, empty=1.0))


def empty_stall_pictures(count: int) -> Iterator[Labelled]:
    """Of box stalls that no training set has, from where a camera usually hangs, with nobody in them."""
    return (view.labelled() for view in empty_stalls(count, STALLS))


def story_pictures(scenario: Scenario, count: int, least_visible: float = LEAST_VISIBLE) -> Iterator[Labelled]:
    """So many evenly over the story, and a quarter as many more evenly over all visits of persons.

    Those that the camera does not send, or whose lens is covered, are left out. Of whom less is seen than
    `least_visible`, it does not matter whether they are found.
    """
    timeline = Timeline(scenario)
    scene = Scene(timeline.place, scenario.camera.width, scenario.camera.height)
    visits = [(event.start, event.end) for event in timeline.events() if event.kind == "person"]
    for moment, t in enumerate([*_evenly([(0.0, scenario.length_s)], count), *_evenly(visits, count // 4)]):
        shown = timeline.shown(t)
        conditions = timeline.conditions(shown)
        if timeline.sends(t) and not conditions.covered:
            yield View(scene, timeline.placed(shown), conditions, moment).labelled(least_visible=least_visible)


def _evenly(spans: list[tuple[float, float]], count: int) -> Iterator[float]:
    """So many times in each span."""
    for start, end in spans:
        yield from (start + (end - start) * (index + 0.5) / count for index in range(count))


def figures_of(result: Result) -> Figures:
    """Average precision of each class."""
    sightings = {class_id: [_sighting(found, true, class_id) for found, true in result] for class_id in NAMES}
    by_overlap = {one: [average_precision(seen, overlap) for overlap in OVERLAPS] for one, seen in sightings.items()}
    return Figures(
        pictures=len(result),
        wanted={one: sum(len(sighting.wanted) for sighting in seen) for one, seen in sightings.items()},
        ap50={one: values[0] for one, values in by_overlap.items()},
        ap={one: float(np.mean(values)) for one, values in by_overlap.items()},
    )


def _sighting(found: Boxes, true: Labelled, class_id: int) -> Sighting:
    """Excused is who can hardly be seen, and the posture of a horse between two."""
    excused = np.isin(true.label, KINDS[class_id]) & (true.ignored | (true.label == BETWEEN))
    wanted = (true.label == class_id) & ~true.ignored
    return Sighting(found[found.class_id == class_id], true.xyxy[wanted], true.xyxy[excused])


def false_boxes(result: Result, confidence: float) -> int:
    """Boxes in pictures with nobody in them."""
    return sum(int((found.confidence >= confidence).sum()) for found, _ in result)


def measured(model: Path, *, random: int, empty: int, nights: int, moments: int) -> Measured:
    """All figures of a model; see the command's help."""
    with TemporaryDirectory() as folder:
        cache = Path(folder)
        speeds = {key: Detector(model, cache, height=key[0], threads=key[1]).milliseconds() for key in SPEEDS}
        full, tight = Detector(model, cache), Detector(model, cache, height=TIGHT)
        results = _random_results(full, tight, random)
        for name in shipped():
            results[f"scenario `{name}`"] = list(full.results(story_pictures(find_scenario(name), moments)))
        eventful = [night("eventful", seed).scenario for seed in range(nights)]
        by_hand = [load_scenario(path) for path in sorted(_SCENARIOS.glob("*.toml"))]
        of_scenarios = (picture for scenario in by_hand for picture in story_pictures(scenario, moments))
        results[f"{len(by_hand)} scenarios of `benchmarks/scenarios`"] = list(full.results(of_scenarios))
        found, clear = story_results(full, eventful, moments)
        results[f"{nights} eventful nights"] = found
        results["who is at least half visible in those nights"] = clear
        nobody = {
            "empty box stalls": list(full.results(empty_stall_pictures(empty))),
            "empty places of all kinds, the camera often hung otherwise": list(full.results(empty_pictures(empty))),
        }
    false = {name: [false_boxes(result, least) for least in LEAST_SURE] for name, result in nobody.items()}
    return Measured({name: figures_of(result) for name, result in results.items()}, empty, LEAST_SURE, false, speeds)


def story_results(detector: Detector, stories: Iterable[Scenario], count: int) -> tuple[Result, Result]:
    """What is found in so many pictures of each story, and the same where only who is seen clearly is asked for."""
    found: Result = []
    clear: Result = []
    for story in stories:
        mine = list(detector.results(story_pictures(story, count)))
        found += mine
        clear += [(boxes, true) for (boxes, _), true in zip(mine, story_pictures(story, count, CLEARLY), strict=True)]
    return found, clear


def _random_results(full: Detector, tight: Detector, count: int) -> dict[str, Result]:
    """By what is asked of the random pictures."""
    whole, clear, cut = [], [], []
    for view in views(count, HELD_OUT):
        whole.append(view.labelled())
        clear.append(view.labelled(least_visible=CLEARLY))
        cut.append(view.labelled(tight=True))
    found = list(full.results(whole))
    return {
        "random pictures": found,
        "who is at least half visible in them": [(boxes, true) for (boxes, _), true in zip(found, clear, strict=True)],
        "those of 16:9": [one for one in found if one[1].is_wide],
        "those of 16:9, as 640x384": list(tight.results(one for one in cut if one.is_wide)),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--report", type=Path, help="file for the report; default: standard output")
    parser.add_argument("--random", type=int, default=1500, help="random pictures of places never trained on")
    parser.add_argument("--empty", type=int, default=500, help="pictures of each kind with nobody in them")
    parser.add_argument("--nights", type=int, default=64, help="random nights")
    parser.add_argument(
        "--moments", type=int, default=60, help="pictures of each scenario and night, besides those of visits"
    )
    asked = vars(parser.parse_args())
    model, to = asked.pop("model"), asked.pop("report")
    text = report(model, measured(model, **asked))
    if to is None:
        sys.stdout.write(text)
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text)


if __name__ == "__main__":
    main()
