"""Telling other processes of what was committed: by NOTIFY, in a transaction of its own afterwards.

Never in the commit itself, nor by trigger: a commit that notifies takes a lock of the whole server, and commits then go
one after the other. At most one notice goes out for a queue within 20 ms, for all that came in meanwhile; within 100 ms
where more than 50 workers listen, for each notice wakes them all. That jobs have changed or ended is told only while
somebody follows, which a lock of the follower's session shows.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from millrace.errors import MillraceError
from millrace.stores.postgres.arrays import Strings
from millrace.stores.postgres.lines import Lines
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.texts import Texts

__all__ = ["CROWD", "SPACING", "WIDE", "Notices"]

SPACING = 0.02  #: seconds between two notices for one queue
WIDE = 0.1  #: the same, where there is a crowd
CROWD = 50  #: workers
_PATIENCE = 2.0  # seconds for sending: it is only a hint
_ASK_EVERY = 1.0  # seconds between two looks whether somebody follows
_COUNT_EVERY = 10.0  # seconds between two counts of the workers

# One trip. A notice makes a transaction that writes, so its commit would wait for the disk: it need not.
NOTIFY = """select set_config('synchronous_commit', 'off', true), pg_notify(n.channel, n.payload)
 from unnest(%(channels)b, %(payloads)b) n(channel, payload)"""
# A follower's session holds this lock, shared; see `listener`.
FOLLOWED = "select not pg_try_advisory_xact_lock(hashtextextended(%(channel)b, 0))"
# The register, up to what matters.
CROWDED = "select count(*) from (select from {s}.worker limit %(most)b) w"

_running: weakref.WeakSet[Notices] = weakref.WeakSet()
_waited_for: set[Notices] = set()  #: those with something to send, which go on even if nobody has their store any more


class Notices:
    """Sends notices from a thread of its own, from the first one to `close`, or until nobody has the store any more.

    Args:
        settings: Whose channel.
        lines: What they are sent on.
    """

    def __init__(self, settings: Settings, lines: Lines) -> None:
        self._channel, self._on, self._lines = settings.channel, settings.notify, lines
        self._ends_channel = settings.ends_channel
        self._ended = False  # something has changed or ended since that was last told
        self._followed, self._asked_at = False, -_ASK_EVERY
        self._crowded = Texts(settings.schema).plain(CROWDED)
        self._spacing, self._counted_at = SPACING, -_COUNT_EVERY
        self._waiting: set[str] = set()
        self._changing = threading.Lock()
        self._wake: SimpleQueue[None] = SimpleQueue()  # one may put from a finalizer, wherever that runs
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, queues: Iterable[str]) -> None:
        """Send a notice for each of these queues soon, and to followers that jobs have changed.

        Never waits for the server.
        """
        if not self._on:
            return
        with self._changing:
            self._waiting.update(queues)
            self._ended = True
            if self._closed.is_set() or not (self._waiting or self._followed or self._may_ask()):
                return
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_run, args=(weakref.ref(self), self._wake), name="millrace-notices", daemon=True
                )
                weakref.finalize(self, self._wake.put, None).atexit = False
                self._thread.start()
                _running.add(self)
            if self in _waited_for:
                return
            _waited_for.add(self)
        self._wake.put(None)

    def close(self) -> None:
        """Send what waits, and end."""
        with self._changing:
            self._closed.set()
            thread, self._thread = self._thread, None
        self._wake.put(None)
        _running.discard(self)
        if thread is not None:
            thread.join()

    def work(self) -> bool:
        """Send what waits, then leave a pause; tell whether to go on. Only its thread calls it."""
        sent_at = time.monotonic()
        self._send_what_waits()
        if self._closed.wait(max(self._spacing - (time.monotonic() - sent_at), 0)):
            self._send_what_waits()
            return False
        return True

    def _send_what_waits(self) -> None:
        with self._changing:
            _waited_for.discard(self)
            queues, self._waiting = self._waiting, set()
            ended, self._ended = self._ended, False
        with contextlib.suppress(MillraceError):  # a hint that is lost; polling finds what is due
            if queues:
                self._notify([(self._channel, queue) for queue in sorted(queues)])
                self._keep_distance()
            if ended and self._is_followed():
                self._notify([(self._ends_channel, "")])

    def _notify(self, notices: Sequence[tuple[str, str]]) -> None:
        channels, payloads = zip(*notices, strict=True)
        self._ask(NOTIFY, {"channels": Strings(channels), "payloads": Strings(payloads)})

    def _keep_distance(self) -> None:
        now = time.monotonic()
        if now - self._counted_at < _COUNT_EVERY:
            return
        self._counted_at = now
        ((workers,),) = self._ask(self._crowded, {"most": CROWD + 1})
        self._spacing = WIDE if workers > CROWD else SPACING

    def _may_ask(self) -> bool:
        return time.monotonic() - self._asked_at >= _ASK_EVERY

    def _is_followed(self) -> bool:
        if self._may_ask():
            self._asked_at = time.monotonic()
            self._followed = self._ask(FOLLOWED, {"channel": self._ends_channel})[0][0]
        return self._followed

    def _ask(self, text: str, args: Mapping[str, Any]) -> list[Any]:
        return self._lines.write(lambda connection, _: connection.rows(text, args), within=_PATIENCE, patient=False)


def _run(reference: weakref.ref[Notices], wake: SimpleQueue[None]) -> None:
    while True:
        wake.get()
        notices = reference()
        if notices is None or not notices.work():
            return
        del notices  # else it would be held while nobody needs it


def _send_the_last() -> None:
    """Send what waits before the process ends: a script that enqueues and is done has left its store open."""
    for notices in list(_running):
        notices.close()


def _leave_to_the_parent() -> None:
    _running.clear()
    _waited_for.clear()


atexit.register(_send_the_last)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
