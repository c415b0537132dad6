"""The Redis servers of a measurement."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from fbtasks.embedded import port_or_free, url, valkey
from fbtasks.settings import Settings
from fbtasks.supervisor import Supervisor


@contextmanager
def own_servers() -> Iterator[tuple[str, str]]:
    """URLs for frames and state of two Valkeys as `fbtasks up` starts them; gone afterwards, with all they held."""
    ports = {name: port_or_free(0, f"the bench's {name} port") for name in ("frames", "state")}
    with TemporaryDirectory(prefix="fbtasks-bench-") as folder:
        children = [
            valkey(name, Path(folder) / name, port, persistent=name == "state", quiet=True)
            for name, port in ports.items()
        ]
        supervisor = Supervisor(children, stop_order=tuple(ports), env=os.environ)
        try:
            supervisor.start(Event())
            yield url(ports["frames"]), url(ports["state"])
        finally:
            supervisor.stop()


@contextmanager
def servers(settings: Settings, *, own: bool) -> Iterator[tuple[str, str]]:
    """URLs for frames and state: of servers for this measurement alone, or those in the settings."""
    if own:
        with own_servers() as urls:
            yield urls
    else:
        yield settings.frames_url, settings.state_url
