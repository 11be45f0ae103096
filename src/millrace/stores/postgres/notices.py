"""Telling other processes of what was committed: by NOTIFY, in a transaction of its own afterwards.

Never in the commit itself, nor by trigger: a commit that notifies takes a lock of the whole server, and commits then go
one after the other. At most one notice goes out for a queue within 20 ms, for all that came in meanwhile.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterable

from millrace.errors import MillraceError
from millrace.stores.postgres.arrays import Strings
from millrace.stores.postgres.lines import Lines
from millrace.stores.postgres.settings import Settings

__all__ = ["SPACING", "Notices"]

SPACING = 0.02  #: seconds between two notices for one queue
_PATIENCE = 2.0  # seconds for sending: it is only a hint

# One trip. A notice makes a transaction that writes, so its commit would wait for the disk: it need not.
NOTIFY = """select set_config('synchronous_commit', 'off', true), pg_notify(%(channel)b, queue)
 from unnest(%(queues)b) queue"""

_running: weakref.WeakSet[Notices] = weakref.WeakSet()


class Notices:
    """Sends notices from a thread of its own, which runs from the first one to `close`.

    Args:
        settings: Whose channel.
        lines: What they are sent on.
    """

    def __init__(self, settings: Settings, lines: Lines) -> None:
        self._channel, self._on, self._lines = settings.channel, settings.notify, lines
        self._waiting: set[str] = set()
        self._changing = threading.Lock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, queues: Iterable[str]) -> None:
        """Send a notice for each of these queues soon. Never waits for the server."""
        if not self._on:
            return
        with self._changing:
            self._waiting.update(queues)
            if not self._waiting or self._closed.is_set():
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="millrace-notices", daemon=True)
                self._thread.start()
                _running.add(self)
        self._wake.set()

    def close(self) -> None:
        """Send what waits, and end."""
        with self._changing:
            self._closed.set()
            thread, self._thread = self._thread, None
        self._wake.set()
        _running.discard(self)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            with self._changing:
                queues, self._waiting = self._waiting, set()
            if queues:
                sent_at = time.monotonic()
                self._notify(queues)
                self._closed.wait(max(SPACING - (time.monotonic() - sent_at), 0))
            if self._closed.is_set():
                with self._changing:
                    queues, self._waiting = self._waiting, set()
                if queues:
                    self._notify(queues)
                return

    def _notify(self, queues: set[str]) -> None:
        args = {"channel": self._channel, "queues": Strings(sorted(queues))}
        with contextlib.suppress(MillraceError):  # a hint that is lost; polling finds what is due
            self._lines.write(lambda connection, _: connection.rows(NOTIFY, args), within=_PATIENCE, patient=False)


def _send_the_last() -> None:
    """Send what waits before the process ends: a script that enqueues and is done has left its store open."""
    for notices in list(_running):
        notices.close()


def _leave_to_the_parent() -> None:
    _running.clear()


atexit.register(_send_the_last)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
