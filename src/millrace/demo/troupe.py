"""The demo's workers: processes of `millrace worker`. Owns starting, killing and stopping them, and their log files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Troupe"]

_PATIENCE_SECONDS = 20.0


class Troupe:
    """Worker processes on one store.

    Args:
        url: The store's.
        folder: Where each worker's log goes.
        concurrency: Jobs at once in each.
    """

    def __init__(self, url: str, folder: Path, concurrency: int) -> None:
        self._environment: Mapping[str, str] = {**os.environ, "MILLRACE_URL": url}
        self._folder = folder
        self._concurrency = concurrency
        self._workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave no process behind, whatever happened."""
        for worker in self._workers:
            with suppress(ProcessLookupError):
                worker.kill()
            worker.wait()

    def start(self) -> int:
        """Start one more worker; return its pid."""
        # -W: some files of the library draw syntax warnings, which are no news of ours
        command = [sys.executable, "-W", "ignore", "-m", "millrace", "worker", "millrace.demo.tasks:app"]
        with (self._folder / f"worker-{len(self._workers) + 1}.log").open("wb") as log:
            worker = subprocess.Popen(
                [*command, "--concurrency", str(self._concurrency)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._workers.append(worker)
        return worker.pid

    def freeze(self, pid: int) -> None:
        """Stop a worker where it stands, to look what it holds; return once all its threads stand still."""
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)

    def thaw(self, pid: int) -> None:
        """Let a frozen worker go on."""
        os.kill(pid, signal.SIGCONT)

    def kill(self, pid: int) -> None:
        """Kill a worker with SIGKILL, frozen or not, and see it dead."""
        worker = self._by_pid(pid)
        worker.kill()
        worker.wait(_PATIENCE_SECONDS)

    def fallen(self) -> list[int]:
        """Return the pids of workers that have ended without being asked to."""
        return [worker.pid for worker in self._workers if worker.poll() not in (None, -signal.SIGKILL)]

    def dismiss(self) -> list[int]:
        """Ask all that live to stop, as a service manager would, and return their exit codes."""
        alive = [worker for worker in self._workers if worker.poll() is None]
        for worker in alive:
            worker.terminate()
        return [worker.wait(_PATIENCE_SECONDS) for worker in alive]

    def _by_pid(self, pid: int) -> subprocess.Popen[bytes]:
        return next(worker for worker in self._workers if worker.pid == pid)
