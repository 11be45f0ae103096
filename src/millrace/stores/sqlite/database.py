"""One SQLite file as the verbs see it: write a transaction, read, hear of changes, close. Owns who may do so when.

A write has the process's turn, then the gate between processes, then SQLite's own lock from `BEGIN IMMEDIATE` to
`COMMIT`. There is one connection that writes and one that reads, opened when first needed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from millrace.clock import Clock, SystemClock
from millrace.errors import MillraceError
from millrace.messages import Finding
from millrace.stores.sqlite import files, fork
from millrace.stores.sqlite.connection import Connection, Driver
from millrace.stores.sqlite.gate import Gate
from millrace.stores.sqlite.health import find_trouble
from millrace.stores.sqlite.hold import Hold
from millrace.stores.sqlite.idling import tidy
from millrace.stores.sqlite.settings import Network, Settings, Synchronous
from millrace.stores.sqlite.trouble import explained, is_full
from millrace.stores.sqlite.wakeup import Watchers
from millrace.stores.watchers import Watch

__all__ = ["Database"]

T = TypeVar("T")

_TIDY_EVERY = 1.0  # seconds
_TIDY_LATER = 30.0  # seconds, where a reader did not let the WAL be cut

_getpid = os.getpid


class Database:
    """One SQLite file. Nothing is opened before the first use; all methods may be called from any thread.

    Args:
        path: The file, made where absent; relative to the working directory of now.
        synchronous: "full" flushes each commit to the disk, "normal" leaves the last ones to a power cut.
        prefix: What the names of our tables begin with.
        deadline: Seconds that a write waits for others before `StoreUnavailable`.
        reserve: Whether a worker keeps 1 MiB aside, to let outcomes through when the disk is full.
        network: "allow" accepts a file on a network file system.
        driver: "apsw" brings an SQLite of its own.
        clock: Where the time comes from; None is the host's clock.

    Raises:
        ConfigurationError: An option is not acceptable.
    """

    def __init__(
        self,
        path: str,
        *,
        synchronous: Synchronous = "full",
        prefix: str = "millrace_",
        deadline: float = 30.0,
        reserve: bool = True,
        network: Network = "refuse",
        driver: Driver = "sqlite3",
        clock: Clock | None = None,
    ) -> None:
        self.settings = Settings(
            path=path,
            synchronous=synchronous,
            prefix=prefix,
            deadline=deadline,
            reserve=reserve,
            network=network,
            driver=driver,
        )
        self.path = self.settings.path
        self.prefix = prefix
        self.url = f"sqlite:///{path}"
        self._clock_now = (clock or SystemClock()).now
        self._last = 0
        self._workers = 0  # at work in this process
        self._tidy_at = 0.0
        self._rested = False
        self._begin(Hold(self.settings))
        fork.register(self)

    def now(self) -> int:
        """Return the time in microseconds since 1970; never steps back within the process."""
        at = self._clock_now()
        if at > self._last:
            self._last = at
            return at
        return self._last

    def exists(self) -> bool:
        """Tell whether the file is there, without making it.

        Raises:
            ConfigurationError: It cannot be where it is to be, or this user may not even look.
        """
        files.refuse_places(self.path, network=self.settings.network)
        return Path(self.path).exists()

    # -- transactions

    def write(
        self,
        body: Callable[[Connection, int], T],
        *,
        now: int | None = None,
        urgent: bool = False,
        spare: bool = False,
        alone: bool = False,
    ) -> T:
        """Run `body(connection, now)` in one write transaction and return what it returns.

        Args:
            body: Only statements; it must not call the database, and with `spare` may be run twice.
            now: The time it is given; None is the clock's, read within the transaction.
            urgent: Go before all others of this process that wait.
            spare: Where the disk is full, give up the reserve for this write and run the body again.
            alone: The body runs one statement at most, which is then a transaction by itself: without BEGIN and COMMIT
                a single insert is a tenth faster.

        Raises:
            StoreUnavailable: The file is locked past the deadline, full, damaged, or the database is closed.
            SchemaMismatch: On first use: the file is a newer Millrace's, or its tables are somebody else's.
            ConfigurationError: This user may not write it. On first use also: it cannot be where it is, or SQLite is
                too old.
        """
        hold = self._hold
        if _getpid() != hold.pid:
            hold = self._notice_fork()
        until = None if hold.lock.free.acquire(False) else hold.wait_for_turn(urgent=urgent)  # noqa: FBT003
        try:
            writer, gate = hold.way or hold.open()
            if not gate.try_take():
                hold.wait_for_gate(gate, until)
            try:
                if not alone:
                    writer.execute("BEGIN IMMEDIATE")
                answer = body(writer, self.now() if now is None else now)
                if not alone:
                    writer.execute("COMMIT")
            except BaseException as error:  # noqa: BLE001 - raised again there, or done once more
                answer = self._rescued(error, writer, body, now, spare=spare)
            finally:
                if hold.cut_short:
                    hold.restore_patience()
                gate.leave()
            self._commits += 1
            return answer
        finally:
            hold.lock.release()

    def read(self, body: Callable[[Connection], T]) -> T:
        """Run `body(connection)` on the connection that reads, and return what it returns. No writer is kept waiting.

        Each statement sees the file as of its start; where several must agree, the body begins and ends a transaction.

        Raises:
            StoreUnavailable, SchemaMismatch, ConfigurationError: As for `write`.
        """
        hold = self._hold
        if hold.reader is None or _getpid() != hold.pid:
            hold = self._opened()
        if not hold.reading.acquire(blocking=False):
            hold.take_reading()
        try:
            reader = hold.reader
            if reader is None:
                reader = hold.reader = hold.connect_reader()
            try:
                return body(reader)
            except BaseException as error:
                _roll_back(reader)
                trouble = self._explained(error)
                if trouble is None:
                    raise
                raise trouble from error
        finally:
            hold.reading.release()

    def _rescued(
        self,
        error: BaseException,
        writer: Connection,
        body: Callable[[Connection, int], T],
        now: int | None,
        *,
        spare: bool,
    ) -> T:
        """Roll back, then either do it once more in the room of the reserve, or raise what there is to say."""
        _roll_back(writer)
        if spare and self.settings.reserve and is_full(error, self.path) and files.drop_reserve(self.path):
            return self._once_more(writer, body, now)
        trouble = self._explained(error)
        if trouble is None:
            raise error
        raise trouble from error

    def _once_more(self, writer: Connection, body: Callable[[Connection, int], T], now: int | None) -> T:
        try:
            writer.execute("BEGIN IMMEDIATE")
            answer = body(writer, self.now() if now is None else now)
            writer.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - raised again there
            return self._rescued(error, writer, body, now, spare=False)
        return answer

    def _explained(self, error: BaseException) -> MillraceError | None:
        return explained(error, self.path, self.settings.deadline)

    # -- opening and closing

    def open(self) -> None:
        """Open the file if it is not open yet: made, checked, brought to the newest schema.

        Raises:
            StoreUnavailable, SchemaMismatch, ConfigurationError: As for `write`.
        """
        self._opened()

    def migrate(self) -> list[str]:
        """Open the file; return what was done to its schema and not told yet, a line each."""
        hold = self._opened()
        done, hold.done = hold.done, []
        return done

    def close(self) -> None:
        """Release every connection, thread and file. A second call does nothing.

        Raises:
            StoreUnavailable: A thread of this process has been writing or reading past the deadline, and still is.
        """
        hold = self._hold
        if _getpid() != hold.pid:
            hold = self._notice_fork()
        if not hold.closed:
            hold.closed = True
            self._watchers.close()
            hold.close()

    def _opened(self) -> Hold:
        hold = self._hold
        if _getpid() != hold.pid:
            hold = self._notice_fork()
        if hold.way is None:
            hold.take_turn()
            try:
                if hold.way is None:
                    hold.open()
            finally:
                hold.lock.release()
        return hold

    # -- hints

    def changed(self) -> None:
        """Wake the watchers of this process: a commit may have made work."""
        self._watchers.tell()

    def watch(self, on_change: Callable[[], None]) -> Watch:
        """Call back, from any thread, soon after any commit to the file, here or in another process.

        Raises:
            StoreUnavailable, SchemaMismatch, ConfigurationError: As for `write`.
        """
        self._opened()
        return self._watchers.add(on_change)

    # -- what a worker adds

    def begin_work(self) -> None:
        """A worker starts in this process: checkpoint in smaller steps, set a reserve aside."""
        self._workers += 1
        if self.settings.reserve:
            files.keep_reserve(self.path)
        self._pace()

    def end_work(self) -> None:
        """A worker of this process has stopped."""
        self._workers -= 1
        self._pace()

    def idle(self) -> None:
        """Tidy up: for a worker that found nothing to do. Never waits for anyone, and most calls do nothing."""
        at = time.monotonic()
        hold = self._hold
        if at < self._tidy_at or _getpid() != hold.pid:
            return
        self._tidy_at = at + _TIDY_EVERY
        if not hold.lock.free.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(Exception):  # whatever is wrong with the file, verbs will meet it and say it
                if not tidy(hold, self._watchers):
                    self._tidy_at = at + _TIDY_LATER
        finally:
            hold.lock.release()

    def check(self) -> list[Finding]:
        """Look for trouble that `doctor` should tell."""
        try:
            return self.read(lambda connection: find_trouble(self.settings, connection))
        except MillraceError as error:
            return [Finding("error", "file", str(error))]

    def _pace(self) -> None:
        hold = self._opened()
        hold.take_turn()
        try:
            hold.pace(worker=self._workers > 0)
        finally:
            hold.lock.release()

    @property
    def waiting(self) -> int:
        """How many threads of this process wait for their turn to write."""
        return self._hold.lock.waiting

    @property
    def gate(self) -> Gate | None:
        """This process's way through the gate, once opened."""
        return self._hold.gate

    # -- forks; see `fork`

    def rest(self, until: float) -> None:
        """Come to rest before a fork; never raises."""
        # The listener first: whose connection closes last may checkpoint, and only the hold has the gate.
        self._rested = self._watchers.rest(until) and self._hold.rest(until)
        if not self._rested:
            self._watchers.immortalize()
            self._hold.immortalize()

    def resume(self) -> None:
        """Go on in the parent after a fork."""
        self._hold.resume()
        self._watchers.resume()

    def disown(self) -> None:
        """Leave alone all that is the parent's, in the child."""
        self._watchers.disown()
        self._hold.disown()
        self._begin(Hold(self.settings, inherited=not self._rested))

    def _notice_fork(self) -> Hold:
        """Learn by the process's number that it was forked off behind our back."""
        fork.note_fork()
        self._rested = not (self._hold.in_use or self._watchers.some)
        self.disown()
        return self._hold

    def _begin(self, hold: Hold) -> None:
        self._hold = hold
        self._commits = 0
        self._watchers = Watchers(self.path, hold.connect_reader, lambda: self._commits)


def _roll_back(connection: Connection) -> None:
    if not connection.in_transaction:  # a full disk, for one, has already rolled back
        return
    try:
        connection.execute("ROLLBACK")
    except Exception:  # noqa: BLE001, S110 - what went wrong before this is raised; a dead connection says so next time
        pass
    except BaseException:  # Ctrl-C may come right before the call; left open, the transaction would fail the next write
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
