"""One connection that is kept: opened when first needed, opened again when lost, each call under its deadline.

Owns backoff and the repetition of what may be repeated. How to connect, and what an error of the driver means, is for
the `line` of each store to say; who may use it when is `lines`'.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from millrace.errors import MillraceError, StoreUnavailable
from millrace.stores.watchdog import Guarded, Watchdog

__all__ = ["Body", "Connection", "Line"]

_FIRST, _LONGEST = 0.05, 5.0  # seconds between two tries to connect, before jitter
_TRIES = 5  # of what the server itself rolls back


class Connection(Guarded, Protocol):
    """What a line needs of a connection."""

    late: bool  #: whether the watchdog has shut it down

    @property
    def lost(self) -> bool:
        """Whether nothing can be run on it any more."""
        ...

    @property
    def idle(self) -> bool:
        """Whether nothing is under way on it."""
        ...

    def is_stale(self) -> bool:
        """Tell whether the server has closed it while it was idle."""
        ...

    def close(self) -> None:
        """Close it; never raises."""
        ...


C = TypeVar("C", bound=Connection)
T = TypeVar("T")

#: The body of a call: given the connection, and whether an earlier run of it may have been committed.
Body = Callable[[C, bool], T]


class _Away(Exception):
    """There is no connection to be had for now; `told` is what to say of it."""

    def __init__(self, told: MillraceError) -> None:
        super().__init__(told)
        self.told = told


class Line(Generic[C]):
    """A connection to one server, for one use at a time: the caller sees to that.

    Args:
        watchdog: Keeps the deadlines.
        deadline: Seconds for a call that names none.
        on_open: Called with each new connection, before anything else is run on it.
        reached: Set once the server has been reached, by this line or another of the store's.
        closing: Set when calls that wait for the server shall give up.
    """

    def __init__(
        self,
        watchdog: Watchdog,
        *,
        deadline: float,
        on_open: Callable[[C], None],
        reached: threading.Event,
        closing: threading.Event,
    ) -> None:
        self._watchdog, self._deadline = watchdog, deadline
        self._on_open, self._reached, self._closing = on_open, reached, closing
        self._connection: C | None = None
        self._next_try, self._delay = 0.0, _FIRST
        self._why: MillraceError | None = None  # it could not be opened last time

    # -- what each store says of its driver

    _errors: type[Exception]  #: the root of what the driver raises

    def _connect(self) -> C:
        """Open a connection; raise an error of the driver's where there is none to be had."""
        raise NotImplementedError

    def _unreachable(self, error: Exception) -> MillraceError:
        """Say that no connection can be had."""
        raise NotImplementedError

    def _explained(self, error: BaseException, seconds: float, *, lost: bool, late: bool) -> MillraceError | None:
        """Turn an error into one of ours; None where neither the server nor its state is to blame.

        Args:
            error: What was raised.
            seconds: The deadline of the call.
            lost: Whether the connection is gone with it, so that it is unknown whether the last statement took effect.
            late: Whether it is gone because we have shut it down, the deadline being past.
        """
        raise NotImplementedError

    def _undone(self, error: Exception, connection: C) -> bool:
        """See to the connection after an error; tell whether nothing was done, so that the same will do once more."""
        raise NotImplementedError

    def _passes(self, error: BaseException) -> bool:
        """Tell whether what a new connection has met will be over before long, so that it is worth waiting for."""
        del error
        return False

    # -- calls

    def run(self, body: Body[C, T], *, within: float | None = None, repeatable: bool, patient: bool) -> T:
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
            except self._errors as error:
                connection.until = math.inf
                tries += 1
                lost = connection.lost
                harmless = self._undone(error, connection)
                late = time.monotonic() >= until or self._closing.is_set()
                if not (harmless and tries < _TRIES) and not (
                    lost and repeatable and not late and (patient or tries == 1)
                ):
                    trouble = self._explained(error, seconds, lost=lost, late=connection.late)
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

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.until = time.monotonic() + self._deadline  # one that is given back may first be put in order
            self._watchdog.wake()
            connection.close()
            self._watchdog.remove(connection)

    @property
    def connection(self) -> C | None:
        """The connection, where there is one."""
        return self._connection

    def _opened(self, until: float, *, patient: bool) -> C:
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

    def _open(self) -> C:
        try:
            connection = self._connect()
        except self._errors as error:
            raise _Away(self._unreachable(error)) from error
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
            trouble = self._explained(error, self._deadline, lost=lost, late=connection.late)
            passes = lost or self._passes(error)
            if trouble is not None:
                raise (_Away(trouble) if passes else trouble) from error
            if passes and isinstance(error, MillraceError):
                raise _Away(error) from None
            raise
        connection.until = math.inf
        self._reached.set()
        self._connection = connection
        self._delay, self._next_try, self._why = _FIRST, 0.0, None
        return connection
