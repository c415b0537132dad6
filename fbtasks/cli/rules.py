"""`fbtasks rules`: what a groom is told of, and when."""

import json
from collections import defaultdict
from pathlib import Path

import click

from fbtasks.settings import Settings, load_settings


@click.group(name="rules")
def command() -> None:
    """Look at the rules that decide whether a groom is woken."""


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check_command(file: Path | None) -> None:
    """Tell in plain words what the rules of a settings FILE do; exit 2 when one is wrong."""
    from fbtasks.logic.refusal import refuse_wrong_rules

    settings = load_settings(file)
    refuse_wrong_rules(settings)
    click.echo(f"hours of the day: {settings.timezone or 'as this machine has them, for no timezone is set'}")
    for tables, camera_ids in _alike(settings).items():
        for line in _explained(tables):
            click.echo(f"{camera_ids}: {line}")


def _alike(settings: Settings) -> dict[str, str]:
    """Rule tables, as JSON, and the cameras that they are those of: of many boxes most are the same."""
    alike: dict[str, list[str]] = defaultdict(list)
    for camera in settings.cameras:
        if camera.enabled:
            alike[json.dumps(settings.rule_tables(camera.id), sort_keys=True)].append(camera.id)
    named = {tables: ", ".join(camera_ids) for tables, camera_ids in alike.items()}
    return named or {json.dumps(settings.rules): "every camera"}


def _explained(tables: str) -> list[str]:
    from fbtasks.logic.plugins import known_rules
    from fbtasks.logic.rules import all_rules

    rules = all_rules(json.loads(tables), known_rules())
    off = ", ".join(rule.name for rule in rules if not rule.enabled)
    lines = [rule.explanation() for rule in rules if rule.enabled]
    return [*lines, f"switched off: {off}"] if off else lines
