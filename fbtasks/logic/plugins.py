"""What other packages bring: rules, in the entry point group `fbtasks.rules`, and sinks, in `fbtasks.sinks`.

See `examples/` for a rule and `docs/sinks.md` for a sink.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from typing import Protocol

from fbtasks.errors import ConfigError, ExtraMissing
from fbtasks.logic.rules import KNOWN
from fbtasks.logic.rules.base import CameraRule, Rule, TrackRule
from fbtasks.logic.sinks import Sink

GROUP = "fbtasks.rules"
SINKS = "fbtasks.sinks"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@cache
def known_rules() -> dict[str, type[Rule]]:
    """Our own rules and those of all installed packages, by name.

    Raises:
        ConfigError: an entry point leads to no rule, or to one whose name is taken.
    """
    known = dict(KNOWN)
    for point in sorted(entry_points(group=GROUP)):
        rule = _load(point)
        if rule.name in known:
            raise ConfigError(f"{_origin(point)}: there is a rule {rule.name!r} already; uninstall one of the two")
        known[rule.name] = rule
    return known


class MakesSink(Protocol):
    """What an entry point of `fbtasks.sinks` leads to, a class for one. It may raise `ConfigError`."""

    def __call__(self, name: str, timeout_s: float, **options: str) -> Sink: ...


def package_sink(kind: str, name: str, timeout_s: float, options: Mapping[str, str]) -> Sink:
    """The sink `name` of another package's `kind`.

    Raises:
        ConfigError: no installed package brings it, or it does not want these options.
    """
    for point in entry_points(group=SINKS, name=kind):
        try:
            make: MakesSink = point.load()
            return make(name, timeout_s, **options)
        except (ImportError, AttributeError, TypeError) as error:
            raise ConfigError(f"sinks.{name}: {point.value} cannot be used: {error}") from error
    raise ExtraMissing(f"sinks.{name}: no installed package brings a sink {kind!r}")


def _load(point: EntryPoint) -> type[Rule]:
    try:
        rule = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{_origin(point)} cannot be loaded: {error}") from error
    if not (isinstance(rule, type) and issubclass(rule, TrackRule | CameraRule)):
        raise ConfigError(f"{_origin(point)} is no rule: derive it from TrackRule or CameraRule")
    if isabstract(rule):
        missing = ", ".join(sorted(rule.__abstractmethods__))
        raise ConfigError(f"{_origin(point)} is not finished: it lacks {missing}")
    if not _NAME.fullmatch(getattr(rule, "name", "")):
        raise ConfigError(f"{_origin(point)}: its name must be lower-case letters, digits and _, at most 64 of them")
    return rule


def _origin(point: EntryPoint) -> str:
    package = point.dist.name if point.dist else "an unknown package"
    return f"rule {point.value} of {package}"
