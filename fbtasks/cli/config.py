"""`fbtasks config`."""

import json

import click

from fbtasks.cli import with_settings
from fbtasks.logic.refusal import refuse_wrong_settings
from fbtasks.settings import Settings


@click.command(name="config")
@with_settings("config")
def command(settings: Settings) -> None:
    """Print the effective settings as JSON, secrets hidden; exit 2 when one is wrong, rules and addresses included."""
    refuse_wrong_settings(settings)
    click.echo(json.dumps(settings.shown(), indent=2))
