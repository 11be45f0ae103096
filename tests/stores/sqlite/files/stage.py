"""Other processes as actors on the stage of a test, and waiting for what must come. Owns how they are led and ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.architecture.rules.files import ROOT

PATIENCE = 30.0  # seconds: bounds a failure, measures nothing


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until a condition holds; fail, with its name, where it never does."""
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, f"waited {patience} s in vain for {what}"
        time.sleep(0.002)


class Actor:
    """A process that plays one part of a module, by default one of `actors`, line by line."""

    module = "tests.stores.sqlite.files.actors"

    def __init__(self, part: str, *args: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-m", self.module, part] + [str(arg) for arg in args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self._heard = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self) -> str:
        """Return the actor's next line."""
        assert self.process.stdout is not None
        until = time.monotonic() + PATIENCE
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self.process.stdout], [], [], max(until - time.monotonic(), 0))
            assert ready, f"the actor said nothing for {PATIENCE} s"
            said = os.read(self.process.stdout.fileno(), 65536)
            assert said, f"the actor went away with {self.process.wait()}, its last words: {self._heard!r}"
            self._heard += said
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def say(self, line: str = "go on") -> None:
        """Give the actor a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def leave(self) -> None:
        """Let the actor end by itself, and see that it ended well."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        assert code == 0, f"the actor ended with {code}; what it said stands in its standard error"

    def stop_until_stopped(self) -> None:
        """Wait until the actor has stopped itself."""
        state = Path(f"/proc/{self.pid}/stat")
        wait_for(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "the actor to stop")

    def go_on(self) -> None:
        """Let an actor that has stopped itself go on."""
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
