"""One connection to a server: opened with what we need of it, and running texts. Owns psycopg's cursor and its options.

Every statement commits by itself (`autocommit`), and every argument and column travels in binary. No session setting
is made by SET, which a pooler would pass on to the next client.
"""

from __future__ import annotations

import math
import os
import select
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, LiteralString, cast

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from millrace.stores.postgres.arrays import register
from millrace.stores.postgres.settings import Settings

__all__ = ["PINS", "PREPARED", "Connection", "connect", "session_settings"]

PREPARED = 400  #: texts: more than we have, so that none is ever forgotten and prepared anew
# Each statement has one right plan, by index and place, whatever the statistics say. Without these, a plan made while
# the table was empty reads all of it from end to end, and is kept until the first vacuum, 100,000 jobs later.
PINS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
_EARLIER = 0.9  # of the deadline: the server gives up first, and says what it was at


class Connection:
    """A connection as the sessions use it; see `session.Wire`."""

    __slots__ = ("_cursor", "_poller", "_raw", "_socket", "late", "until")

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw
        self._cursor = self._made_cursor()
        # A number of its own for the same socket: the watchdog may use it whenever, and never hits a stranger's.
        self._socket = socket.socket(fileno=os.dup(raw.fileno()))
        self._poller = select.poll()
        self._poller.register(raw.fileno(), select.POLLIN)
        self.until = math.inf  #: see `watchdog.Guarded`
        self.late = False  #: whether the watchdog has shut it down

    def rows(self, text: str, args: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows, as tuples."""
        cursor = self._cursor
        cursor.execute(cast("LiteralString", text), args)
        return cursor.fetchall()

    def execute(self, text: str, args: Mapping[str, Any]) -> int:
        """Run a statement and return how many rows it touched."""
        cursor = self._cursor
        cursor.execute(cast("LiteralString", text), args)
        return cursor.rowcount

    def script(self, text: str) -> None:
        """Run a statement without arguments, in which a percent sign is only that."""
        self._raw.execute(cast("LiteralString", text), prepare=False)

    def trip(self, statements: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Any]]:
        """Run statements in one trip and one transaction, and return the rows of each."""
        raw = self._raw
        cursors: list[psycopg.Cursor[Any]] = []
        with raw.pipeline():  # without a sync in between, the server makes one transaction of what it is sent
            for text, args in statements:
                cursor = self._made_cursor()
                cursor.execute(cast("LiteralString", text), args)
                cursors.append(cursor)
        return [cursor.fetchall() if cursor.description is not None else [] for cursor in cursors]

    def transaction(self) -> AbstractContextManager[Any]:
        """Begin a transaction; it commits at the end of the block, or rolls back where that raises."""
        return self._raw.transaction()

    def _made_cursor(self) -> psycopg.Cursor[Any]:
        return self._raw.cursor(binary=True, row_factory=tuple_row)

    # -- its state

    @property
    def idle(self) -> bool:
        """Whether it is between statements, with no transaction open."""
        return self._raw.info.transaction_status == pq.TransactionStatus.IDLE

    @property
    def lost(self) -> bool:
        """Whether nothing can be run on it any more."""
        return self._raw.closed or self._raw.pgconn.status == pq.ConnStatus.BAD

    @property
    def version(self) -> int:
        """The server's version, such as 160004."""
        return self._raw.info.server_version

    @property
    def backend(self) -> int:
        """The number of the server's process."""
        return self._raw.info.backend_pid

    def notices(self) -> list[int]:
        """Take in what the server has said of itself; return the numbers of the processes whose notices came.

        Raises:
            psycopg.OperationalError: The connection is lost.
        """
        pgconn = self._raw.pgconn
        pgconn.consume_input()
        senders: list[int] = []
        while (notice := pgconn.notifies()) is not None:
            senders.append(notice.be_pid)
        return senders

    def is_stale(self) -> bool:
        """Tell whether the server has closed it while it was idle. A look at the socket, no trip."""
        pgconn = self._raw.pgconn
        try:
            while self._poller.poll(0):  # first comes why, and then the end
                pgconn.consume_input()
                pgconn.is_busy()
                if self.lost:
                    return True
        except psycopg.Error:
            return True
        return self.lost

    def fileno(self) -> int:
        """Return the socket's number, to wait on."""
        return self._raw.fileno()

    def shut_down(self) -> None:
        """Make a call that is under way fail; from any thread."""
        self.late = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is gone already
            self.until = math.inf

    def close(self) -> None:
        """Close it; never raises."""
        self._raw.close()
        self._socket.close()


def connect(settings: Settings, *, deadline: float | None = None, name: str | None = None) -> Connection:
    """Open a connection.

    Args:
        settings: Where to.
        deadline: Seconds that the server may spend on one statement; None is the settings' for writes.
        name: What the server's own views show it as, unless the URL says otherwise.

    Raises:
        psycopg.Error: No host of the URL can be reached, or none takes us.
    """
    given: dict[str, Any] = dict(conninfo_to_dict(settings.conninfo))
    if name is not None and given.get("application_name") == "millrace":
        given["application_name"] = name
    given["connect_timeout"] = max(math.ceil(settings.connect_deadline), 1)
    if settings.prepare:  # a pooler in transaction mode refuses startup options that it does not know
        given["options"] = f"{given.get('options') or ''} {_options(deadline or settings.deadline)}".strip()
    raw = psycopg.connect(
        **given,
        autocommit=True,
        prepare_threshold=0 if settings.prepare else None,
    )
    raw.prepared_max = PREPARED
    register(raw.adapters)
    try:
        return Connection(raw)
    except OSError as error:  # it is gone again, or there is no number left for a socket
        raw.close()
        raise psycopg.OperationalError(str(error)) from error


def session_settings(deadline: float) -> dict[str, str]:
    """Return what our connections want of the server, whatever the role's defaults are.

    Anything stricter than read committed would turn claims into serialization errors.

    Args:
        deadline: Seconds that the server may spend on one statement.
    """
    milliseconds = str(max(int(deadline * _EARLIER * 1000), 1))
    return {
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        **PINS,
    }


def _options(deadline: float) -> str:
    """Return the settings as libpq passes them on, before the session begins."""
    settings = session_settings(deadline).items()
    return " ".join(f"-c {name}={value}" for name, value in settings).replace("read committed", r"read\ committed")
