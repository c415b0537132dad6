"""Bringing the tables to this build's form, one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from fbtasks.errors import ConfigError, StoreUnavailable
from fbtasks.logic.store.engine import WRITES
from fbtasks.logic.store.transaction import told

_LOCK = 0x66627461736B73
"""Number of PostgreSQL's advisory lock: the letters `fbtasks`."""
_MYSQL_WAIT_S = 30
"""Shorter than the driver's read timeout."""


def upgrade(engine: Engine) -> None:
    """See `Store.migrate`."""
    config = Config()
    config.set_main_option("script_location", "fbtasks.logic:migrations")
    config.set_main_option("path_separator", "os")
    with told(), engine.execution_options(**{WRITES: True}).begin() as connection, _alone(connection):
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ConfigError(f"the database does not fit this build; was it made by a newer one? ({error})") from error


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Nobody else migrates meanwhile. SQLite's write lock, held by the transaction, does that by itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield
    elif connection.dialect.name == "mysql":
        with _mysql_lock(connection):
            yield
    else:
        yield


@contextmanager
def _mysql_lock(connection: Connection) -> Iterator[None]:
    """A lock of the session: MySQL commits at every CREATE, so that no transaction could hold one."""
    lock = "CONCAT('fbtasks.migrate.', MD5(DATABASE()))"
    if not connection.scalar(text(f"SELECT GET_LOCK({lock}, {_MYSQL_WAIT_S})")):
        raise StoreUnavailable(f"another process has been migrating the store for {_MYSQL_WAIT_S} s")
    try:
        yield
    except BaseException:
        # Ends the session and the lock with it; what failed may have been the connection itself.
        connection.invalidate()
        raise
    connection.execute(text(f"SELECT RELEASE_LOCK({lock})"))
