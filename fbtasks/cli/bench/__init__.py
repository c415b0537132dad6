"""`fbtasks bench`: the engine alone, and how much of it the pipeline brings to the results."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fbtasks.cli import with_settings
from fbtasks.cli.files import OutputFile
from fbtasks.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
_MODEL = click.Path(path_type=Path, dir_okay=False)
_PICTURE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group(name="bench")
def command() -> None:
    """Measure this machine: the engine alone, or the pipeline against its engine."""


def _common(function: F) -> F:
    for option in (
        click.option("--json", "json_file", type=OutputFile(), help="Write all figures to this file too."),
        click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each."),
        click.option("--image", type=_PICTURE, help="The picture to send; default: a drawn stall."),
        click.option("--max-batch", type=click.IntRange(1, 32), help="Default: gpu.max_batch."),
        click.option("--model", type=_MODEL, help="An ONNX file or a model's name; default: gpu.model."),
    ):
        function = option(function)
    return function


@command.command(name="engine")
@click.option("--engine", "names", multiple=True, help="tensorrt, cuda, openvino, cpu, fixed:20ms; may be repeated.")
@click.option("--seconds", type=click.FloatRange(min=0.01), default=30.0, show_default=True, help="For all turns.")
@_common
@with_settings("bench")
def engine_command(
    settings: Settings,
    *,
    names: tuple[str, ...],
    seconds: float,
    model: Path | None,
    max_batch: int | None,
    image: Path | None,
    rounds: int,
    json_file: Path | None,
) -> None:
    """Frames per second and time of a run, for every provider that runs here and every batch: the limit."""
    from fbtasks.cli.bench import engines, limit, picture, report
    from fbtasks.gpu.preprocess import jpeg_size

    settings = _overridden(settings, model, max_batch)
    jpeg = picture.encoded(image, settings)[1]
    open_one = engines.opener(settings, jpeg_size(jpeg))
    opened = [open_one(name) for name in names] if names else engines.all_that_run(open_one)
    timed = [engines.TimedEngine(engine) for engine in opened]
    pictures = picture.batch(jpeg, settings.gpu.max_batch)
    turns = rounds * len(limit.cells(timed))
    with _progress(turns) as bar:
        found = limit.limits(timed, pictures, rounds=rounds, seconds=seconds / turns, progress=bar.update)
    told = report.limits(found, [report.model(engine, settings) for engine in opened])
    click.echo(report.limits_text(told))
    _write(json_file, told)


@command.command(name="pipeline")
@click.option("--engine", "name", default="auto", show_default=True, help="A provider, or fixed:20ms.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Of one turn.")
@click.option(
    "--redis",
    type=click.Choice(["own", "settings"]),
    default="own",
    show_default=True,
    help="Servers started for this, or those in the settings: the keys begin with bench: and are removed.",
)
@_common
@with_settings("bench")
def pipeline_command(
    settings: Settings,
    *,
    name: str,
    seconds: float,
    redis: str,
    model: Path | None,
    max_batch: int | None,
    image: Path | None,
    rounds: int,
    json_file: Path | None,
) -> None:
    """Frames in Redis to results, and to alerts, in turn with the engine alone; then latency at 60 % of that load."""
    from fbtasks.cli.bench import comparison, engines, logic, picture, pipeline, report, servers
    from fbtasks.cli.bench.load import Site
    from fbtasks.gpu.preprocess import jpeg_size

    settings = _overridden(settings, model, max_batch)
    letterbox, jpeg = picture.encoded(image, settings)
    engine = engines.TimedEngine(engines.opener(settings, jpeg_size(jpeg))(name))
    pictures = picture.batch(jpeg, engine.max_batch)
    with servers.servers(settings, own=redis == "own") as (frames_url, state_url):
        site = Site(
            frames_url=frames_url,
            state_url=state_url,
            prefix=f"{settings.redis.prefix}bench:{os.getpid()}:",
            cameras=pipeline.IN_FLIGHT * engine.max_batch * engine.at_once,
            letterbox=letterbox,
            jpeg=jpeg,
            timeout_s=settings.redis.timeout_s,
        )
        with pipeline.left_clean(site), logic.running(site, settings) as wake:
            worker = pipeline.PipelineUnderTest(engine, site, settings, wake)
            with _progress(comparison.steps(worker, rounds)) as bar, worker.running():
                found = comparison.compare(
                    worker, engine, pictures, rounds=rounds, seconds=seconds, progress=bar.update
                )
                told = report.comparison(found, engine, settings)
                told["versions"] |= {"server": worker.server_version()}
    click.echo(report.comparison_text(told))
    _write(json_file, told)


def _overridden(settings: Settings, model: Path | None, max_batch: int | None) -> Settings:
    """The settings with the command line's own over them."""
    given = {"model": model, "max_batch": max_batch}
    changed = {name: value for name, value in given.items() if value is not None}
    return settings.model_copy(update={"gpu": settings.gpu.model_copy(update=changed)})


def _progress(steps: int) -> Any:
    return click.progressbar(length=steps, label="Measuring", file=sys.stderr)


def _write(json_file: Path | None, told: dict[str, Any]) -> None:
    if json_file is not None:
        json_file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
