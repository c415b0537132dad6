"""`fbtasks config`."""

import json

import click

from fbtasks.cli import with_settings
from fbtasks.logic.rules import load_rules
from fbtasks.settings import Settings


@click.command(name="config")
@with_settings("config")
def command(settings: Settings) -> None:
    """Print the effective settings as JSON, secrets hidden; exit 2 when one is wrong, rules included."""
    load_rules(settings.rules)
    for camera in settings.cameras:
        load_rules(settings.rule_tables(camera.id))
    click.echo(json.dumps(settings.shown(), indent=2))
