"""`fbtasks up`: the whole pipeline on one machine."""

import os
import shutil
import sys
from pathlib import Path
from threading import Event

import click
from redis import Redis

from fbtasks import systemd
from fbtasks.cli import with_settings
from fbtasks.cli.infer import EX_CONFIG, model_file
from fbtasks.embedded import claimed, port_or_free, url, valkey
from fbtasks.errors import ConfigError
from fbtasks.flower import flower_environment
from fbtasks.lifecycle import on_stop
from fbtasks.logic.refusal import refuse_wrong_settings
from fbtasks.logic.sinks.making import sinks_of
from fbtasks.logic.store import open_store
from fbtasks.settings import CONFIG_VARIABLE, ENV_PREFIX, Settings
from fbtasks.supervisor import Child, ChildRefused, Supervisor

STOP_ORDER = ("watch", "beat", "produce", "infer", "worker", "flower", "frames", "state")
"""The watcher first, for it would tell of the rest; the health checks and the source next, so that what is on its way
is worked off; what all depend on last."""
REFUSALS = frozenset({2, EX_CONFIG})
"""Exit codes of a child whose settings or model are wrong."""
REDIS_URL = f"{ENV_PREFIX}REDIS_URL"
FRAMES_REDIS_URL = f"{ENV_PREFIX}FRAMES_REDIS_URL"
QUIET_LEVELS = {"WARNING", "ERROR"}
"""At these Valkey's remarks on the machine are left out too."""


def executable(name: str) -> str:
    """The command of this installation, before any other of that name on the path."""
    own = Path(sys.executable).parent / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        raise ConfigError(f"the command {name} is not installed beside {sys.executable}")
    return found


def redis_servers(settings: Settings, env: dict[str, str]) -> list[Child]:
    """The embedded servers, their URLs put into `env`; none when the environment or the file names a Redis."""
    if settings.redis_url is not None:
        return []
    state_port = port_or_free(settings.up.state_port, "up.state_port")
    frames_port = port_or_free(settings.up.frames_port, "up.frames_port")
    quiet = settings.log.level in QUIET_LEVELS
    env[REDIS_URL], env[FRAMES_REDIS_URL] = url(state_port), url(frames_port)
    return [
        valkey("state", settings.data_dir / "valkey-state", state_port, persistent=True, quiet=quiet),
        valkey("frames", settings.data_dir / "valkey-frames", frames_port, persistent=False, quiet=quiet),
    ]


def roles(settings: Settings, flower_port: int) -> list[Child]:
    """The commands of the pipeline, as one would type them."""
    fbtasks = executable("fbtasks")
    # Celery's banners and Flower's lists of tasks are ten times as long as all that we say at the start.
    talkative = settings.log.level == "DEBUG"
    celery = (executable("celery"), *([] if talkative else ["--quiet"]), "-A", "fbtasks")
    level = f"--loglevel={settings.log.level}"
    flower_level = f"--logging={'info' if talkative else 'error'}"
    concurrency = f"--concurrency={settings.up.concurrency}"
    return [
        Child("worker", [*celery, "worker", "-Q", "logic", "--without-gossip", "--without-mingle", concurrency, level]),
        Child("beat", [*celery, "beat", "--pidfile=", level]),
        Child("infer", [fbtasks, "infer"], refusals=REFUSALS),
        Child("produce", [fbtasks, "produce"], refusals=REFUSALS),
        Child("flower", [*celery, "flower", f"--port={flower_port}", flower_level]),
        Child("watch", [fbtasks, "check", "--watch"]),
    ]


def run(settings: Settings, stop: Event, *before: Child) -> None:
    """Start everything, what stands `before` the pipeline first; keep it running until `stop`, end it in order.

    Raises:
        ConfigError: a port or the data folder is taken, Flower would be open to everybody, a command is missing, or a
            setting would make a child end at once, over and over.
        ChildFailed: an embedded server did not start.
    """
    refuse_wrong_settings(settings)
    sinks_of(settings, Redis())
    flower_environment(settings.flower.address, settings.flower.login, environ=os.environ)  # refused here, once
    open_store(settings.store_url).close()
    _refuse_no_model(model_file(settings))
    with claimed(settings.data_dir):
        _run(settings, stop, *before)


def _refuse_no_model(file: Path) -> None:
    if not file.is_file():
        raise ConfigError(f"gpu.model: there is no file {file.absolute()}")


def _run(settings: Settings, stop: Event, *before: Child) -> None:
    env = {name: value for name, value in os.environ.items() if name not in systemd.VARIABLES}
    servers = redis_servers(settings, env)
    flower_port = port_or_free(settings.up.flower_port, "up.flower_port")
    supervisor = Supervisor([*before, *servers, *roles(settings, flower_port)], stop_order=STOP_ORDER, env=env)
    try:
        supervisor.start(stop)
        click.echo(f"Flower: http://{settings.flower.address}:{flower_port}", err=True)
        if servers:
            where = " ".join(
                f"{name}={env[name]}" for name in (CONFIG_VARIABLE, REDIS_URL, FRAMES_REDIS_URL) if name in env
            )
            click.echo(f"Should another command not find all this: export {where}", err=True)
        systemd.notify(systemd.READY, systemd.status("all parts are started"))
        supervisor.watch(stop)
    finally:
        systemd.notify(systemd.STOPPING)
        supervisor.stop()


@click.command(name="up")
@with_settings("up")
def command(settings: Settings) -> None:
    """Start Redis (unless one is set), producer, GPU worker, Celery, beat, Flower and watcher; Ctrl-C stops all."""
    stop = Event()
    try:
        with on_stop(stop.set):
            run(settings, stop)
    except ChildRefused as error:
        click.echo(f"fbtasks: {error}", err=True)
        sys.exit(EX_CONFIG)
