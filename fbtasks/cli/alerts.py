"""`fbtasks alerts`: what is going on, what was told to whom, and the answers of those who look after it."""

import getpass
import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import wraps
from threading import Event
from time import time
from typing import Any

import click
import msgspec

from fbtasks.alert import SEVERITIES, Severity
from fbtasks.cli import with_settings
from fbtasks.cli.wording import SHORT_ID, delivery_words, mute_words, scope, table, told, view_line
from fbtasks.errors import StoreUnavailable
from fbtasks.lifecycle import on_stop
from fbtasks.logic.desk import Desk, open_desk
from fbtasks.logic.localtime import Zone, clock_text
from fbtasks.logic.store import AlertView, Wanted
from fbtasks.settings import Settings

RECENT_S = 86_400.0
FOLLOW_EVERY_S = 1.0
LATE_S = 60.0
"""An alert may be seen in the store by so much later than the time with which it was stored."""
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([mhd])")
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}

Command = Callable[..., None]


def since(text: str) -> float | datetime:
    """A time ago, as `90m`, `12h`, `3d`, in unix seconds; or a time, the stable's unless it says another zone."""
    if age := _AGE.fullmatch(text):
        return time() - float(age[1]) * _UNITS[age[2]]
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no time: write 90m, 12h, 3d, 2026-11-22 or '2026-11-22 18:30'"
        raise click.BadParameter(told) from None


def user() -> str:
    """Who is logged in, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def at_desk(command: Callable[..., None]) -> Command:
    """Give the command the site's desk."""

    @with_settings("alerts")
    @wraps(command)
    def run(settings: Settings, *args: Any, **options: Any) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with open_desk(settings) as desk:
            command(desk, *args, **options)

    return run


@click.group(name="alerts")
def command() -> None:
    """See what is going on, acknowledge and mute alerts, try again what could not be delivered."""


