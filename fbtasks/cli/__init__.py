"""The `fbtasks` command: the one place where roles, Redis and settings are wired together.

Each command imports its role only when it runs: a camera box needs no CUDA, a logic box no ONNX Runtime.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from fbtasks import __version__, logs
from fbtasks.cli.lazy import LazyGroup
from fbtasks.errors import ConfigError, FbtasksError
from fbtasks.redaction import redact
from fbtasks.settings import CONFIG_VARIABLE, Settings, load_settings
from fbtasks.transport import REDIS_AWAY

COMMANDS = {
    "produce": "Read the cameras and push their frames to Redis.",
    "infer": "Run the model on batches of frames; the GPU worker.",
    "up": "Start everything on this machine; Ctrl-C stops it.",
    "check": "Print the health report, or watch and tell when Celery cannot.",
    "doctor": "Look at all that is needed here, and say what to do about it.",
    "top": "Show cameras, rates, latencies, queues and alerts, live.",
    "replay": "Run recorded results through the rules again, or others.",
    "report": "Tell what each horse did last night, against its own nights.",
    "alerts": "List, acknowledge and mute alerts; try again what was not delivered.",
    "rules": "Tell in plain words what the rules of a settings file do.",
    "cameras": "List, add, change, test and discover cameras.",
    "sinks": "List where alerts go, and try whether they get there.",
    "model": "Look at detectors; add, list, fetch and export them.",
    "config": "Print the effective settings, secrets hidden.",
    "bench": "Measure the engine alone, and the pipeline against it.",
    "sim": "Serve, draw and score a stable whose truth is known.",
    "demo": "Show the whole pipeline on drawn cameras.",
}


@click.command(cls=LazyGroup, package=__name__, table=COMMANDS, name="fbtasks")
@click.version_option(__version__)
@click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file; default $FBTASKS_CONFIG, then ./fbtasks.toml."
)
def cli(config: Path | None) -> None:
    """Watches horses through stable cameras."""
    if config is not None:
        # By the environment, so that every process started from here, Celery's too, reads the same file.
        os.environ[CONFIG_VARIABLE] = str(config.absolute())


def with_settings(role: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give the command its `settings`, and its process logs that name `role`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*args: Any, **options: Any) -> None:
            settings: Settings = load_settings()
            logs.configure(role, settings.log.level, settings.log.format)
            command(settings, *args, **options)

        return run

    return decorate


def main() -> None:
    """Entry point. Errors raised on purpose become one message; exit code 2 for settings, 1 for the rest."""
    try:
        cli()
    except ConfigError as error:
        _end(2, str(error))
    except FbtasksError as error:
        _end(1, str(error))
    except REDIS_AWAY as error:
        _end(1, f"Redis is away: {str(error).rstrip('.')}; is `fbtasks up` running?")
    except OSError as error:
        if error.filename is None:
            raise
        denied = isinstance(error, PermissionError)
        advice = "; run this as its owner, or set data_dir to a folder of your own" if denied else ""
        _end(1, f"{error.filename}: {error.strerror}{advice}")


def _end(code: int, message: str) -> NoReturn:
    sys.stderr.write(f"fbtasks: {redact(message)}\n")
    sys.exit(code)
