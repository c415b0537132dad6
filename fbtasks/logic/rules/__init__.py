"""The rules: one file each, and what makes them from the tables of the settings."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fbtasks.errors import ConfigError
from fbtasks.logic.rules.base import Rule
from fbtasks.logic.rules.lying import Lying
from fbtasks.logic.rules.too_fast import TooFast
from fbtasks.naming import nearest

KNOWN: dict[str, type[Rule]] = {rule.name: rule for rule in (Lying, TooFast)}

__all__ = ["KNOWN", "Rule", "load_rules"]


def load_rules(tables: dict[str, dict[str, Any]]) -> tuple[Rule, ...]:
    """The enabled rules: every known one with its defaults, and `tables` (rule name to its keys) over them.

    Raises:
        ConfigError: a rule or a key is unknown, or a value is out of bounds; every fault is named.
    """
    faults = [f"rules.{name}: unknown rule{nearest(name, KNOWN)}" for name in tables if name not in KNOWN]
    rules = []
    for name, rule in KNOWN.items():
        try:
            rules.append(rule.model_validate(tables.get(name, {})))
        except ValidationError as error:
            faults += [_explain(rule, fault) for fault in error.errors()]
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(rule for rule in rules if rule.enabled)


def _explain(rule: type[Rule], fault: ErrorDetails) -> str:
    key = str(fault["loc"][0]) if fault["loc"] else ""
    if fault["type"] == "extra_forbidden":
        return f"rules.{rule.name}.{key}: unknown setting{nearest(key, rule.model_fields)}"
    return f"rules.{rule.name}{'.' if key else ''}{key}: {fault['msg'].removeprefix('Value error, ')}"
