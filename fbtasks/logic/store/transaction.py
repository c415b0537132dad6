"""One transaction, done again when the database broke it off, and one error for a database that is away."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fbtasks.errors import StoreUnavailable
from fbtasks.logic.store.engine import WRITES

Result = TypeVar("Result")

TRIES = 5
_MYSQL_BROKEN_OFF = {1205, 1213}  # lock wait timeout, deadlock
_POSTGRES_BROKEN_OFF = {"40001", "40P01"}  # serialisation failure, deadlock


def read(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """The result of `work` in a transaction that changes nothing.

    Raises:
        StoreUnavailable: the database cannot be used at present.
    """
    with told(), engine.begin() as connection:
        return work(connection)


def write(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """The result of `work`, committed. It runs again when the database chose it to end a deadlock.

    Raises:
        StoreUnavailable: the database cannot be used at present.
    """
    writing = engine.execution_options(**{WRITES: True})
    with told():
        for _ in range(TRIES - 1):
            try:
                with writing.begin() as connection:
                    return work(connection)
            except OperationalError as error:
                if not _broken_off(error):
                    raise
        with writing.begin() as connection:
            return work(connection)


@contextmanager
def told() -> Iterator[None]:
    """Turn what drivers raise for a database that is away, busy or full into `StoreUnavailable`."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailable(f"the store cannot be used at present: {error.orig}") from error
    except PoolTimeout as error:
        raise StoreUnavailable("the store cannot be used at present: all connections are busy") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise StoreUnavailable(f"the connection to the store broke: {error.orig}") from error


def _broken_off(error: OperationalError) -> bool:
    if getattr(error.orig, "sqlstate", None) in _POSTGRES_BROKEN_OFF:
        return True
    arguments = error.orig.args if error.orig else ()
    return bool(arguments) and arguments[0] in _MYSQL_BROKEN_OFF
