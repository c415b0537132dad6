"""`fbtasks produce`."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from fbtasks.cli import with_settings
from fbtasks.health import Report
from fbtasks.metrics import MetricsServer, ReportCollector, producer_families, registry_of
from fbtasks.settings import Settings

log = logging.getLogger(__name__)


def warn_of_no_cameras(settings: Settings) -> None:
    """Say how to add a camera when the settings file has none; the registry may have some, or get them later."""
    if not any(camera.enabled for camera in settings.cameras):
        log.warning("the settings file has no camera: add [[cameras]] to it, or run `fbtasks cameras add ID URL`")


@contextmanager
def observed(settings: Settings, report: Callable[[], Report]) -> Iterator[None]:
    """While a producer works: its metrics for who asks, and its place in Flower."""
    from fbtasks.cli.presence import Presence, push_shown

    registry = registry_of("producer")
    registry.register(ReportCollector(report, producer_families))
    with MetricsServer(settings.prometheus, "producer", registry), Presence("produce", report, push_shown):
        yield


@click.command(name="produce")
@with_settings("produce")
def command(settings: Settings) -> None:
    """Read the cameras and push their frames to Redis; several producers share them."""
    from fbtasks.producer.daemon import run

    warn_of_no_cameras(settings)
    run(settings, observed)
