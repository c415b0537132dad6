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
import msgspec
import numpy as np

from fbtasks.cli import with_settings
from fbtasks.cli.files import OutputFile
from fbtasks.cli.sim.rehearsal import REST_FPS, Detector, Outcome, Rehearsal, TruthDetector
from fbtasks.settings import Settings, load_settings
from fbtasks.sim import DEMO_MODEL
from fbtasks.sim.nights import Habits, Night, night
from fbtasks.sim.scenario import find_scenario
from fbtasks.sim.score import RuleScore, Told
from fbtasks.sim.timeline import Timeline

_MODEL = click.Path(path_type=Path, dir_okay=False, exists=True)


class FrameRates(click.ParamType[tuple[float, ...]]):
    """Pictures a second; several with commas between."""

    name = "rate,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        one: click.ParamType[Any] = click.FloatRange(0.5, 30)
        return tuple(one.convert(part, param, ctx) for part in str(value).split(","))


@dataclass(frozen=True, slots=True)
class Task:
    """What a process plays: one night, random or of a scenario.

    Attributes:
        every_picture: also while nothing moves.
        model: what looks at drawn pictures; without one, the noisy detector is told the truth.
        keep: folder in which its outcome is kept.
    """

    night: Night
    fps: float
    every_picture: bool
    model: Path | None
    keep: Path | None

    @property
    def file(self) -> Path | None:
        return self.keep and self.keep / f"{self.night.scenario.name}-{self.fps:g}fps.json"


