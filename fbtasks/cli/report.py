"""`fbtasks report`: what each horse did last night, against its own nights before."""

import json
import logging
from contextlib import closing, suppress
from datetime import date, datetime
from pathlib import Path
from time import time

import click
import msgspec

from fbtasks.cli import with_settings
from fbtasks.cli.files import OutputFile
from fbtasks.logic.localtime import last_over
from fbtasks.logic.nightly import Report, text
from fbtasks.logic.reports import reports
from fbtasks.logic.store import open_store
from fbtasks.registry import Registry
from fbtasks.settings import Settings
from fbtasks.transport import REDIS_AWAY, connect


@click.command(name="report")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The night that begins on this day.")
@click.option("--camera", "cameras", multiple=True, help="Only this camera; may be given again.")
@click.option("--json", "json_file", type=OutputFile(), help="Write the reports to this file as well.")
@with_settings("report")
def command(settings: Settings, *, day: datetime | None, cameras: tuple[str, ...], json_file: Path | None) -> None:
    """Tell what each horse did last night, and what of it is unusual for that horse."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    night = day.date() if day else last_over(time(), settings.report.night, settings.zone)
    with closing(open_store(settings.store_url)) as store:
        store.migrate()
        found = reports(_with_added_cameras(settings), store, night, cameras)
    click.echo(_page(settings, found, night))
    if json_file is not None:
        json_file.write_text(json.dumps(msgspec.to_builtins(found), indent=2), encoding="utf-8")


def _with_added_cameras(settings: Settings) -> Settings:
    """For the names of their horses; a report can be read while Redis is away."""
    with suppress(*REDIS_AWAY):
        return Registry(connect(settings.state_url, settings.redis.timeout_s), settings).settings()
    return settings


def _page(settings: Settings, found: list[Report], night: date) -> str:
    if not found:
        return f"Nothing was watched in the night of {night:%A %-d %B %Y}."
    return "\n\n".join(text(report, settings.zone) for report in found)
