"""`fbtasks cameras discover`."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fbtasks.cli import with_settings
from fbtasks.cli.cameras.changes import add_camera
from fbtasks.cli.cameras.site import USER, password_for, registry_of, with_login
from fbtasks.errors import CameraError
from fbtasks.settings import Settings

if TYPE_CHECKING:
    from fbtasks.producer.discovery import Device, StreamUrl

BIGGEST_ENOUGH = 640
"""Of a camera's streams that is added which is no larger than needed: the smallest at least so wide."""


@click.command(name="discover")
@click.option("--seconds", type=click.FloatRange(0.2, 60), default=3.0, show_default=True, help="How long to listen.")
@click.option("--interface", metavar="ADDRESS", help="Search by the network card of this address.")
@click.option("--host", metavar="ADDRESS", help="Ask this address alone, where multicast does not get through.")
@click.option("--port", type=click.IntRange(1, 65_535), default=3702, show_default=True, help="UDP port of the search.")
@click.option("--add", "wanted", is_flag=True, help="Add what is found and not yet known.")
@click.option("--json", "as_json", is_flag=True, help="What is found as a list of objects.")
@USER
@with_settings("cameras")
def command(
    settings: Settings,
    *,
    seconds: float,
    interface: str | None,
    host: str | None,
    port: int,
    wanted: bool,
    as_json: bool,
    user: str | None,
) -> None:
    """Look for ONVIF cameras on the network and ask them for their streams; exit 1 when none is found.

    The password of --user is asked for, or taken from $CAMERA_PASSWORD. With --add each camera is added by its
    smallest stream of at least 640 pixels' width, named after its address.
    """
    from fbtasks.producer.discovery import need_onvif, search

    need_onvif()
    password = password_for(user) if user else None
    found = search(seconds, interface, host, port)
    told = [_asked(device, user, password) for device in found]
    if as_json:
        click.echo(json.dumps([_plain(*one) for one in told], indent=2))
    else:
        for one in told:
            click.echo(_text(*one))
    if wanted:
        for device, streams, _ in told:
            if streams:
                _add(settings, device, streams, user, password)
    if not found:
        raise CameraError("no camera answered; is it on this network? --interface and --host help where it is not")


def _asked(device: "Device", user: str | None, password: str | None) -> "tuple[Device, list[StreamUrl], str]":
    """The device, its streams, and why there are none."""
    from fbtasks.producer.discovery import streams

    try:
        return device, streams(device, user, password), ""
    except CameraError as error:
        return device, [], str(error)


def _plain(device: "Device", streams: "Sequence[StreamUrl]", reason: str) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(device), "streams": [asdict(stream) for stream in streams], "reason": reason}


def _text(device: "Device", streams: "Sequence[StreamUrl]", reason: str) -> str:
    lines = [f"{device.host}  {device.name}".rstrip()]
    lines += [
        f"  {stream.profile}: {stream.codec} {stream.width}x{stream.height} {stream.fps:g} fps  {stream.url}"
        for stream in streams
    ]
    return "\n".join([*lines, *([f"  {reason}"] if reason else [])])


def best(streams: "Sequence[StreamUrl]") -> "StreamUrl":
    """The smallest stream that is large enough, else the largest."""
    enough = [stream for stream in streams if stream.width >= BIGGEST_ENOUGH]
    return min(enough, key=lambda one: one.width) if enough else max(streams, key=lambda one: one.width)


def _add(
    settings: Settings, device: "Device", streams: "Sequence[StreamUrl]", user: str | None, password: str | None
) -> None:
    registry = registry_of(settings)
    known = {_place(camera.url.get_secret_value()): camera.id for camera in registry.settings().cameras}
    present = next((known[_place(stream.url)] for stream in streams if _place(stream.url) in known), None)
    if present is not None:
        click.echo(f"{device.host} is known already, as {present}")
        return
    camera_id = _free(f"camera-{re.sub(r'[^A-Za-z0-9]+', '-', device.host).strip('-')}", set(known.values()))
    add_camera(settings, registry, camera_id, with_login(best(streams).url, user, password))
    click.echo(f"{camera_id} is added")


def _place(url: str) -> str:
    """The URL without user and password."""
    return re.sub(r"//[^/]*@", "//", url)


def _free(wanted: str, taken: set[str]) -> str:
    numbers = (f"{wanted}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (wanted, *numbers) if name not in taken)