@click.command(name="score")
@click.option("--nights", type=click.IntRange(min=0), default=10, show_default=True, help="Busy nights.")
@click.option("--quiet", type=click.IntRange(min=0), default=5, show_default=True, help="Nights without an event.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the first night of each kind."
)
@click.option("--faster", type=click.FloatRange(1, 100), default=1.0, help="Nights of 8 hours in so much less time.")
@click.option("--scenario", "scenarios", multiple=True, help="A scenario, by name or file, instead; may be repeated.")
@click.option(
    "--fps", "rates", type=FrameRates(), default=(2.0,), help="Pictures a second, by default 2; several are compared."
)
@click.option("--pixels", is_flag=True, help="Draw every picture and run the model on it: for short scenarios.")
@click.option("--model", type=_MODEL, help="ONNX detector for --pixels; default: the one made for these pictures.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--json", "json_file", type=OutputFile(), help="Write all figures to this file too.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False, exists=True, writable=True),
    help="Folder for the outcome of each night; what is there is not played again. Not for other options.",
)
@with_settings("score")
def command(
    settings: Settings,
    *,
    nights: int,
    quiet: int,
    seed: int,
    faster: float,
    scenarios: tuple[str, ...],
    rates: tuple[float, ...],
    pixels: bool,
    model: Path | None,
    jobs: int,
    json_file: Path | None,
    keep: Path | None,
) -> None:
    """Play random nights or scenarios through the pipeline, faster than time, and compare what it tells with the truth.

    Rules and logic are those of the settings. An alert is right when its rule and severity were due by then; the delay
    counts from that moment. While nothing moves but heads, one picture in two seconds is played, else --fps. Where
    several rates are given, every picture of each is played, and what is told compared with what the first one tells.
    """
    if model and not pixels:
        raise click.UsageError("--model looks at drawn pictures: add --pixels, or leave it out")
    stories = [Night(find_scenario(name), ()) for name in scenarios] or _nights(nights, quiet, seed, faster)
    looks = (model or DEMO_MODEL) if pixels else None
    tasks = [Task(story, fps, len(rates) > 1, looks, keep) for story in stories for fps in rates]
    with click.progressbar(_played(tasks, settings, jobs), len(tasks), "Playing", file=sys.stderr) as bar:
        outcomes = list(bar)
    told = report(outcomes[:: len(rates)], seed=seed, fps=rates[0])
    if len(rates) > 1:
        told["rates"] = [
            differences(rate, outcomes[:: len(rates)], outcomes[i :: len(rates)]) for i, rate in enumerate(rates)
        ]
    click.echo(table(told))
    if json_file is not None:
        json_file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _nights(busy: int, quiet: int, seed: int, faster: float) -> list[Night]:
    habits = Habits().faster(faster)
    return [
        *(night("busy", seed + number, habits) for number in range(busy)),
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

    def play(task: Task) -> Outcome:
        if task.file is not None and task.file.exists():
            return msgspec.json.decode(task.file.read_bytes(), type=Outcome)
        rest_fps = task.fps if task.every_picture else REST_FPS
        outcome = Rehearsal(settings, task.fps, detector(task.model), rest_fps).play(task.night)
        if task.file is not None:
            whole = task.file.with_suffix(".part")
            whole.write_bytes(msgspec.json.encode(outcome))
            whole.replace(task.file)
        return outcome

    return play


def differences(rate: float, firsts: Sequence[Outcome], others: Sequence[Outcome]) -> dict[str, Any]:
    """How what is told at a rate differs from what the first rate tells of the same nights."""
    apart: list[tuple[str, Told, float]] = []
    only = []
    for first, other in zip(firsts, others, strict=True):
        left = list(other.told)
        for one in first.told:
            same = [two for two in left if (two.rule, two.severity) == (one.rule, one.severity)]
            nearest = min(same, key=lambda two: abs(two.at - one.at), default=None)
            if nearest is None:
                only.append((first.name, one))
            else:
                left.remove(nearest)
                apart.append((first.name, one, nearest.at - one.at))
        only += [(first.name, two) for two in left]
    apart_s = [abs(seconds) for _, _, seconds in apart]
    far = [one for one in apart if abs(one[2]) > 1 / rate + 1e-6]
    return {
        "fps": rate,
        "same": len(apart),
        "different": [{"night": name, **asdict(one)} for name, one in only],
        "within_one_picture": len(apart) - len(far),
        "apart_s": {
            "p50": _quantile(apart_s, 0.5),
            "p95": _quantile(apart_s, 0.95),
            "most": max(apart_s, default=None),
        },
        "farther_apart": [{"night": name, **asdict(one), "later_s": seconds} for name, one, seconds in far],
    }


def _quantile(values: Sequence[float], share: float) -> float | None:
    return float(np.quantile(values, share)) if values else None


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
            f"{_number(one['precision'], 3):>11}{_number(one['recall'], 3):>8}"
            f"{_number(delay['p50'], 1):>8}{_number(delay['p95'], 1):>8}"
        )
    lines += [f"{night['name']}: {_fault(fault)}" for night in told["nights"] for fault in night["faults"]]
    quiet = sum(night["name"].startswith("quiet-") for night in told["nights"])
    if quiet:
        lines.append(f"Alerts in {quiet} quiet nights: {told['quiet_night_alerts']}")
    if "rates" in told:
        lines += _rates(told["rates"])
    return "\n".join(lines)


def _rates(rates: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{'fps':<8}{'same':>6}{'different':>11}{'within a picture':>18}{'p50 s':>8}{'p95 s':>8}{'most s':>8}"]
    for one in rates:
        apart = " ".join(f"{_number(one['apart_s'][key], 2):>7}" for key in ("p50", "p95", "most"))
        lines.append(
            f"{one['fps']:<8g}{one['same']:>6}{len(one['different']):>11}{one['within_one_picture']:>18} {apart}"
        )
    for one in rates:
        for other in one["different"]:
            where = f"{other['night']} at {other['at']:.0f} s"
            lines.append(f"at {one['fps']:g} fps told or not: {where}, {other['rule']} ({other['severity']})")
        for other in one["farther_apart"]:
            where = f"{other['night']} at {other['at']:.0f} s"
            later = f"{other['later_s']:+.2f} s"
            lines.append(f"at {one['fps']:g} fps {later}: {where}, {other['rule']} ({other['severity']})")
    return lines


def _fault(fault: dict[str, Any]) -> str:
    at = fault["due"] if fault["fault"] == "missed" else fault["at"]
    return f"{fault['fault']} {fault['rule']} ({fault['severity']}) at {at:.0f} s {fault.get('message', '')}".rstrip()


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
