"""The logic of a measurement: a real Celery worker on the bench's own keys."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from pydantic import SecretStr

from fbtasks.cli.bench.load import Site
from fbtasks.cli.infer import waker
from fbtasks.cli.up import FRAMES_REDIS_URL, REDIS_URL, roles
from fbtasks.settings import ENV_PREFIX, Settings
from fbtasks.supervisor import Supervisor


@contextmanager
def running(site: Site, settings: Settings) -> Iterator[Callable[[list[str]], None]]:
    """What wakes the logic for cameras; the worker that it wakes, and what it stored, are gone afterwards.

    The rules are those of the settings, the store is a database of its own, and nobody is told anything.
    """
    own = settings.model_copy(
        update={
            "redis_url": SecretStr(site.state_url),
            "frames_redis_url": SecretStr(site.frames_url),
            "redis": settings.redis.model_copy(update={"prefix": site.prefix}),
            "log": settings.log.model_copy(update={"level": "ERROR"}),
        }
    )
    worker = next(child for child in roles(own, flower_port=0) if child.name == "worker")
    with TemporaryDirectory(prefix="fbtasks-bench-") as folder:
        env = os.environ | {
            REDIS_URL: site.state_url,
            FRAMES_REDIS_URL: site.frames_url,
            f"{ENV_PREFIX}REDIS__PREFIX": site.prefix,
            f"{ENV_PREFIX}DATA_DIR": folder,
            f"{ENV_PREFIX}STORE__URL": f"sqlite:///{Path(folder) / 'bench.sqlite'}",
        }
        supervisor = Supervisor([worker], stop_order=("worker",), env=env)
        try:
            supervisor.start(Event())
            yield waker(own)
        finally:
            supervisor.stop()
