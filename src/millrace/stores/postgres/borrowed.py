"""Connections of the caller's own pool: taken, used as ours are, and given back as they were. Owns what is put back.

A process that only produces takes one for each call, so that it can share a small pool; while a worker is at work its
lines keep theirs. Such a one is set as our own connections are; else the session's settings are the caller's.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar
from weakref import WeakSet

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from millrace.errors import ConfigurationError
from millrace.stores.line import Body
from millrace.stores.postgres.arrays import register
from millrace.stores.postgres.connection import PREPARED, Connection, session_settings
from millrace.stores.postgres.line import Line
from millrace.stores.postgres.listener import Listener
from millrace.stores.postgres.pool import Pool
from millrace.stores.postgres.settings import Settings

__all__ = ["BorrowedConnection", "BorrowingLine", "BorrowingListener", "PostgresOptions", "of_pool"]

T = TypeVar("T")

WAS = "select name, current_setting(name) from unnest(%(names)s::text[]) name"
SET = "select set_config(name, value, false) from unnest(%(names)s::text[], %(values)s::text[]) s(name, value)"
# What a listener has asked for is the session's, and would come to whoever has it next.
DEAF = "unlisten *; select pg_advisory_unlock_all()"


class PostgresOptions(TypedDict, total=False):
    """Our own options, as the query of a URL has them; see `Settings`."""

    schema: str
    listen: bool
    notify: bool
    prepare: bool
    migrate: bool
    claim_commit: bool
    deadline: float
    read_deadline: float
    connect_deadline: float


def of_pool(pool: Any, options: PostgresOptions) -> Settings:
    """Return the settings of a store on a caller's pool.

    Raises:
        ConfigurationError: It is none that blocks, or an option will not do.

    >>> of_pool("db", {})
    Traceback (most recent call last):
    millrace.errors.ConfigurationError: pool='db' has no getconn and putconn; give a psycopg_pool.ConnectionPool
    """
    if not callable(getattr(pool, "getconn", None)) or not callable(getattr(pool, "putconn", None)):
        raise ConfigurationError(f"pool={pool!r} has no getconn and putconn; give a psycopg_pool.ConnectionPool")
    if inspect.iscoroutinefunction(pool.getconn):
        raise ConfigurationError(
            f"{type(pool).__name__} is for an event loop alone, and a store works in threads; give a "
            "psycopg_pool.ConnectionPool: app.aio and aenqueue are awaitable all the same"
        )
    told = getattr(pool, "conninfo", "")
    conninfo = told if isinstance(told, str) else ""  # newer pools may ask for it each time
    return Settings(conninfo=conninfo, url=_shown(conninfo), pool=pool, made_in=os.getpid(), **options)


def _shown(conninfo: str) -> str:
    """Return a URL for people: where it leads, and no password."""
    known = conninfo_to_dict(conninfo)
    user = f"{known['user']}@" if known.get("user") else ""
    port = f":{known['port']}" if known.get("port") else ""
    return f"postgresql://{user}{known.get('host') or ''}{port}/{known.get('dbname') or ''}"


class BorrowedConnection(Connection):
    """A connection of a pool, until it is closed: then it is the pool's again.

    Args:
        settings: Of the store; they name the pool.
        keeps: Whether it stays with us for long: then the session is set as ours are.
        deadline: Seconds that the server may spend on one statement.

    Raises:
        ConfigurationError: The process was forked since the pool was given: its connections are the parent's.
        psycopg.Error: There is none to be had.
    """

    __slots__ = ("_before", "_pool", "_was")

    def __init__(self, settings: Settings, *, keeps: bool, deadline: float) -> None:
        assert settings.pool is not None  # noqa: S101 - only a store on a pool makes these
        if os.getpid() != settings.made_in:
            raise ConfigurationError(
                f"the pool of {settings.url} was made in process {settings.made_in}, and this is a fork of it; "
                "make pool and store after the fork"
            )
        self._pool: Pool = settings.pool
        raw = self._pool.getconn(timeout=settings.connect_deadline)
        self._was = raw.autocommit, raw.prepare_threshold, raw.prepared_max
        self._before: Mapping[str, str] = {}
        try:
            raw.autocommit = True
            super().__init__(raw)
            if keeps:
                self._settle(session_settings(deadline), prepare=settings.prepare)
        except BaseException:
            raw.close()
            self._pool.putconn(raw)
            raise

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The pool's connection."""
        return self._raw

    def close(self) -> None:
        """Give it back as it was; what is lost, or in the middle of something, the pool throws away."""
        raw = self._raw
        try:
            if self.lost or not self.idle:
                raw.close()
            else:
                self._restore()
                raw.autocommit, raw.prepare_threshold, raw.prepared_max = self._was
        except psycopg.Error:
            raw.close()
        self._socket.close()
        self._pool.putconn(raw)

    def _restore(self) -> None:
        self._set(self._before)

    def _settle(self, settings: Mapping[str, str], *, prepare: bool) -> None:
        raw = self._raw
        if prepare and raw.prepare_threshold is not None:
            raw.prepare_threshold, raw.prepared_max = 0, PREPARED
        names = {"names": list(settings)}
        self._before = dict(raw.cursor(row_factory=tuple_row).execute(WAS, names, prepare=False).fetchall())
        self._set(settings)

    def _set(self, settings: Mapping[str, str]) -> None:
        if settings:
            self._raw.execute(SET, {"names": list(settings), "values": list(settings.values())}, prepare=False)

    def _made_cursor(self) -> psycopg.Cursor[Any]:
        cursor = psycopg.Cursor(self._raw, row_factory=tuple_row)  # the caller's connections may make others
        cursor.format = psycopg.pq.Format.BINARY
        register(cursor.adapters)  # of this cursor alone: whoever has the connection next knows nothing of our types
        return cursor


class BorrowingLine(Line):
    """A line whose connection is the pool's between two calls, unless a worker is at work.

    Args:
        settings: Of the store; they name the pool.
        keeps: Tells whether to keep a connection.
        on_open: Called with each connection that is new to it.
        more: As for `Line`.
    """

    def __init__(
        self,
        settings: Settings,
        *args: Any,
        keeps: Callable[[], bool],
        on_open: Callable[[Connection], None],
        **more: Any,
    ) -> None:
        known: WeakSet[psycopg.Connection[Any]] = WeakSet()

        def welcome(connection: Connection) -> None:
            assert isinstance(connection, BorrowedConnection)  # noqa: S101 - as `_connect` makes them
            if connection.raw not in known:
                on_open(connection)
                known.add(connection.raw)

        super().__init__(settings, *args, on_open=welcome, **more)
        self._keeps = keeps

    def run(self, body: Body[Connection, T], *, within: float | None = None, repeatable: bool, patient: bool) -> T:
        """Run `body(connection, again)` and return what it returns; see `stores.line`."""
        try:
            return super().run(body, within=within, repeatable=repeatable, patient=patient)
        finally:
            if not self._keeps():
                self.drop()

    def _connect(self) -> Connection:
        return BorrowedConnection(self._settings, keeps=self._keeps(), deadline=self._deadline)


class BorrowingListener(Listener):
    """Listens on a connection of the pool, which it keeps."""

    def _connect(self) -> Connection:
        settings = self._settings
        return _Listening(settings, keeps=True, deadline=settings.read_deadline)


class _Listening(BorrowedConnection):
    __slots__ = ()

    def _restore(self) -> None:
        self.script(DEAF)
        super()._restore()
