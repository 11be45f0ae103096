"""Where jobs live, by URL. Owns the schemes and their refusals; each store is imported only when it is asked for.

A scheme that is not built in is looked up among the entry points of the group `millrace.stores`: an entry named after
the scheme loads a function that takes the URL and `clock=`, and returns a Store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from millrace.clock import Clock
from millrace.errors import ConfigurationError
from millrace.store import Store

if TYPE_CHECKING:
    from millrace.stores.memory import MemoryStore
    from millrace.stores.postgres import PostgresStore
    from millrace.stores.redis import RedisStore
    from millrace.stores.sqlite import SQLiteStore

__all__ = ["MemoryStore", "PostgresStore", "RedisStore", "SQLiteStore", "open_store"]

_GROUP = "millrace.stores"
_HOMES = {
    "MemoryStore": "millrace.stores.memory",
    "PostgresStore": "millrace.stores.postgres",
    "RedisStore": "millrace.stores.redis",
    "SQLiteStore": "millrace.stores.sqlite",
}


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """Open the store that a URL names.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@host/database`, `redis://host:6379/0`
            (`valkey://` is the same; `rediss://` and `valkeys://` with TLS, `unix:///run/redis.sock`), `memory://` for
            a new store of its own, `memory://name` for the one of that name in this process, or a scheme that another
            package brings. Options of the store stand in the query: `?synchronous=normal`.
        clock: Gives the time; None is the host's clock, or the server's. Tests give a `millrace.testing.ManualClock`.

    Raises:
        ConfigurationError: The scheme or an option is not known.
        StoreUnavailable: The store cannot be opened.

    >>> store = open_store("memory://")
    >>> store.url
    'memory://'
    >>> store.close()
    """
    scheme, separator, _ = url.partition("://")
    scheme = scheme.lower()
    if not separator:
        if "@" in url:  # what stands before it may hold a password
            raise ConfigurationError(
                f"the store URL {scheme.partition(':')[0]}:… lacks its //; write postgresql://user@host/database"
            )
        raise ConfigurationError(f"{url!r} is not a store URL; a file is written as sqlite:///{url}")
    opener = _BUILT_IN.get(scheme)
    if opener is not None:
        return opener(url, clock=clock)
    found = {entry.name: entry for entry in entry_points(group=_GROUP)}
    if scheme in found:
        return _from_another_package(found[scheme], url, clock)
    if scheme.partition("+")[0] in _BUILT_IN:
        ours = scheme.partition("+")[0]
        raise ConfigurationError(f"{scheme}:// names another library's driver; write {ours}://, the rest stays")
    known = ", ".join(f"{name}://" for name in sorted(_BUILT_IN.keys() | found.keys()))
    raise ConfigurationError(f"no store is known for {scheme}://; known are {known}")


def _open_sqlite(url: str, *, clock: Clock | None) -> Store:
    from millrace.stores.sqlite import from_url

    return from_url(url, clock=clock)


def _open_memory(url: str, *, clock: Clock | None) -> Store:
    from millrace.stores.memory import MemoryStore

    parts = urlsplit(url)
    if parts.query:
        option = parts.query.partition("=")[0]
        raise ConfigurationError(f"a memory store has no option {option!r}; leave ?{parts.query} out")
    if parts.path.strip("/") or parts.fragment:
        raise ConfigurationError(f"{url!r} names no memory store; write memory:// or memory://name")
    return MemoryStore(unquote(parts.netloc) or None, clock=clock)


def _open_postgres(url: str, *, clock: Clock | None) -> Store:
    try:
        from millrace.stores.postgres import from_url
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "psycopg":
            raise
        raise ConfigurationError("a PostgreSQL store needs psycopg; install millrace[postgres]") from error
    return from_url(url, clock=clock)


def _open_redis(url: str, *, clock: Clock | None) -> Store:
    try:
        from millrace.stores.redis import from_url
    except ModuleNotFoundError as error:
        if error.name != "hiredis":
            raise
        raise ConfigurationError("a Redis store needs hiredis; install millrace[redis]") from error
    return from_url(url, clock=clock)


_BUILT_IN: Mapping[str, Callable[..., Store]] = {
    "memory": _open_memory,
    "postgres": _open_postgres,
    "postgresql": _open_postgres,
    "redis": _open_redis,
    "rediss": _open_redis,
    "sqlite": _open_sqlite,
    "unix": _open_redis,
    "valkey": _open_redis,
    "valkeys": _open_redis,
}


def _from_another_package(entry: EntryPoint, url: str, clock: Clock | None) -> Store:
    try:
        opener: Callable[..., Store] = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the store for {entry.name}:// is {entry.value}, which cannot be loaded: {error}; mend its package"
        ) from error
    return opener(url, clock=clock)


def __getattr__(name: str) -> Any:
    """Load a store class when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
