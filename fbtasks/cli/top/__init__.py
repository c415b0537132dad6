"""`fbtasks top`: the whole pipeline at a glance, as it works."""

import json
import sys
from dataclasses import asdict
from threading import Event
from time import time

import click
from rich.console import Console
from rich.live import Live

from fbtasks.cli import with_settings
from fbtasks.cli.top.observer import Observer, Snapshot
from fbtasks.cli.top.screen import screen
from fbtasks.lifecycle import on_stop
from fbtasks.logic.localtime import Zone
from fbtasks.settings import Settings

REFRESH_S = 1.0
PLAIN_WIDTH = 100
"""Columns of what is not printed on a terminal."""


@click.command(name="top")
@click.option("--once", is_flag=True, help="Print once and end; so it is where the output is no terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print once, as JSON.")
@click.option("--seconds", type=click.FloatRange(min=1), default=10.0, show_default=True, help="What rates are over.")
@with_settings("top")
def command(settings: Settings, once: bool, as_json: bool, seconds: float) -> None:
    """Show cameras, rates, lag, p50, p95 and p99 of every stage, queues, workers and the last alerts; Ctrl-C ends.

    Printed once, it exits with 1 when there was nothing to see, for Redis was away or nothing runs.
    """
    stop = Event()
    observer = Observer(settings, window_s=seconds)
    with on_stop(stop.set):
        if as_json or once or not sys.stdout.isatty():
            observer.listen(seconds, stop)
            snapshot = observer.snapshot(time())
            _print(snapshot, settings.zone, as_json=as_json)
            sys.exit(1 if snapshot.trouble else 0)
        _live(observer, settings.zone, stop)


def _print(snapshot: Snapshot, zone: Zone, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(snapshot), indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print(screen(snapshot, console.width, None, zone))


def _live(observer: Observer, zone: Zone, stop: Event) -> None:
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not stop.is_set():
            live.update(screen(observer.snapshot(time()), console.width, console.height, zone), refresh=True)
            observer.listen(REFRESH_S, stop)
