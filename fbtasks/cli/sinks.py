"""`fbtasks sinks`: where alerts go, and whether they get there."""

import json
from time import monotonic, time
from uuid import uuid4

import click

from fbtasks.alert import SITE, Alert, alert_id
from fbtasks.cli import with_settings
from fbtasks.errors import ConfigError, DeliveryFailed
from fbtasks.naming import nearest
from fbtasks.settings import Settings
from fbtasks.transport import connect


@click.group(name="sinks")
def command() -> None:
    """Look at where alerts go, and try whether they get there."""


@command.command("list")
@with_settings("sinks")
def list_command(settings: Settings) -> None:
    """Tell each sink, and what goes there."""
    from fbtasks.logic.sinks.making import route_of, tables

    for name, table in tables(settings).items():
        click.echo(f"{name} ({table.kind}): {route_of(settings, name).explanation()}")


@command.command("test")
@click.argument("name")
@with_settings("sinks")
def test_command(settings: Settings, name: str) -> None:
    """Send a test alert to the sink NAME and tell what became of it; exit 1 when it was not taken."""
    from fbtasks.logic.sinks.making import make_sink, tables

    if name not in tables(settings):
        hint = nearest(name, tables(settings))
        raise ConfigError(f"there is no sink {name!r}{hint}; `fbtasks sinks list` tells them")
    sink = make_sink(settings, name, connect(settings.state_url, settings.redis.timeout_s))
    began = monotonic()
    try:
        sink.send(sample(name, time()))
    except DeliveryFailed as failure:
        after = "would be tried again later" if failure.retryable else "would not be tried again"
        reason = f"{name} did not take the test alert: {failure} (an alert {after})"
        raise DeliveryFailed(reason, retryable=False) from None
    click.echo(f"{name} took the test alert in {monotonic() - began:.2f} s; see whether it has arrived")


@command.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of what a webhook is sent."""
    click.echo(json.dumps(Alert.model_json_schema(), indent=2))


def sample(sink: str, now: float) -> Alert:
    """An alert that nobody can take for a real one, with an id that no backend has seen before."""
    episode = uuid4()
    return Alert(
        id=alert_id(episode, 0),
        episode_id=episode,
        number=0,
        event="raised",
        camera_id=SITE,
        rule="test",
        severity="info",
        track_id=None,
        started_at=now,
        at=now,
        message=f"This is only a test: alerts for {sink} come this way. Nothing has happened",
    )
