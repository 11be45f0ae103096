"""Linux tells when a file was written: `inotify` through ctypes. Owns the system calls, and not what they mean."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct

__all__ = ["FileEvents"]

# From <sys/inotify.h>; part of the system's binary interface, so they never change.
_MODIFY, _ATTRIB, _DELETE_SELF, _MOVE_SELF = 0x2, 0x4, 0x400, 0x800
_MASK = _MODIFY | _ATTRIB | _DELETE_SELF | _MOVE_SELF
_HEADER = struct.Struct("iIII")


class FileEvents:
    """Writes to one file, and a bell to ring a waiting thread awake.

    Raises:
        OSError: The system has no inotify, or allows no more of it.
    """

    __slots__ = ("_bell", "_events", "_libc", "_path", "_poll", "watching")

    def __init__(self, path: str) -> None:
        self.watching = False  #: whether the file that has the name is watched, as far as is known
        self._path = os.fsencode(path)
        self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._events = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError as error:
            raise OSError(f"no inotify here: {error}") from None
        try:
            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except BaseException:
            os.close(self._events)
            raise
        self._poll = select.poll()  # not `select`, which knows no descriptor above 1023
        self._poll.register(self._events, select.POLLIN)
        self._poll.register(self._bell, select.POLLIN)

    def find(self) -> None:
        """Watch the file that now has the name, if there is one. Harmless where it is watched already."""
        try:
            self._call("inotify_add_watch", self._events, self._path, _MASK)
        except FileNotFoundError:
            self.watching = False
        else:
            self.watching = True

    def wait(self, seconds: float) -> bool:
        """Wait for an event or the bell; tell whether the file was written or went away."""
        self._poll.poll(max(seconds, 0) * 1000)
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 8)
        return self.drain()

    def drain(self) -> bool:
        """Take all events that are there; tell whether there were any."""
        try:
            events = os.read(self._events, 65536)
        except BlockingIOError:
            return False
        # A watched file's events bear no name, so each is just a header.
        if any(mask & ~_MODIFY for _, mask, _, _ in _HEADER.iter_unpack(events)):
            self.watching = False
        return True

    def ring(self) -> None:
        """End a `wait` in another thread, or the next one."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Release the descriptors."""
        os.close(self._events)
        os.close(self._bell)

    def _call(self, name: str, *args: int | bytes) -> int:
        answer: int = getattr(self._libc, name)(*args)
        if answer < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return answer
