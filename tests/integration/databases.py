"""Private database servers for tests, in their own folders, and an empty database per test."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from fbtasks.logic.store.engine import make_engine
from tests.ports import LOOPBACK, free_port
from tests.servers import Server

Kind = TypeVar("Kind", bound="DatabaseServer")

MISSING = "{} is not installed; ops/install-test-packages installs it (Debian package {})"


class DatabaseServer(Server):
    """A server with any number of databases. Its folder holds a socket, so its path must be short."""

    system_database: str

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "server.log")
        self.folder = folder
        self.data = folder / "data"
        self._numbers = count()

    def url(self, database: str) -> str:
        """SQLAlchemy URL of one database."""
        raise NotImplementedError

    def create_database(self) -> str:
        """URL of a new, empty database."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction."""
        engine = make_engine(self.url(self.system_database))
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def is_ready(self) -> bool:
        """Whether it answers a query."""
        try:
            self.execute("SELECT 1")
        except OperationalError:
            return False
        return True


class Postgres(DatabaseServer):
    """PostgreSQL. It refuses to be root: then it runs as the user of the package."""

    system_database = "postgres"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = _postgres_user()
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            os.chown(folder, user.pw_uid, user.pw_gid)
        _run(
            *self._as_user,
            _postgres("initdb"),
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        )

    def url(self, database: str) -> str:
        """SQLAlchemy URL of one database."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def command(self) -> list[str]:
        """A killed process needs no fsync to be survived; only a power failure does."""
        options = {"listen_addresses": "", "unix_socket_directories": str(self.folder), "fsync": "off"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [*self._as_user, _postgres("postgres"), "-D", str(self.data), *settings]

    def stop(self) -> None:
        """SIGINT: to SIGTERM it waits for its clients."""
        self._end(signal.SIGINT)


class MariaDb(DatabaseServer):
    """MariaDB, spoken to as MySQL."""

    system_database = "mysql"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # Not its socket: PyMySQL leaks the descriptor when nothing listens there, and Python warns of it.
        self._port = free_port()
        self._as_user = ["--user=root"] if os.geteuid() == 0 else []
        _run(
            _found("mariadb-install-db"),
            "--no-defaults",
            *self._as_user,
            f"--datadir={self.data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )

    def url(self, database: str) -> str:
        """SQLAlchemy URL of one database."""
        return f"mysql://root@{LOOPBACK}:{self._port}/{database}"

    def command(self) -> list[str]:
        """`--no-defaults` keeps the machine's own settings out; it must come first."""
        return [
            _found("mariadbd"),
            "--no-defaults",
            *self._as_user,
            f"--datadir={self.data}",
            f"--bind-address={LOOPBACK}",
            f"--port={self._port}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
        ]

    def stop(self) -> None:
        """At once: an orderly end takes seconds, to save what nobody wants."""
        self.kill()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL."""
    if not (_postgres("initdb") and _postgres("postgres")):
        pytest.skip(MISSING.format("PostgreSQL", "postgresql"))
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = Postgres(Path(folder))
        yield from _serving(server)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A running MariaDB."""
    if not (_found("mariadbd") and _found("mariadb-install-db")):
        pytest.skip(MISSING.format("MariaDB", "mariadb-server"))
    with tempfile.TemporaryDirectory(prefix="my-") as folder:
        server = MariaDb(Path(folder))
        yield from _serving(server)


@pytest.fixture(params=["postgres", "mariadb"])
def database_server(request: pytest.FixtureRequest) -> DatabaseServer:
    """Each database that is a server."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store' / 'alerts.sqlite'}"
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server.create_database()


def _serving(server: Kind) -> Iterator[Kind]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"


def _found(program: str) -> str:
    """Its path, empty when it is not installed; servers are often outside a user's search path."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin") or ""


def _postgres(program: str) -> str:
    """Debian keeps them out of the search path, a folder for each version."""
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    return str(packaged[-1]) if packaged else _found(program)


def _postgres_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
