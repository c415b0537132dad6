"""From the URL in the settings to an engine that is safe for alerts."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from fbtasks.errors import ConfigError

WRITES = "fbtasks_writes"
"""Execution option of connections that will write."""

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_DRIVERS |= {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
_EXTRAS = {"postgresql": "postgres", "mysql": "mysql"}

# Seconds, but tcp_user_timeout in milliseconds. Without them a database host that loses power holds its clients for
# the quarter of an hour that TCP takes to give up.
_LIMITS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 15},
    "postgresql": {"connect_timeout": 5, "tcp_user_timeout": 30_000, "keepalives_idle": 30},
    "mysql": {"connect_timeout": 5, "read_timeout": 60, "write_timeout": 60},
}


def make_engine(url: str) -> Engine:
    """An engine for a URL as `open_store` takes it; nothing is connected yet.

    Raises:
        ConfigError: as `open_store` says.
    """
    target = target_of(url)
    kind = target.get_backend_name()
    limits = {name: value for name, value in _LIMITS[kind].items() if name not in target.query}
    # In REPEATABLE READ, the default of MySQL, a transaction that waited for a lock reads from before its wait.
    isolation = {"isolation_level": "READ COMMITTED"} if kind == "mysql" else {}
    try:
        engine = create_engine(target, connect_args=limits, pool_pre_ping=True, hide_parameters=True, **isolation)
    except ImportError as error:
        extra = _EXTRAS.get(kind, kind)
        raise ConfigError(f"store.url: {error.name} is missing; run `pip install fbtasks[{extra}]`") from None
    except NoSuchModuleError:
        raise ConfigError(f"store.url: there is no driver {target.drivername!r}") from None
    if kind == "sqlite":
        _prepare_sqlite(engine, Path(str(target.database)))
    return engine


def target_of(url: str) -> URL:
    """The URL with the driver that is used for its kind of database.

    Raises:
        ConfigError: it is malformed or of another database.
    """
    try:
        target = make_url(url)
    except (ArgumentError, ValueError):
        # The reason would show the URL, and with it the password.
        raise ConfigError("store.url is no URL; write it like sqlite:////var/lib/fbtasks/alerts.sqlite") from None
    kind, _, driver = target.drivername.partition("+")
    if kind not in _DRIVERS:
        raise ConfigError(f"store.url: {kind!r} is not supported; use sqlite, postgresql, mysql or mariadb")
    if kind == "sqlite" and target.database in (None, "", ":memory:"):
        raise ConfigError("store.url names no SQLite file, and alerts in memory would be lost; use sqlite:///<file>")
    name = f"{_DRIVERS[kind].partition('+')[0]}+{driver}" if driver else _DRIVERS[kind]
    return target.set(drivername=name)


def _write_ahead(cursor: DBAPICursor) -> None:
    """Let readers go on while somebody writes. The file keeps the mode, so one connection has to succeed, once."""
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        # Two processes at a new file: neither waits, one or both are refused. The next connection tries again, and
        # until then the file is as safe, only slower.
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise


def _prepare_sqlite(engine: Engine, file: Path) -> None:
    @event.listens_for(engine, "do_connect")
    def make_folder(*_: object) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _: object) -> None:
        # The module's own way to begin transactions takes the write lock too late, and fails instead of waiting.
        connection.isolation_level = None
        cursor = connection.cursor()
        _write_ahead(cursor)
        # In write-ahead mode a lesser one may lose the last commits when the power fails.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
