"""`fbtasks config`."""

import json

import click

from fbtasks.cli import with_settings
from fbtasks.logic.rules import load_rules
from fbtasks.settings import Settings


def refuse_wrong_rules(settings: Settings) -> None:
    """Raise `ConfigError` when a rule table, the site's or a camera's, is wrong."""
    load_rules(settings.rules)
    for camera in settings.cameras:
        load_rules(settings.rule_tables(camera.id))


@click.command(name="config")
@with_settings("config")
def command(settings: Settings) -> None:
    """Print the effective settings as JSON, secrets hidden; exit 2 when one is wrong, rules included."""
    refuse_wrong_rules(settings)
    click.echo(json.dumps(settings.shown(), indent=2))
