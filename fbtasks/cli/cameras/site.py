"""What the commands on cameras share: the registry, and what may be set for a camera."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import click
from pydantic import ValidationError

from fbtasks.errors import ConfigError
from fbtasks.naming import nearest
from fbtasks.registry import Entry, Registry, camera_of
from fbtasks.settings import CameraSettings, Settings
from fbtasks.transport import connect

USER = click.option("--user", envvar="CAMERA_USER", help="User on the camera; or $CAMERA_USER.")
PASSWORD_VARIABLE = "CAMERA_PASSWORD"  # noqa: S105 - the name of a variable


def registry_of(settings: Settings) -> Registry:
    """The site's registry."""
    return Registry(connect(settings.state_url, settings.redis.timeout_s), settings)


def password_for(user: str) -> str:
    """From the environment, else asked for: on a command line it would stay in the shell's history."""
    import os

    given = os.environ.get(PASSWORD_VARIABLE)
    return given if given is not None else str(click.prompt(f"Password of {user}", hide_input=True, err=True))


def with_login(url: str, user: str | None, password: str | None) -> str:
    """The URL with user and password in it."""
    if not user:
        return url
    parts = urlsplit(url)
    login = f"{quote(user, safe='')}:{quote(password or '', safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))


def parsed(assignments: Iterable[str]) -> dict[str, Any]:
    """What `KEY=VALUE` pairs set; `a.b=1` sets `b` in the table `a`. An empty value is None: back to what was before.

    Raises:
        ConfigError: one is no such pair.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        *tables, name = key.split(".")
        if not equals or not all([*tables, name]):
            raise ConfigError(f"{assignment!r} sets nothing: write KEY=VALUE, such as fps=2 or horse=Luna")
        table = values
        for each in tables:
            table = table.setdefault(each, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{key}: {each!r} is set twice, as a value and as a table")
        table[name] = _value(text)
    return values


def _value(text: str) -> Any:
    """Numbers, lists, tables and truth values as in the settings file; whatever else is text."""
    if not text:
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the changes made; None takes a key away, and empty tables go."""
    joined = dict(values)
    for name, change in changes.items():
        if isinstance(change, Mapping):
            below = joined.get(name)
            change = over(below if isinstance(below, Mapping) else {}, change) or None  # noqa: PLW2901
        if change is None:
            joined.pop(name, None)
        else:
            joined[name] = change
    return joined


def checked(settings: Settings, camera_id: str, entry: Entry) -> CameraSettings:
    """The camera that the entry makes, its rules looked at too.

    Raises:
        ConfigError: a key is unknown, or a value out of bounds.
    """
    from fbtasks.logic.plugins import known_rules
    from fbtasks.logic.rules import load_rules

    filed = settings.camera(camera_id)
    try:
        camera = camera_of(camera_id, replace(entry, own=filed is None), filed)
    except ValidationError as error:
        raise ConfigError("\n".join(_explained(fault) for fault in error.errors())) from None
    made = settings.model_copy(update={"cameras": [camera]})
    load_rules(made.rule_tables(camera_id), known_rules(), f"camera {camera_id}: rules")
    return camera


def _explained(fault: Any) -> str:
    """Never the value: it may hold a password."""
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{name}: unknown setting of a camera{nearest(name, CameraSettings.model_fields)}"
    if fault["type"] == "missing":
        return f"{name}: is missing"
    return f"{name}: {fault['msg'].removeprefix('Value error, ')}"
