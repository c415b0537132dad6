"""Pure modules take values and `now`, and import nothing that could tell the time, wait, roll dice or reach outside.

Which modules are pure stands once, in the import contract of pyproject.toml. That contract watches installed packages;
import-linter cannot see the standard library, so this test does, and that pure modules build on pure modules only.
"""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = "Pure modules reach no effects"
CLOCKS = frozenset({"time"})
TOLD_BY_A_CLOCK = frozenset({"now", "today", "utcnow"})
"""`datetime` converts times, which is pure, and tells them by these."""
CHANCE = frozenset({"random", "secrets"})
CONCURRENCY = frozenset({"asyncio", "concurrent", "multiprocessing", "queue", "signal", "subprocess", "threading"})
SYSTEM = frozenset({"ctypes", "fcntl", "glob", "io", "logging", "os", "pathlib", "shutil", "sys", "tempfile"})
NETWORK = frozenset({"http", "select", "socket", "sqlite3", "ssl", "urllib"})
EFFECTS = CLOCKS | CHANCE | CONCURRENCY | SYSTEM | NETWORK
EFFECTFUL_BUILTINS = frozenset({"open", "print", "input"})
PURE_ANYWAY = frozenset({"fbtasks.errors", "urllib.parse"})


@cache
def pure_modules() -> dict[str, Path]:
    """Dotted name and file of every pure module; a package stands for all that is in it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    names = next(contract for contract in contracts if contract["name"] == CONTRACT)["source_modules"]
    return {_dotted(file): file for name in names for file in _files(name)}


def _files(name: str) -> list[Path]:
    path = ROOT.joinpath(*name.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def faults(source: str) -> list[str]:
    """What in the text of a module is not pure."""
    tree = ast.parse(source)
    imported = list(imports(tree))
    known = pure_modules().keys() | PURE_ANYWAY
    return [
        *(name for name in imported if name.split(".")[0] in EFFECTS and name not in PURE_ANYWAY),
        *(name for name in imported if name.split(".")[0] == "fbtasks" and name not in known),
        *(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in EFFECTFUL_BUILTINS),
        *(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in TOLD_BY_A_CLOCK),
    ]


@pytest.mark.parametrize("name", sorted(pure_modules()))
def test_a_pure_module_reaches_nothing_outside(name: str) -> None:
    assert faults(pure_modules()[name].read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import path",
        "def f():\n    import random",
        "from fbtasks.settings import Settings",
        "open('x')",
        "from datetime import date\ndate.today()",
    ],
)
def test_an_effect_is_seen(source: str) -> None:
    assert faults(source) != []
