"""One connection that is kept: opened when first needed, opened again when lost, each call under its deadline.

Owns backoff, the repetition of what may be repeated, and the translation of errors. Who may use it when is `lines`'.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from millrace.errors import MillraceError, StoreUnavailable
from millrace.stores.postgres.connection import Connection, connect
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.trouble import (
    explained,
    is_read_only,
    may_be_repeated,
    no_longer_prepared,
    unreachable,
)
from millrace.stores.watchdog import Watchdog

__all__ = ["Line"]

T = TypeVar("T")

_FIRST, _LONGEST = 0.05, 5.0  # seconds between two tries to connect, before jitter
_TRIES = 5  # of what the server itself rolls back
_PAUSE = 0.02  # seconds between them, before jitter

#: The body of a call: given the connection, and whether an earlier run of it may have been committed.
Body = Callable[[Connection, bool], T]


class _Away(Exception):
    """There is no connection to be had for now; `told` is what to say of it."""

    def __init__(self, told: MillraceError) -> None:
        super().__init__(told)
        self.told = told


class Line:
    """A connection to one server, for one use at a time: the caller sees to that.

    Args:
        settings: Where to, and how long.
        watchdog: Keeps the deadlines.
        name: What the server's own views show.
        deadline: Seconds for a call that names none.
        on_open: Called with each new connection, before anything else is run on it.
        reached: Set once the server has been reached, by this line or another of the store's.
        closing: Set when calls that wait for the server shall give up.
    """

    def __init__(
        self,
        settings: Settings,
        watchdog: Watchdog,
        *,
        name: str,
        deadline: float,
        on_open: Callable[[Connection], None],
        reached: threading.Event,
        closing: threading.Event,
    ) -> None:
        self._settings, self._watchdog, self._name, self._deadline = settings, watchdog, name, deadline
        self._on_open, self._reached, self._closing = on_open, reached, closing
        self._connection: Connection | None = None
        self._next_try, self._delay = 0.0, _FIRST
        self._why: MillraceError | None = None  # it could not be opened last time

    def run(self, body: Body[T], *, within: float | None = None, repeatable: bool, patient: bool) -> T:
        """Run `body(connection, again)` and return what it returns.

        Args:
            body: Only statements; it must not call the store.
            within: Seconds for all of it; None is the line's deadline.
            repeatable: It may be run again though the first run may have been committed; `again` tells it so.
            patient: Wait, within the deadline, for a server that has been there before; else raise at once.

        Raises:
            StoreUnavailable: The server cannot be reached, was lost, or took too long.
            SchemaMismatch, ConfigurationError: As `trouble` says.
        """
        seconds = self._deadline if within is None else within
        until = time.monotonic() + seconds
        again, tries = False, 0
        while True:
            connection = self._opened(until, patient=patient)
            if time.monotonic() >= until:  # it had to be opened, and perhaps its schema made
                until = time.monotonic() + seconds
            connection.until = until
            if not self._watchdog.awake:
                self._watchdog.wake()
            try:
                return body(connection, again)
            except psycopg.Error as error:
                connection.until = math.inf
                tries += 1
                lost = connection.lost
                harmless = self._undone(error, connection)
                late = time.monotonic() >= until or self._closing.is_set()
                if not (harmless and tries < _TRIES) and not (
                    lost and repeatable and not late and (patient or tries == 1)
                ):
                    trouble = explained(error, self._settings, seconds, lost=lost, late=connection.late)
                    if trouble is None:
                        raise
                    raise trouble from error
                again = again or lost
            except BaseException:  # Ctrl-C, or the body's own: what it was at is not for the next call to find
                if not connection.idle:
                    self.drop()
                raise
            finally:
                connection.until = math.inf

    def _undone(self, error: psycopg.Error, connection: Connection) -> bool:
        """See to the connection after an error; tell whether nothing was done, so that the same will do once more."""
        if no_longer_prepared(error):
            self.drop()
            return True
        if may_be_repeated(error):
            time.sleep(random.uniform(0, _PAUSE))
            return True
        if connection.lost or is_read_only(error):
            self.drop()
        return False

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._watchdog.remove(connection)
            connection.close()

    @property
    def connection(self) -> Connection | None:
        """The connection, where there is one."""
        return self._connection

    def _opened(self, until: float, *, patient: bool) -> Connection:
        """Return the connection, a new one where it is lost."""
        connection = self._connection
        if connection is not None:
            if not connection.is_stale():
                return connection
            self.drop()
        patient = patient and self._reached.is_set()
        while True:
            self._wait_for_turn(until, patient=patient)
            try:
                return self._open()
            except _Away as away:
                # Kept as a new one: this keeps its frames, and a socket in them.
                self._why = type(away.told)(*away.told.args)
                self._next_try = time.monotonic() + random.uniform(0, self._delay)
                self._delay = min(self._delay * 2, _LONGEST)
                if not isinstance(away.told, StoreUnavailable) or self._gives_up(until, patient=patient):
                    raise away.told from away.__cause__

    def _wait_for_turn(self, until: float, *, patient: bool) -> None:
        """Keep to the backoff: sleep where the call may wait, say again what was wrong where it may not."""
        wait = self._next_try - time.monotonic()
        if wait <= 0:
            return
        if self._why is not None and self._gives_up(until, patient=patient):
            raise type(self._why)(*self._why.args)
        self._closing.wait(wait)

    def _gives_up(self, until: float, *, patient: bool) -> bool:
        return not patient or self._closing.is_set() or self._next_try >= until

    def _open(self) -> Connection:
        settings = self._settings
        try:
            connection = connect(settings, deadline=self._deadline, name=self._name)
        except psycopg.Error as error:
            raise _Away(unreachable(settings, error)) from error
        self._watchdog.add(connection)
        connection.until = time.monotonic() + self._deadline
        self._watchdog.wake()
        try:
            self._on_open(connection)
        except BaseException as error:
            self._watchdog.remove(connection)
            connection.until = math.inf
            lost = connection.lost
            connection.close()
            trouble = explained(error, settings, self._deadline, lost=lost, late=connection.late)
            if trouble is None:
                raise
            raise (_Away(trouble) if lost else trouble) from error
        connection.until = math.inf
        self._reached.set()
        self._connection = connection
        self._delay, self._next_try, self._why = _FIRST, 0.0, None
        return connection
