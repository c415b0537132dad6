"""`fbtasks cameras add`, `set`, `disable`, `enable`, `remove` and `export`."""

import json
from collections.abc import Mapping
from typing import Any

import click

from fbtasks.cli import with_settings
from fbtasks.cli.cameras.site import USER, checked, over, parsed, password_for, registry_of, with_login
from fbtasks.errors import RegistryError
from fbtasks.naming import nearest
from fbtasks.registry import Entry, Registry
from fbtasks.settings import Settings

IN_FILE = "is in the settings file"
CAMERA = click.argument("camera_id", metavar="CAMERA")


@click.command(name="add")
@click.argument("camera_id", metavar="CAMERA")
@click.argument("url")
@click.argument("assignments", nargs=-1, metavar="[KEY=VALUE]...")
@USER
@with_settings("cameras")
def add(settings: Settings, camera_id: str, url: str, assignments: tuple[str, ...], user: str | None) -> None:
    """Add a camera, `fbtasks cameras add box-7 rtsp://10.0.0.17/stream1 --user admin horse=Luna`.

    The password is asked for, or taken from $CAMERA_PASSWORD, so that it stays in no shell's history. KEY is any key of
    [[cameras]] in the settings file, `rules.lying.info_after_s` too.
    """
    registry = registry_of(settings)
    add_camera(settings, registry, camera_id, with_login(url, user, password_for(user) if user else None), assignments)
    click.echo(f"{camera_id} is added; `fbtasks cameras list` shows how it does")


def add_camera(
    settings: Settings, registry: Registry, camera_id: str, url: str, assignments: tuple[str, ...] = ()
) -> None:
    """Add a camera of its own.

    Raises:
        ConfigError: a value is wrong.
        RegistryError: there is a camera of that name.
    """
    entry = Entry(own=True, values=over({"url": url}, parsed(assignments)))
    checked(settings.model_copy(update={"cameras": []}), camera_id, entry)
    if settings.camera(camera_id) is not None:
        raise RegistryError(f"camera {camera_id!r} {IN_FILE} already: change it there, or with `fbtasks cameras set`")
    if camera_id in registry.entries():
        raise RegistryError(f"there is a camera {camera_id!r} already: change it with `fbtasks cameras set`")
    registry.change(camera_id, entry)


@click.command(name="set")
@CAMERA
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...")
@with_settings("cameras")
def set_(settings: Settings, camera_id: str, assignments: tuple[str, ...]) -> None:
    """Change a camera, `fbtasks cameras set box-7 fps=2 horse=Luna rules.lying.preset=must_not`.

    KEY is any key of [[cameras]] in the settings file. `KEY=` takes a change back.
    """
    changes = parsed(assignments)
    change(settings, camera_id, changes)
    click.echo(f"{camera_id}: {', '.join(changes)} set")


@click.command(name="disable")
@CAMERA
@with_settings("cameras")
def disable(settings: Settings, camera_id: str) -> None:
    """Stop reading a camera; its alerts stay as they are."""
    change(settings, camera_id, {"enabled": False})
    click.echo(f"{camera_id} is read no more; `fbtasks cameras enable {camera_id}` takes it up again")


@click.command(name="enable")
@CAMERA
@with_settings("cameras")
def enable(settings: Settings, camera_id: str) -> None:
    """Read a camera again."""
    change(settings, camera_id, {"enabled": True})
    click.echo(f"{camera_id} is read again; `fbtasks cameras list` shows how it does")


def change(settings: Settings, camera_id: str, changes: Mapping[str, Any]) -> None:
    """Change a camera, of the file or not.

    Raises:
        ConfigError: a value is wrong.
        RegistryError: there is no such camera.
    """
    registry = registry_of(settings)
    entries = registry.entries()
    filed = settings.camera(camera_id)
    before = entries.get(camera_id)
    if filed is None and (before is None or not before.own):
        raise _unknown(camera_id, settings, registry)
    kept = before.values if before is not None and before.own == (filed is None) else {}
    entry = Entry(own=filed is None, values=over(kept, changes))
    camera = checked(settings, camera_id, entry)
    if filed is not None:
        # What the file says too is no change of it.
        differing = {
            name: value for name, value in entry.values.items() if getattr(camera, name) != getattr(filed, name)
        }
        entry = Entry(own=False, values=differing)
    registry.change(camera_id, entry if entry.values else None)


@click.command(name="remove")
@CAMERA
@with_settings("cameras")
def remove(settings: Settings, camera_id: str) -> None:
    """Forget a camera that was added. One of the settings file has to be taken out there."""
    registry = registry_of(settings)
    entry = registry.entries().get(camera_id)
    filed = settings.camera(camera_id) is not None
    if filed and (entry is None or not entry.own):
        raise RegistryError(
            f"camera {camera_id!r} {IN_FILE}: take it out there; `fbtasks cameras disable {camera_id}` stops it now"
        )
    if entry is None:
        raise _unknown(camera_id, settings, registry)
    registry.change(camera_id, None)
    click.echo(f"{camera_id} is removed" + (f"; the one that {IN_FILE} is read still" if filed else ""))


def _unknown(camera_id: str, settings: Settings, registry: Registry) -> RegistryError:
    known = {camera.id for camera in registry.settings().cameras} | {camera.id for camera in settings.cameras}
    return RegistryError(
        f"there is no camera {camera_id!r}{nearest(camera_id, known)}; `fbtasks cameras list` names all"
    )


@click.command(name="export")
@with_settings("cameras")
def export(settings: Settings) -> None:
    """Print what was set at run time as TOML for the settings file, passwords too.

    Redis keeps it through restarts. Should its disk be lost as well, this is what is left.
    """
    filed = {camera.id for camera in settings.cameras}
    for camera_id, entry in registry_of(settings).entries().items():
        if entry.own and camera_id not in filed:
            click.echo(_table(camera_id, entry.values))
        elif not entry.own and camera_id in filed:
            lines = _table(camera_id, entry.values).splitlines()
            click.echo(
                "# Over the camera of that name in the file:\n" + "\n".join(f"# {line}" for line in lines) + "\n"
            )


def _table(camera_id: str, values: Mapping[str, Any]) -> str:
    lines = [f"{name} = {_toml(value)}" for name, value in {"id": camera_id, **values}.items()]
    return "\n".join(["[[cameras]]", *lines]) + "\n"


def _toml(value: Any) -> str:
    """A value as TOML; of text, JSON's form is TOML's too."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


COMMANDS = {command.name: command for command in (add, set_, disable, enable, remove, export)}
