"""The thread that hears of commits in other processes. Owns when it looks; what is done about it is the caller's.

The truth is `PRAGMA data_version` on a connection of its own: it changes with every commit of any other connection,
and costs 5 us and no lock. When to ask is told by inotify on the WAL, which hears the *write* of a commit's frames; the
commit may only become visible after the flush that follows, so an event opens a burst of looks.

inotify proves itself: until a change has been seen together with its event, and after one that came without, the
thread also looks every 8 ms, as it does where there is no inotify. So nothing need be written to test it.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from millrace.stores.sqlite import fork
from millrace.stores.sqlite.connection import Connection

if TYPE_CHECKING:
    from millrace.stores.sqlite.inotify import FileEvents

__all__ = ["Listener"]

_SHORTEST_POLL = 0.001  # seconds: poll() knows no shorter time

POLL = 0.008  #: seconds between looks without inotify: p50 4.5 ms, 2 % of a core
REST = 1.0  #: seconds between looks that only make sure, give or take a fifth
BURST = 0.3  #: seconds of looks after an event; a disk's flush may take so long
_FIRST_GAP, _GROWTH = 0.0002, 1.5
_FIRST_PAUSE = 0.0005

DATA_VERSION = "PRAGMA data_version"  # reads the shared memory of the WAL; no lock that a writer waits for

_log = logging.getLogger("millrace.sqlite")


class Listener:
    """One running thread.

    Args:
        path: The database file.
        connect: Makes the connection for the looks.
        commits: Returns how many commits this process has made: while they go on, looks are rarer.
        on_change: Called, in the thread, after each look that saw a change.
    """

    live = True  #: it looks at the file itself, which nothing can put out of its reach

    def __init__(
        self,
        path: str,
        connect: Callable[[], Connection],
        commits: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        self._connect, self._commits, self._on_change = connect, commits, on_change
        self.looking = threading.Lock()  #: held during a look; whoever holds it may take the connection away
        self._connection: Connection | None = None
        self._version: int | None = None
        self._stopping = threading.Event()
        self._events = _file_events(f"{path}-wal")
        self._proven = False  # inotify is to be trusted
        self._seen = 0  # of this process's commits
        self._pause = 0.0
        self._thread = threading.Thread(target=self._run, name="millrace-listener", daemon=True)

    @property
    def proven(self) -> bool:
        """Whether events of the file are heard, so that the thread may rest between them."""
        return self._proven

    def start(self) -> None:
        """Take the state of now as the base, then listen: a commit after this returns is heard."""
        try:
            if self._events is not None:
                self._events.find()
            self._look()
        except BaseException:
            self._release()
            raise
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for that unless it is the caller's own."""
        self._stopping.set()
        with self.looking:  # or the thread might end in between, and the number of the bell be another file's
            if self._events is not None:
                self._events.ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def detach(self) -> Connection | None:
        """Hand over the connection, with `looking` held; the next look makes a new one and counts as a change."""
        connection, self._connection, self._version = self._connection, None, None
        return connection

    def immortalize(self) -> None:
        """Keep the connection for ever, open or not."""
        fork.immortalize(self._connection)

    def disown(self) -> None:
        """Close what a forked child inherited; the thread itself is only in the parent."""
        if self._connection is not None:
            self.immortalize()
            self._connection.abandon()
        if self._events is not None:
            self._events.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._round()
        finally:
            self._release()

    def _round(self) -> None:
        """Wait for something, look, and tell."""
        events = self._events
        try:
            if events is None:
                self._stopping.wait(POLL)
                changed = self._look()
            else:
                changed = self._heard(events)
        except Exception:  # noqa: BLE001 - a thread that must go on
            # Whatever is wrong with the file, those who are told will meet it and say it better.
            _log.debug("a look for commits of other processes failed; the next is in %s s", REST, exc_info=True)
            self._stopping.wait(REST)
            changed = True
        if changed:
            self._tell()

    def _tell(self) -> None:
        if not self._stopping.is_set():
            self._on_change()
            self._let_write()

    def _heard(self, events: FileEvents) -> bool:
        """Wait for an event or the next look; True where a commit was seen that nobody was told of yet."""
        if not events.watching:
            events.find()
        trusted = self._proven and events.watching
        if events.wait(REST * random.uniform(0.8, 1.2) if trusted else POLL):
            self._burst(events)
            return False
        if not self._look():
            events.find()  # should the name mean another file by now
            return False
        if not events.drain():
            self._proven = False  # a commit, and no event of it
        return True

    def _burst(self, events: FileEvents) -> None:
        """Look, for a while after the last event, for commits whose frames were written, and tell of each."""
        until = time.monotonic() + BURST
        gap = _FIRST_GAP
        # A change seen here may be an older commit, not the one whose frames were just written: so look on after it.
        while not self._stopping.is_set() and time.monotonic() < until:
            if self._look():
                self._proven = True
                self._tell()
            if gap < _SHORTEST_POLL:
                time.sleep(gap)
                heard = events.drain()
            else:
                heard = events.wait(gap)
            gap = min(gap * _GROWTH, POLL)
            if heard:
                until, gap = time.monotonic() + BURST, _FIRST_GAP

    def _let_write(self) -> None:
        """Keep out of the way of a process that commits all the time itself: it needs no hints to look."""
        commits = self._commits()
        busy, self._seen = commits != self._seen, commits
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), POLL) if busy else 0.0
        if self._pause:
            time.sleep(self._pause)

    def _look(self) -> bool:
        with self.looking:
            if self._connection is None:
                self._connection = self._connect()
            ((version,),) = self._connection.rows(DATA_VERSION)
            before, self._version = self._version, version
        return bool(version != before)

    def _release(self) -> None:
        with self.looking:
            connection = self.detach()
            events, self._events = self._events, None
        if connection is not None:
            connection.close()
        if events is not None:
            events.close()


def _file_events(path: str) -> FileEvents | None:
    if sys.platform != "linux":
        return None
    from millrace.stores.sqlite.inotify import FileEvents  # brings ctypes: 7 ms that only a listener need pay

    try:
        return FileEvents(path)
    except OSError as error:  # such as too many users of it on this host
        _log.info("no inotify (%s); looking for commits of other processes every %d ms", error, POLL * 1000)
        return None
