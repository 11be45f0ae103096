"""What lies beneath a connection of SQLAlchemy or Django: seen to be in a transaction of theirs, for every store alike.

Neither library is imported: an object is theirs by its class's module, and asked through what they document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from millrace.connections import kinds_of, library_of
from millrace.errors import ConfigurationError, NotSupported

__all__ = ["driver_connection", "of_django", "of_sqlalchemy", "run_sync"]

T = TypeVar("T")


def driver_connection(connection: Any) -> Any:
    """Return the driver's own connection beneath one of SQLAlchemy or Django; any other is returned as it is.

    Raises:
        NotSupported: It is of one of these libraries, but no synchronous connection.
        ConfigurationError: It is closed, or no transaction is open.

    >>> driver_connection("no connection")
    'no connection'
    """
    match library_of(connection):
        case "sqlalchemy":
            return of_sqlalchemy(connection).connection.driver_connection
        case "django":
            return of_django(connection).connection
        case _:
            return connection


def of_sqlalchemy(given: Any) -> Any:
    """Return the Connection of a Connection or a Session, in a transaction: begun here where there was none.

    That is what SQLAlchemy does before a statement of its own; it is committed or rolled back by the caller, as ever.

    Raises:
        NotSupported: It is neither.
        ConfigurationError: It is closed.
    """
    kinds = kinds_of(given)
    if not kinds.isdisjoint({"Session", "scoped_session"}):
        connection = _of_session(given)
    elif "Connection" in kinds:
        connection = given
    else:
        raise NotSupported(
            f"{type(given).__qualname__} is no connection of SQLAlchemy's; give a Connection or a Session, or in async "
            "code an AsyncConnection or an AsyncSession"
        )
    if connection.closed:
        raise ConfigurationError("the Connection of SQLAlchemy is closed; give one that is open")
    if not connection.in_transaction():
        connection.begin()
    return connection


def _of_session(session: Any) -> Any:
    try:
        return session.connection()
    except Exception as error:
        kinds = kinds_of(error)
        if "InvalidRequestError" not in kinds or "PendingRollbackError" in kinds:
            raise  # such as a transaction that must be rolled back: it is about the caller's work, not about ours
        raise ConfigurationError(f"the Session of SQLAlchemy cannot be used: {error}; give one that is open") from error


def of_django(given: Any) -> Any:
    """Return a connection of Django's that is in a transaction, such as `django.db.connection` within `atomic()`.

    Raises:
        NotSupported: It is no connection.
        ConfigurationError: Each of its statements is committed by itself.
    """
    if not hasattr(given, "in_atomic_block"):
        raise NotSupported(
            f"{type(given).__qualname__} is no connection of Django's; give django.db.connection, or one of "
            "django.db.connections"
        )
    if given.get_autocommit():  # never within atomic(); it also connects, where that was not done yet
        raise ConfigurationError(
            f"Django's connection {given.alias!r} commits each statement by itself and no transaction is open; enqueue "
            "within `with transaction.atomic():`"
        )
    given.validate_no_broken_transaction()
    return given


async def run_sync(given: Any, body: Callable[[Any], T]) -> T:
    """Run `body` on the sync Connection or Session within an async one, where SQLAlchemy awaits its driver by itself.

    Raises:
        NotSupported: It is neither.
        ConfigurationError: It is not open yet.
    """
    if kinds_of(given).isdisjoint({"AsyncConnection", "AsyncSession", "async_scoped_session"}):
        raise NotSupported(f"{type(given).__qualname__} is no connection of SQLAlchemy's; give an AsyncConnection")
    if "async_scoped_session" in kinds_of(given):
        given = given()
    try:
        answer: T = await given.run_sync(body)
    except Exception as error:
        if "AsyncContextNotStarted" not in kinds_of(error):
            raise
        raise ConfigurationError(
            "the AsyncConnection of SQLAlchemy is not open yet; give one that `async with engine.connect()` gives"
        ) from error
    return answer
