"""`fbtasks model`: look at detectors, and keep a list of those that work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from fbtasks.cli import with_settings
from fbtasks.errors import CatalogueError, ConfigError, FbtasksError, ModelUnsupported
from fbtasks.gpu.catalogue import FOLDER, Catalogue
from fbtasks.naming import nearest
from fbtasks.settings import ENV_PREFIX, Settings

FILE = click.Path(path_type=Path)
UNKNOWN = "not told"

named = click.option("--name", help="Keep it under this name; default: the file's own.")
replacing = click.option("--replace", is_flag=True, help="Take the place of another model of that name.")


@click.group(name="model")
def command() -> None:
    """Look at detectors, and keep a list of those that work."""


@command.command("inspect")
@click.argument("file", type=FILE)
@with_settings("model")
def inspect_command(settings: Settings, file: Path) -> None:
    """Tell what an ONNX file is; exit 1 with the reason when it cannot be used."""
    from fbtasks.gpu.inspection import classes_in_words, inspect, unused_advice

    logic = settings.logic
    found = inspect(file, settings.gpu.input_width, settings.gpu.input_height)
    facts = {
        "inputs": "; ".join(found.inputs),
        "outputs": "; ".join(found.outputs),
        "head": found.head or "none that is known",
        "classes": classes_in_words(found.names, logic.animal_classes, logic.person_classes),
        "batch": found.batch or UNKNOWN,
        "input size": found.input_size or UNKNOWN,
        "licence": found.licence or UNKNOWN,
        "made by": f"{found.made_by or UNKNOWN}, opset {found.opset}",
    }
    for fact, value in facts.items():
        click.echo(f"{fact + ':':<12}{value}")
    if found.refusal is not None:
        raise ModelUnsupported(f"{file} cannot be used: {found.refusal}")
    advise(unused_advice(found.names, logic.animal_classes))


@command.command("add")
@click.argument("file", type=FILE)
@named
@replacing
@with_settings("model")
def add_command(settings: Settings, file: Path, name: str | None, replace: bool) -> None:
    """Check that an ONNX file runs here, and keep a copy of it in the list."""
    add(settings, file, name or file.stem, replace)


@command.command("list")
@with_settings("model")
def list_command(settings: Settings) -> None:
    """Name, number of classes, size, licence and path of each model."""
    models = catalogue(settings)
    rows = [row(settings, name, models.path(name)) for name in models.names()]
    if not rows:
        click.echo("The list is empty; `fbtasks model add` and `fbtasks model fetch` fill it.", err=True)
        return
    rows.insert(0, ("NAME", "CLASSES", "MB", "LICENCE", "PATH"))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for cells in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


@command.command("fetch")
@click.argument("name")
@click.option("--url", help="Where it is, http or https; default: [models.NAME] in the settings.")
@click.option("--sha256", help="Of the file, 64 hex digits; default: [models.NAME] in the settings.")
@replacing
@with_settings("model")
def fetch_command(settings: Settings, name: str, url: str | None, sha256: str | None, replace: bool) -> None:
    """Download a model, check it, and keep it in the list; goes on with a download that broke off."""
    fetch_model(settings, name, url, sha256, replace)


@command.command("export")
@click.argument("weights", type=FILE)
@click.option("--python", help="Interpreter that has Ultralytics; default: the command `yolo` on the path.")
@named
@replacing
@with_settings("model")
def export_command(settings: Settings, weights: Path, python: str | None, name: str | None, replace: bool) -> None:
    """Export a .pt file with your own Ultralytics, check it, and keep it in the list.

    A .pt file is a program: export only what you trust.
    """
    from fbtasks.gpu.exporter import export

    name = name or weights.stem
    catalogue(settings).path(name)  # an impossible name is refused before the work, not after it
    with TemporaryDirectory(prefix="fbtasks-export-") as folder:
        exported = export(weights, Path(folder), python, private=ENV_PREFIX)
        add(settings, exported, name, replace)


def catalogue(settings: Settings) -> Catalogue:
    """The list of models of this site."""
    return Catalogue(settings.data_dir / FOLDER)


def fetch_model(settings: Settings, name: str, url: str | None, sha256: str | None, replace: bool) -> None:
    """Download a model into the list, unless it is there already.

    What came of a download that breaks off stays for the next try; a file that cannot be used does not.
    """
    from fbtasks.gpu.fetch import fetch

    url, sha256 = source(settings, name, url, sha256)
    models = catalogue(settings)
    if models.holds(name, sha256):
        tell_settings(name, models.path(name))
        return
    if not replace:
        models.refuse_taken(name, sha256)
    part = models.path(name).with_name(f".{name}-{sha256[:16]}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar(name) as progress:
            fetch(url, sha256, part, progress)
    except OSError as error:
        raise CatalogueError(f"cannot fetch {name}: {error.filename or part}: {error.strerror}") from error
    try:
        add(settings, part, name, replace)
    finally:
        part.unlink()


def add(settings: Settings, file: Path, name: str, replace: bool) -> None:
    """Check the file, keep it, and tell what it is and how to use it."""
    path = catalogue(settings).add(file, name, lambda copy: check(settings, copy), replace=replace)
    tell_settings(name, path)


def check(settings: Settings, file: Path) -> None:
    """Prepare the model as the GPU worker would and run it at batches of 1, 2 and the most that is set.

    Raises:
        ModelUnsupported: it cannot be used; the message says why.
    """
    from fbtasks.gpu.inspection import classes_in_words, unused_advice
    from fbtasks.gpu.model import prepare
    from fbtasks.gpu.trial import try_out

    gpu, logic = settings.gpu, settings.logic
    cache = file.parent / "prepared"
    batches = sorted({1, 2, gpu.max_batch})
    try:
        prepared = prepare(file, cache, top_k=gpu.candidates, input_size=(gpu.input_width, gpu.input_height))
        try_out(prepared, batches)
    except ModelUnsupported as error:
        raise ModelUnsupported(f"{file.stem} is not added: {error}") from error
    click.echo(f"Runs at batches of {', '.join(map(str, batches))}.")
    click.echo(f"Classes: {classes_in_words(prepared.names, logic.animal_classes, logic.person_classes)}.")
    click.echo(f"Licence: {prepared.licence or UNKNOWN}.")
    advise(unused_advice(prepared.names, logic.animal_classes))


def advise(advice: str | None) -> None:
    """Warn, if there is something to warn of."""
    if advice:
        click.echo(f"Mind: {advice}.", err=True)


def tell_settings(name: str, path: Path) -> None:
    """Say where the model is kept and what to write into the settings."""
    click.echo(f'Kept as {path}. To use it, put into the settings:\n\n    [gpu]\n    model = "{name}"\n')


def row(settings: Settings, name: str, path: Path) -> tuple[str, ...]:
    """The row of a model in the list."""
    from fbtasks.gpu.inspection import inspect

    size = f"{path.stat().st_size / 1e6:.1f}"
    try:
        found = inspect(path, settings.gpu.input_width, settings.gpu.input_height)
    except FbtasksError:
        return name, "damaged", size, UNKNOWN, str(path)
    return name, str(len(found.names)), size, found.licence or UNKNOWN, str(path)


def source(settings: Settings, name: str, url: str | None, sha256: str | None) -> tuple[str, str]:
    """Address and SHA-256 of the model to fetch, from the options or the settings.

    Raises:
        ConfigError: one of them is told nowhere, or the digest is none.
    """
    known = settings.models.get(name)
    if known is not None:
        url, sha256 = url or known.url.get_secret_value(), sha256 or known.sha256
    if url is None or sha256 is None:
        raise ConfigError(
            f"models.{name} is not set{nearest(name, settings.models)}: write its url and sha256 under "
            f"[models.{name}] in the settings, or give --url and --sha256"
        )
    if len(sha256) != 64 or not all(digit in "0123456789abcdef" for digit in sha256.lower()):
        raise ConfigError("--sha256 must be the 64 hex digits of the file's SHA-256")
    return url, sha256.lower()


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error; what it gives is told the bytes held and, when known, of how many."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(held: int, total: int | None) -> None:
            bar.length = total
            bar.update(held - bar.pos)

        yield show
