"""`millrace worker --reload`: a worker that starts anew when its code changes. Owns watching and restarting.

The worker is a child process, so that code which cannot be imported ends the child only, and the next change mends it.
It has a session of its own: a Ctrl-C reaches this process alone, which hands it on once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from millrace.cli.output import say
from millrace.cli.parent import child_environment

__all__ = ["changes", "folders_of", "run_reloading", "snapshot"]

_LOOK_SECONDS = 0.5
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "venv"})
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


Snapshot = Mapping[str, tuple[int, int]]  #: time and size by path


class _Child:
    """The worker process of the moment."""

    def __init__(self, command: Sequence[str], stop: threading.Event) -> None:
        self._command = command
        self._stop = stop
        self._told = False  # that it has ended
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless all is over."""
        if not self._stop.is_set():
            self._process, self._told = (
                (subprocess.Popen(self._command, start_new_session=True, env=child_environment())),
                False,
            )

    def hand_on(self, number: int) -> None:
        """Hand a signal on."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def restart(self) -> None:
        """Let it stop as it would for a service manager, and start another."""
        say("millrace: the code has changed; the worker starts anew", to_stderr=True)
        self.hand_on(signal.SIGTERM)
        self.wait()
        self.start()

    def look(self) -> None:
        """Say, once, where it has ended by itself."""
        code = None if self._process is None else self._process.poll()
        if code is not None and not self._told:
            self._told = True
            say(
                f"millrace: the worker has ended with code {code}; it starts anew when the code changes", to_stderr=True
            )

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        return 0 if self._process is None else self._process.wait()


def run_reloading(command: Sequence[str], folders: Sequence[Path]) -> int:
    """Run a command, and anew each time that a source file changes, until SIGINT or SIGTERM; return its exit code.

    Args:
        command: The worker's command line.
        folders: Where changes are watched for.
    """
    stop = threading.Event()
    child = _Child(command, stop)

    def heard(number: int, _: FrameType | None) -> None:
        stop.set()
        child.hand_on(signal.SIGTERM if number == signal.SIGHUP else number)

    with _hearing(heard):
        told = changes(folders, stop)
        child.start()
        for change in told:
            if stop.is_set():
                break
            if change:
                child.restart()
            child.look()
        return child.wait()


@contextmanager
def _hearing(heard: object) -> Generator[None, None, None]:
    before = {number: signal.signal(number, heard) for number in _SIGNALS}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def folders_of(app: str) -> list[Path]:
    """Return the folders that hold the code of an APP: the working directory, and its package where that is elsewhere.

    >>> folders_of("tasks:app") == [Path.cwd()]
    True
    """
    here = Path.cwd()
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    folders = [here]
    try:
        spec = find_spec(app.partition(":")[0].partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.origin is not None:
        home = Path(spec.origin).parent
        if not home.is_relative_to(here):
            folders.append(home)
    return folders


def changes(folders: Sequence[Path], stop: threading.Event) -> Iterator[bool]:
    """Tell about twice a second whether a source file has changed since this call, until `stop` is set.

    By watchfiles where it is installed, which costs nothing while nothing changes; else by looking at every file.
    """
    before = snapshot(folders)
    return _polled(folders, stop, before) if find_spec("watchfiles") is None else _watched(folders, stop, before)


def _watched(folders: Sequence[Path], stop: threading.Event, before: Snapshot) -> Iterator[bool]:
    from watchfiles import PythonFilter, watch

    told = watch(
        *folders,
        watch_filter=PythonFilter(),
        stop_event=stop,
        rust_timeout=int(_LOOK_SECONDS * 1000),
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    for number, some in enumerate(told):
        # what changed before the watch began is seen by the files themselves
        yield bool(some) or (number == 0 and snapshot(folders) != before)


def _polled(folders: Sequence[Path], stop: threading.Event, before: Snapshot) -> Iterator[bool]:
    while not stop.wait(_LOOK_SECONDS):
        now = snapshot(folders)
        yield now != before
        before = now


def snapshot(folders: Iterable[Path]) -> Snapshot:
    """Return the time and size of every source file below some folders; what is hidden or installed is passed over."""
    return {path: (found.st_mtime_ns, found.st_size) for folder in folders for path, found in _sources(folder)}


def _sources(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".") and name not in _SKIPPED]
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(place, name)  # noqa: PTH118 - thousands of them, twice a second
                with suppress(FileNotFoundError):  # an editor puts a new one in its place
                    yield path, os.stat(path)  # noqa: PTH116
