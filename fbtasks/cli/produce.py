"""`fbtasks produce`."""

import click

from fbtasks.cli import with_settings
from fbtasks.errors import ConfigError
from fbtasks.settings import Settings


def refuse_no_cameras(settings: Settings) -> None:
    """Raise `ConfigError` when there is no camera to read."""
    if not any(camera.enabled for camera in settings.cameras):
        raise ConfigError("no camera to read: add [[cameras]] with id and url to the settings file")


@click.command(name="produce")
@with_settings("produce")
def command(settings: Settings) -> None:
    """Read every enabled camera of the settings and push its frames to Redis."""
    from fbtasks.producer.daemon import run

    refuse_no_cameras(settings)
    run(settings)
