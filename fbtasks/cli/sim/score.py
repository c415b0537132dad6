"""`fbtasks sim score`: nights whose truth is known through the rules, and how right, complete and quick those are."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

from fbtasks.cli import with_settings
from fbtasks.cli.files import OutputFile
from fbtasks.cli.sim.rehearsal import Detector, Outcome, Rehearsal, TruthDetector
from fbtasks.settings import Settings, load_settings
from fbtasks.sim import DEMO_MODEL
from fbtasks.sim.nights import Habits, Night, night
from fbtasks.sim.scenario import find_scenario
from fbtasks.sim.score import RuleScore
from fbtasks.sim.timeline import Timeline

_MODEL = click.Path(path_type=Path, dir_okay=False, exists=True)


@dataclass(frozen=True, slots=True)
class Task:
    """What a process plays: one night, random or of a scenario.

    Attributes:
        model: what looks at drawn pictures; without one, the noisy detector is told the truth.
    """

    night: Night
    fps: float
    model: Path | None


@click.command(name="score")
@click.option("--nights", type=click.IntRange(min=0), default=10, show_default=True, help="Eventful nights.")
@click.option("--quiet", type=click.IntRange(min=0), default=5, show_default=True, help="Nights without an event.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the first night of each kind."
)
@click.option("--faster", type=click.FloatRange(1, 100), default=1.0, help="Nights of 8 hours in so much less time.")
@click.option("--scenario", "scenarios", multiple=True, help="A scenario, by name or file, instead; may be repeated.")
@click.option("--fps", type=click.FloatRange(0.5, 30), default=2.0, show_default=True, help="Pictures a second.")
@click.option("--pixels", is_flag=True, help="Draw every picture and run the model on it: for short scenarios.")
@click.option("--model", type=_MODEL, help="ONNX detector for --pixels; default: the one made for these pictures.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--json", "json_file", type=OutputFile(), help="Write all figures to this file too.")
@with_settings("score")
def command(
    settings: Settings,
    *,
    nights: int,
    quiet: int,
    seed: int,
    faster: float,
    scenarios: tuple[str, ...],
    fps: float,
    pixels: bool,
    model: Path | None,
    jobs: int,
    json_file: Path | None,
) -> None:
    """Play random nights or scenarios through the pipeline, faster than time, and compare what it tells with the truth.

    Rules and logic are those of the settings. An alert is right when its rule and severity were due by then; the delay
    counts from that moment. At rest one picture a second is played, else --fps.
    """
    if model and not pixels:
        raise click.UsageError("--model looks at drawn pictures: add --pixels, or leave it out")
    stories = [Night(find_scenario(name), ()) for name in scenarios] or _nights(nights, quiet, seed, faster)
    tasks = [Task(story, fps, (model or DEMO_MODEL) if pixels else None) for story in stories]
    with click.progressbar(_played(tasks, settings, jobs), len(tasks), "Playing", file=sys.stderr) as bar:
        outcomes = list(bar)
    told = report(outcomes, seed=seed, fps=fps)
    click.echo(table(told))
    if json_file is not None:
        json_file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _nights(eventful: int, quiet: int, seed: int, faster: float) -> list[Night]:
    habits = Habits().faster(faster)
    return [
        *(night("eventful", seed + number, habits) for number in range(eventful)),
        *(night("quiet", seed + number, habits) for number in range(quiet)),
    ]


def _played(tasks: Sequence[Task], settings: Settings, jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        play = _player(settings)
        yield from map(play, tasks)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as processes:
        yield from processes.map(_play_alone, tasks)


def _play_alone(task: Task) -> Outcome:
    """In a process of its own."""
    return _own_player()(task)


@cache
def _own_player() -> Callable[[Task], Outcome]:
    """Settings do not travel: each process loads them."""
    return _player(load_settings())


def _player(settings: Settings) -> Callable[[Task], Outcome]:
    """Plays one task after another; a model is opened once."""

    @cache
    def detector(model: Path | None) -> Callable[[Timeline, int], Detector]:
        if model is None:
            return TruthDetector
        from fbtasks.cli.sim.pixels import Pixels

        return Pixels(model, settings)

    return lambda task: Rehearsal(settings, task.fps, detector(task.model)).play(task.night)


def report(outcomes: Sequence[Outcome], *, seed: int, fps: float) -> dict[str, Any]:
    """All figures, as plain values."""
    rules: dict[str, RuleScore] = {}
    for outcome in outcomes:
        for name, score in outcome.scores.items():
            rules.setdefault(name, RuleScore()).add(score)
    return {
        "seed": seed,
        "fps": fps,
        "rules": {name: _figures(score) for name, score in sorted(rules.items())},
        "quiet_night_alerts": sum(len(outcome.told) for outcome in outcomes if outcome.name.startswith("quiet-")),
        "nights": [_night(outcome) for outcome in outcomes],
    }


def _figures(score: RuleScore) -> dict[str, Any]:
    return {
        "due": score.right + len(score.missed),
        "right": score.right,
        "missed": len(score.missed),
        "wrong": len(score.wrong),
        "precision": score.precision,
        "recall": score.recall,
        "delay_s": {"p50": score.delay_s(0.5), "p95": score.delay_s(0.95)},
    }


def _night(outcome: Outcome) -> dict[str, Any]:
    """The night, with all that was told and every fault, at its second of the story."""
    faults = [
        *({"fault": "missed", **asdict(one)} for score in outcome.scores.values() for one in score.missed),
        *({"fault": "wrong", **asdict(one)} for score in outcome.scores.values() for one in score.wrong),
    ]
    told = [asdict(one) for one in outcome.told]
    return {"name": outcome.name, "results": outcome.results, "told": told, "faults": faults}


def table(told: dict[str, Any]) -> str:
    """The report as text."""
    head = f"{'rule':<16}{'due':>6}{'right':>7}{'missed':>8}{'wrong':>7}{'precision':>11}{'recall':>8}"
    lines = [f"{head}{'p50 s':>8}{'p95 s':>8}"]
    for name, one in told["rules"].items():
        delay = one["delay_s"]
        lines.append(
            f"{name:<16}{one['due']:>6}{one['right']:>7}{one['missed']:>8}{one['wrong']:>7}"
            f"{_number(one['precision'], 2):>11}{_number(one['recall'], 2):>8}"
            f"{_number(delay['p50'], 1):>8}{_number(delay['p95'], 1):>8}"
        )
    lines += [f"{night['name']}: {_fault(fault)}" for night in told["nights"] for fault in night["faults"]]
    quiet = sum(night["name"].startswith("quiet-") for night in told["nights"])
    if quiet:
        lines.append(f"Alerts in {quiet} quiet nights: {told['quiet_night_alerts']}")
    return "\n".join(lines)


def _fault(fault: dict[str, Any]) -> str:
    at = fault["due"] if fault["fault"] == "missed" else fault["at"]
    return f"{fault['fault']} {fault['rule']} ({fault['severity']}) at {at:.0f} s {fault.get('message', '')}".rstrip()


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
