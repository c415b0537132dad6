"""Bringing the tables to this build's form, one process at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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
    with told(), _alone(engine) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ConfigError(f"the database does not fit this build; was it made by a newer one? ({error})") from error


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction beside which nobody else migrates, from its beginning until after its commit."""
    with ExitStack() as guards:
        if engine.dialect.name == "mysql":
            guards.enter_context(_mysql_lock(engine))
        # On SQLite this waits for the write lock, which is all it takes.
        connection = guards.enter_context(engine.execution_options(**{WRITES: True}).begin())
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


@contextmanager
def _mysql_lock(engine: Engine) -> Iterator[None]:
    """A lock that a session holds: MySQL commits at every CREATE, so that no transaction could hold one."""
    with engine.connect() as guard:
        # Not to go back to the pool: its end is what frees the lock.
        guard.detach()
        lock = f"GET_LOCK(CONCAT('fbtasks.migrate.', MD5(DATABASE())), {_MYSQL_WAIT_S})"
        if not guard.scalar(text(f"SELECT {lock}")):
            raise StoreUnavailable(f"another process has been migrating the store for {_MYSQL_WAIT_S} s")
        yield
