"""Whose connection a caller has given: which library made it, and whether it must be awaited.

Told by the names of its classes and of their modules alone, so no library is imported to be recognised. What can be
done with a connection is the stores' matter.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from millrace.errors import ConfigurationError

__all__ = ["is_async", "kinds_of", "library_of", "refuse_async"]

_LIBRARIES = frozenset({"aiosqlite", "asyncpg", "django", "psycopg", "psycopg2", "sqlalchemy", "sqlite3"})

#: Classes whose objects are awaited, by library; all of asyncpg's are.
_AWAITED = {
    "aiosqlite": frozenset({"Connection"}),
    "psycopg": frozenset({"AsyncConnection", "AsyncCursor"}),
    "sqlalchemy": frozenset({"AsyncConnection", "AsyncSession", "async_scoped_session"}),
}

_known: WeakKeyDictionary[type[Any], tuple[str | None, frozenset[str]]] = WeakKeyDictionary()


def library_of(connection: object) -> str | None:
    """Name the library that a connection comes from, or None where it is none that we know.

    A class of the user's own counts as what it is derived from.

    >>> from sqlite3 import Connection
    >>> class Mine(Connection): ...
    >>> library_of(Mine.__new__(Mine)), library_of("no connection")
    ('sqlite3', None)
    """
    return _of_class(type(connection))[0]


def kinds_of(connection: object) -> frozenset[str]:
    """Name the classes of its library that a connection is one of, by their bare names.

    >>> from sqlite3 import Connection
    >>> kinds_of(Connection.__new__(Connection))
    frozenset({'Connection'})
    """
    return _of_class(type(connection))[1]


def is_async(connection: object) -> bool:
    """Tell whether what is done on a connection must be awaited.

    >>> is_async("no connection")
    False
    """
    library, kinds = _of_class(type(connection))
    return library == "asyncpg" or not kinds.isdisjoint(_AWAITED.get(library or "", ()))


def refuse_async(connection: object, instead: str) -> None:
    """Refuse a connection that must be awaited where nothing is.

    Raises:
        ConfigurationError: It is such a one; `instead` is what to write.

    >>> refuse_async("no connection", "await task.aenqueue(…)")
    """
    if is_async(connection):
        raise ConfigurationError(
            f"{type(connection).__qualname__} is an asynchronous connection, which enqueue cannot wait for; {instead}"
        )


def _of_class(kind: type[Any]) -> tuple[str | None, frozenset[str]]:
    found = _known.get(kind)
    if found is None:
        names: dict[str, set[str]] = {}
        for each in kind.__mro__:
            names.setdefault(each.__module__.partition(".")[0], set()).add(each.__name__)
        library = next((name for name in names if name in _LIBRARIES), None)
        found = _known[kind] = library, frozenset(names.get(library or "", ()))
    return found
