"""The rules: one file each, and what makes them from the tables of the settings."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fbtasks.errors import ConfigError
from fbtasks.logic.rules.absent import Absent
from fbtasks.logic.rules.agitated import Agitated
from fbtasks.logic.rules.base import Rule
from fbtasks.logic.rules.camera_blind import CameraBlind
from fbtasks.logic.rules.cast import Cast
from fbtasks.logic.rules.lying import Lying
from fbtasks.logic.rules.person import Person
from fbtasks.logic.rules.restless import Restless
from fbtasks.logic.rules.too_fast import TooFast
from fbtasks.logic.rules.zone import Zone
from fbtasks.naming import nearest

KNOWN: dict[str, type[Rule]] = {
    rule.name: rule for rule in (CameraBlind, Lying, TooFast, Agitated, Person, Absent, Zone, Cast, Restless)
}

__all__ = ["KNOWN", "Rule", "all_rules", "load_rules"]


Tables = Mapping[str, Mapping[str, Any]]
"""Rule name to its keys."""


def load_rules(tables: Tables, known: Mapping[str, type[Rule]] = KNOWN, where: str = "rules") -> tuple[Rule, ...]:
    """The enabled rules: every known one with its defaults, and `tables` over them.

    Args:
        known: all rules there are; those of other packages are in `fbtasks.logic.plugins.known_rules`.
        where: the place of the tables in the settings, to name a fault by.

    Raises:
        ConfigError: a rule or a key is unknown, or a value is out of bounds; every fault is named.
    """
    return tuple(rule for rule in all_rules(tables, known, where) if rule.enabled)


def all_rules(tables: Tables, known: Mapping[str, type[Rule]] = KNOWN, where: str = "rules") -> tuple[Rule, ...]:
    """As `load_rules`, with those that are switched off."""
    faults = [f"{where}.{name}: unknown rule{nearest(name, known)}" for name in tables if name not in known]
    rules = []
    for name, rule in known.items():
        try:
            rules.append(rule.model_validate(tables.get(name, {})))
        except ValidationError as error:
            faults += [_explain(rule, fault, where) for fault in error.errors()]
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(rules)


def _explain(rule: type[Rule], fault: ErrorDetails, where: str) -> str:
    path = ".".join(str(part) for part in (where, rule.name, *fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown setting{nearest(str(fault['loc'][0]), rule.model_fields)}"
    return f"{path}: {fault['msg'].removeprefix('Value error, ')}"
