"""What `serve` and `render` have in common: PyAV, which not everybody has, and how size and rate are given."""

from importlib.util import find_spec

import click

from fbtasks.errors import ConfigError

FPS = click.FloatRange(0.1, 60)


def size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """An option's callback: `640x360` as width and height."""
    from fbtasks.sim.faults import parse_size

    try:
        return None if value is None else parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def need_pyav() -> None:
    """Raises `ConfigError` without the package that encodes video."""
    if find_spec("av") is None:
        raise ConfigError("drawn cameras need PyAV: pip install 'fbtasks[demo]'")
