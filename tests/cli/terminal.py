"""A real terminal, as a pair of pseudo devices, and a command of ours in it that a person could type to."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

__all__ = ["Terminal", "plain_text"]

_SEQUENCES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>78])")
# the device becomes the controlling terminal, so that ^C reaches the command as a signal
_BEGIN = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'millrace', *sys.argv[1:]])"
)


def plain_text(text: str) -> str:
    """Leave the control sequences out."""
    return _SEQUENCES.sub("", text)


class Terminal:
    """`millrace` in a terminal of some size.

    Args:
        folder: Its working directory.
        words: What is typed after `millrace`.
        columns: The terminal's width.
        lines: Its height.
        environment: Variables that are set besides those of this process; None: left out.
    """

    def __init__(
        self,
        folder: Path,
        *words: str,
        columns: int = 100,
        lines: int = 30,
        environment: dict[str, str | None] | None = None,
    ) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        variables = {**os.environ, "TERM": "xterm-256color", "LINES": None, "COLUMNS": None, "NO_COLOR": None}
        variables |= environment or {}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, *words],
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={name: value for name, value in variables.items() if value is not None},
        )
        os.close(theirs)
        self.shown = ""  #: all that was written to it

    def see(self, *parts: str) -> str:
        """Read until every part has been shown since the last call, and return what was shown since then."""
        deadline = time.monotonic() + 30
        seen = ""
        while not all(part in plain_text(seen) for part in parts):
            more = self._read(deadline)
            if more is None:
                pytest.fail(f"{parts} never came; the terminal shows {self.shown!r}", pytrace=False)
            seen += more
        return seen

    def type(self, text: str) -> None:
        """Type, such as the control character of Ctrl-C."""
        os.write(self._ours, text.encode())

    def send(self, number: int) -> None:
        """Send a signal to the command."""
        self._process.send_signal(number)

    @property
    def is_raw(self) -> bool:
        """Whether keys reach the command one by one, and are not shown by the terminal itself."""
        return not termios.tcgetattr(self._ours)[3] & (termios.ICANON | termios.ECHO)

    def end(self) -> int:
        """Read the rest, and wait for the end; return the exit code."""
        deadline = time.monotonic() + 30
        while self._read(deadline) is not None:
            pass
        return self._process.wait(30)

    def close(self) -> None:
        """End it in any case."""
        self._process.kill()
        self._process.wait(30)
        os.close(self._ours)

    def _read(self, deadline: float) -> str | None:
        """Read what has come; None where nothing more will, or nothing came in time."""
        ready, _, _ = select.select([self._ours], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return None
        try:
            more = os.read(self._ours, 65536).decode(errors="replace")
        except OSError:  # the other side is closed, on Linux
            return None
        self.shown += more
        return more or None