@command.command(name="list")
@click.option("--camera", help="Only this camera.")
@click.option("--rule", help="Only this rule.")
@click.option(
    "--since", "begin", type=since, help="90m, 12h, 3d, or a time; default: the last day. Open ones show anyway."
)
@click.option("--severity", type=click.Choice(SEVERITIES), help="Only so severe, or more.")
@click.option("--all", "everything", is_flag=True, help="However long ago.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, times in unix seconds.")
@at_desk
def show_list(
    desk: Desk,
    *,
    camera: str | None,
    rule: str | None,
    begin: float | datetime | None,
    severity: Severity | None,
    everything: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List alerts: the open ones first, then those that are over, the newest first."""
    at = None if everything else time() - RECENT_S if begin is None else _unix(begin, desk.zone)
    found = desk.episodes(Wanted(camera, rule, at, severity), limit + 1)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found[:limit]), indent=2))
        return
    for row in table(found[:limit], time(), desk.zone):
        click.echo(row)
    if len(found) > limit:
        click.echo(f"There are more than {limit}; `--limit` shows more, `--camera`, `--rule` and `--since` fewer.")
    if not found:
        click.echo("No alert." if everything else "No alert is open, and there was none in that time.")


@command.command()
@click.argument("alert", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As JSON, times in unix seconds.")
@at_desk
def show(desk: Desk, *, alert: str, as_json: bool) -> None:
    """Tell all about an alert: what the rule saw, and what was sent where. ID may be cut short."""
    found = desk.show(alert)
    if as_json:
        click.echo(
            json.dumps(msgspec.to_builtins(found, enc_hook=lambda alert: alert.model_dump(mode="json")), indent=2)
        )
        return
    for row in told(found, time(), desk.zone, desk.evidence_folder):
        click.echo(row)


@command.command()
@click.argument("alert", metavar="ID")
@click.option("--by", default=user, show_default="who is logged in", help="Who has seen to it.")
@click.option("--note", help="What was found or done.")
@at_desk
def ack(desk: Desk, *, alert: str, by: str, note: str | None) -> None:
    """Say that somebody has seen to an open alert. If it grows graver it is told of again."""
    episode, is_first = desk.acknowledge(alert, by, note)
    if is_first:
        click.echo(f"Acknowledged: {episode.message}")
    else:
        at = clock_text(episode.acknowledged_at or 0.0, time(), desk.zone)
        click.echo(f"Acknowledged before, by {episode.acknowledged_by} at {at}: {episode.message}")


@command.command()
@click.argument("words", nargs=-1, metavar="CAMERA MINUTES")
@click.option("--all", "everywhere", is_flag=True, help="All cameras, instead of one: `--all MINUTES`.")
@click.option("--rule", help="Only this rule.")
@click.option("--even-critical", is_flag=True, help="Critical alerts too, which break through otherwise.")
@click.option("--by", default=user, show_default="who is logged in", help="Who mutes.")
@at_desk
def mute(
    desk: Desk, *, words: tuple[str, ...], everywhere: bool, rule: str | None, even_critical: bool, by: str
) -> None:
    """Hold alerts of a camera back for some minutes. What is still open then is told then."""
    if len(words) != (1 if everywhere else 2):
        raise click.UsageError("write a camera and minutes, or --all and minutes: `fbtasks alerts mute box-3 30`")
    try:
        minutes = float(words[-1])
    except ValueError:
        raise click.UsageError(f"{words[-1]!r} is no number of minutes") from None
    made = desk.mute(None if everywhere else words[0], rule, minutes, by, even_critical=even_critical)
    click.echo(f"Muted: {mute_words(made, time(), desk.zone)}")


@command.command()
@click.argument("camera", required=False)
@click.option("--all", "everywhere", is_flag=True, help="End every mute.")
@click.option("--rule", help="Only mutes of this rule.")
@at_desk
def unmute(desk: Desk, *, camera: str | None, everywhere: bool, rule: str | None) -> None:
    """End mutes before their time; what they held back and is still open is told now."""
    if everywhere == (camera is not None):
        raise click.UsageError("write a camera, or --all")
    ended = desk.unmute(camera, rule)
    for one in ended:
        click.echo(f"No longer muted: {scope(one)}")
    if not ended:
        click.echo("Nothing of that was muted.")
    if camera is not None and any(one.camera_id is None for one in desk.mutes()):
        click.echo("Some alerts of all cameras are muted still: `fbtasks alerts mutes`.")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, times in unix seconds.")
@at_desk
def mutes(desk: Desk, *, as_json: bool) -> None:
    """List what is muted now, and until when."""
    found = desk.mutes()
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    for one in found:
        click.echo(mute_words(one, time(), desk.zone))
    if not found:
        click.echo("Nothing is muted.")


@command.command()
@click.option("--last", type=click.IntRange(0, 1000), default=10, show_default=True, help="Begin with so many.")
@at_desk
def tail(desk: Desk, *, last: int) -> None:
    """Tell each alert in a line as it is stored, muted ones too; Ctrl-C ends it."""
    stop = Event()
    with on_stop(stop.set):
        for view in _followed(desk, last, stop):
            click.echo(view_line(view, desk.zone))


@command.command()
@click.argument("alert", required=False, metavar="[ID]")
@click.option("--all", "everything", is_flag=True, help="All that could not be delivered.")
@at_desk
def retry(desk: Desk, *, alert: str | None, everything: bool) -> None:
    """Send again what could not be delivered; without ID or --all, only show it."""
    if everything and alert is not None:
        raise click.UsageError("write an ID, or --all")
    dead = desk.dead_letters(alert)
    if not dead:
        click.echo("Nothing was given up.")
    elif everything or alert is not None:
        count = desk.retry(alert)
        click.echo(f"{count} {'delivery is' if count == 1 else 'deliveries are'} tried again within seconds.")
    else:
        for one in dead:
            click.echo(f"{one.episode_id[:SHORT_ID]}  {delivery_words(one, time(), desk.zone)}")
        click.echo("Send them again with `fbtasks alerts retry ID`, or all with `--all`.")


def _unix(at: float | datetime, zone: Zone) -> float:
    if not isinstance(at, datetime):
        return at
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).timestamp()


def _followed(desk: Desk, last: int, stop: Event) -> Iterator[AlertView]:
    """The last alerts that were stored, then every new one, until `stop`."""
    known: dict[str, float] = {}
    before = desk.recorded_since(time() - RECENT_S)
    known.update({view.alert.id: view.recorded_at for view in before})
    yield from before[len(before) - min(last, len(before)) :]
    while not stop.wait(FOLLOW_EVERY_S):
        since = time() - LATE_S
        try:
            found = desk.recorded_since(since)
        except StoreUnavailable:
            continue
        known = {key: at for key, at in known.items() if at >= since}
        for view in found:
            if view.alert.id not in known:
                known[view.alert.id] = view.recorded_at
                yield view
