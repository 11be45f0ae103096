"""The caller's own connection: which there are, what is checked of one, and our scripts on it. Commits nothing.

A script yields statements and is sent their rows, so it does not care whether those are waited for: `run` and `adrive`
are all that is twofold. No savepoint is made: a statement of ours that fails ends the caller's transaction, with the
error of the caller's own library, as one of theirs would.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from millrace.connections import is_async, library_of
from millrace.errors import ConfigurationError, NotSupported
from millrace.stores.postgres.script import Script, run
from millrace.stores.postgres.texts import Texts

__all__ = ["AsyncGuest", "Guest", "adrive", "filled", "guest_of", "with_guest"]

T = TypeVar("T")

Args = Mapping[str, Any]


class Guest(Protocol):
    """A caller's connection that answers at once."""

    @property
    def beneath(self) -> Any:
        """The driver's own connection, by which it is known again."""
        ...

    def rows(self, text: str, args: Args) -> list[Any]:
        """Run a statement and return its rows, as tuples."""
        ...


class AsyncGuest(Protocol):
    """A caller's connection that is awaited."""

    @property
    def beneath(self) -> Any:
        """The driver's own connection, by which it is known again."""
        ...

    def rows(self, text: str, args: Args) -> Awaitable[list[Any]]:
        """Run a statement and return its rows, as tuples."""
        ...


# -- scripts

#: A script with its templates filled in.
Filled = Script[T]


def filled(script: Script[T], texts: Texts, now: int | None) -> Filled[T]:
    """Fill in the templates that a script yields."""
    try:
        template, args = next(script)
        while True:
            text, timed = texts.fill(template)
            template, args = script.send((yield text, {**args, "now": now} if timed else args))
    except StopIteration as stop:
        answer: T = stop.value
        return answer


async def adrive(guest: AsyncGuest, script: Filled[T]) -> T:
    """Run a script on a caller's connection that is awaited."""
    try:
        statement = next(script)
        while True:
            statement = script.send(await guest.rows(*statement))
    except StopIteration as stop:
        answer: T = stop.value
        return answer


# -- connections

_TAKEN = "give a connection of psycopg, asyncpg, SQLAlchemy or Django"


def guest_of(connection: Any) -> Guest:
    """Return what is written on where the answer comes at once.

    Raises:
        NotSupported: No library of ours has made it.
        ConfigurationError: It is closed, must be awaited, or commits each statement by itself.
    """
    if is_async(connection):
        raise ConfigurationError(
            f"{type(connection).__qualname__} is an asynchronous connection; await what you do on it, such as aenqueue"
        )
    match library_of(connection):
        case "psycopg":
            from millrace.stores.postgres.caller_psycopg import PsycopgGuest

            return PsycopgGuest(connection)
        case "sqlalchemy":
            from millrace.stores.postgres.caller_sqlalchemy import SqlalchemyGuest

            return SqlalchemyGuest(connection)
        case "django":
            from millrace.stores.postgres.caller_django import DjangoGuest

            return DjangoGuest(connection)
        case _:
            raise NotSupported(f"{type(connection).__qualname__} is no connection to a PostgreSQL server; {_TAKEN}")


async def with_guest(connection: Any, script_for: Callable[[Any], Filled[T]]) -> T:
    """Run a script on any connection from async code; `script_for` is given the driver's own connection.

    Raises:
        NotSupported: No library of ours has made it.
        ConfigurationError: It is closed, or commits each statement by itself.
    """
    library = library_of(connection) if is_async(connection) else None
    if library == "sqlalchemy":
        from millrace.stores.beneath import run_sync
        from millrace.stores.postgres.caller_sqlalchemy import SqlalchemyGuest

        def on_beneath(beneath: Any) -> T:
            made = SqlalchemyGuest(beneath)
            return run(made, script_for(made.beneath))

        return await run_sync(connection, on_beneath)
    if library == "psycopg":
        from millrace.stores.postgres.caller_psycopg import AsyncPsycopgGuest

        awaited: AsyncGuest = AsyncPsycopgGuest(connection)
        return await adrive(awaited, script_for(awaited.beneath))
    if library == "asyncpg":
        from millrace.stores.postgres.caller_asyncpg import AsyncpgGuest

        awaited = AsyncpgGuest(connection)
        return await adrive(awaited, script_for(awaited.beneath))
    guest = guest_of(connection)
    return run(guest, script_for(guest.beneath))
