"""The gate: one exclusive `flock` on `<file>-gate`, held from before BEGIN to after COMMIT. Owns who may pass.

SQLite's own waiting sleeps and looks again, and a process may so starve for seconds; the kernel's queue is fair. The
gate also keeps checkpoints away from other processes' commits, a mixture that SQLite before 3.51.3 gets wrong at times.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from queue import SimpleQueue

from millrace.stores.sqlite.files import LOCK_TABLE

__all__ = ["Gate"]

_TRY = fcntl.LOCK_EX | fcntl.LOCK_NB
_flock = fcntl.flock

_TAKE, _END = "take", "end"  # what the gate thread is asked


class Gate:
    """One process's way through the gate. One thread at a time: the holder of the process's write lock."""

    __slots__ = ("_mutex", "_questions", "_signs", "_thread", "asked", "fd", "granted", "path", "wanted")

    def __init__(self, path: str) -> None:
        self.path = f"{path}-gate"
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._signs = not LOCK_TABLE.exists()  # elsewhere the holder's number must stand in the file
        self._thread: threading.Thread | None = None
        self._questions: SimpleQueue[str] = SimpleQueue()
        self.granted = threading.Lock()  #: free: the gate thread has left the lock to the caller
        self.granted.acquire()
        self._mutex = threading.Lock()  # guards the two below
        self.asked = False  #: the gate thread is at it
        self.wanted = False  #: a caller waits for it

    def try_take(self) -> bool:
        """Take the gate where it is free: one system call."""
        if self.asked:  # the gate thread may be given the lock any moment, on this same descriptor
            return False
        try:
            _flock(self.fd, _TRY)
        except BlockingIOError:
            return False
        except BaseException:  # Ctrl-C may come right behind the system call
            _flock(self.fd, fcntl.LOCK_UN)
            raise
        if self._signs:
            self._sign()
        return True

    def wait(self, until: float) -> bool:
        """Queue up in the kernel until a time of `time.monotonic()`; tell whether the gate was got.

        A blocking `flock` has no deadline, so a thread of its own does it. Where the lock comes too late for the
        caller, that thread gives it back at once, or to the next caller, if there is one by then.
        """
        with self._mutex:
            self.wanted = True
            if not self.asked:
                self.asked = True
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="millrace-gate", daemon=True)
                    self._thread.start()
                self._questions.put(_TAKE)
        try:
            if self.granted.acquire(timeout=max(until - time.monotonic(), 0)):
                return True
        except BaseException:
            if self._withdrawn():
                self.leave()
            raise
        return self._withdrawn()

    def leave(self) -> None:
        """Give the gate back, which must be held."""
        try:
            _flock(self.fd, fcntl.LOCK_UN)
        except ValueError:
            if self.fd >= 0:  # else a forked child on its way out of the parent's transaction
                raise

    def close(self) -> None:
        """Release the descriptor; the gate must not be held.

        A gate thread that still waits in the kernel keeps the descriptor until its lock comes.
        """
        with self._mutex:
            thread, busy = self._thread, self.asked
        if thread is None:
            os.close(self.fd)
            return
        self._questions.put(_END)
        if not busy:
            thread.join()

    def disown(self) -> None:
        """Close what a forked child inherited. Never unlocks: the lock is the parent's too."""
        os.close(self.fd)
        self.fd = -1

    def _sign(self) -> None:
        os.pwrite(self.fd, b"%-20d\n" % os.getpid(), 0)

    def _withdrawn(self) -> bool:
        """Want the gate no more; tell whether it came in this very moment."""
        with self._mutex:
            self.wanted = False
            return self.granted.acquire(blocking=False)

    def _serve(self) -> None:
        while self._questions.get() == _TAKE:
            _flock(self.fd, fcntl.LOCK_EX)
            with self._mutex:
                self.asked = False
                if self.wanted:
                    self.wanted = False
                    if self._signs:
                        self._sign()
                    self.granted.release()
                else:
                    _flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)
