"""Owns who is compared: how each side's driver and worker are started. What they do is in their drivers."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import venvs
from bench.driver import Options
from bench.processes import ask, driver_command, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from millrace import Millrace


@dataclass(frozen=True)
class Side:
    """One queue with the settings it is measured at; `concurrencies` are those it may be best at."""

    name: str
    python: Path
    module: str
    synchronous: str = "full"
    handler: str = "sync"
    concurrencies: tuple[int, ...] = (1,)

    def options(self, folder: Path, *, count: int = 0, concurrency: int = 1, template: str = "") -> Options:
        """Return the options for a run on the folder's one database file."""
        file = str(folder / "queue.db")
        return Options(file, self.synchronous, self.handler, count, concurrency, template=template)

    def environment(self, options: Options, probe: Path | None = None) -> Mapping[str, str]:
        """Return the environment of its processes; `MILLRACE_URL` is read by ours alone."""
        return environment(probe, MILLRACE_URL=store_url(options.file, options.synchronous))

    def ask(self, command: str, options: Options) -> dict[str, Any]:
        """Run one command of its driver."""
        return ask(self.command(command, options), self.environment(options))

    def worker(self, options: Options) -> list[str]:
        """Return the command line of its worker."""
        return self.command("work", options)

    def command(self, command: str, options: Options) -> list[str]:
        """Return the command line of its driver."""
        return driver_command(self.python, self.module, command, options)

    @contextmanager
    def counting(self, options: Options) -> Generator[Callable[[], int], None, None]:
        """Give a function that says how many jobs the queue itself holds unfinished."""
        yield lambda: int(self.ask("left", options)["left"])


class Ours(Side):
    """Millrace: its worker is the one its users start."""

    def worker(self, options: Options) -> list[str]:
        """Return the product's own command line."""
        return millrace("worker", "bench.millrace_app:app", "--concurrency", str(options.concurrency))

    @contextmanager
    def counting(self, options: Options) -> Generator[Callable[[], int], None, None]:
        """Ask the store through an app that stays open, so that an answer costs no start."""
        from millrace import Millrace

        with Millrace(store_url(options.file, options.synchronous)) as app:
            yield lambda: unfinished(app)


def millrace(*arguments: str) -> list[str]:
    """Return a command line of the product, from the environment that the benchmark runs in."""
    return [str(Path(sys.executable).with_name("millrace")), *arguments]


def unfinished(app: Millrace) -> int:
    """Return how many jobs are in any other state than completed."""
    return sum(number for state, number in app.counts().items() if state != "completed")


def store_url(file: str | Path, synchronous: str) -> str:
    """Return the URL of a store on this file, whose path is absolute; a server's URL is one already."""
    if "://" in str(file):
        return str(file)
    return f"sqlite:///{file}?synchronous={synchronous}"


def ours(synchronous: str, handler: str = "sync") -> Side:
    """Return Millrace at this durability with this kind of handler."""
    name = f"millrace {synchronous} {handler}"
    return Ours(name, Path(sys.executable), "bench.millrace_driver", synchronous, handler, (1, 10, 100))


def huey(synchronous: str) -> Side:
    """Return huey, with fsync for `full` and without for `off`; it has no async handlers."""
    return Side(
        f"huey {synchronous}", venvs.python_of("huey"), "bench.peers.huey_driver", synchronous, "sync", (1, 2, 4)
    )


def tinyjobs(handler: str) -> Side:
    """Return tinyjobs, which is at NORMAL always."""
    side = Side("", venvs.python_of("tinyjobs"), "bench.peers.tinyjobs_driver", "normal", handler, (32, 128, 512))
    return replace(side, name=f"tinyjobs {handler}")


def aiosqlite() -> Side:
    """Return aiosqlite at FULL."""
    return Side("aiosqlite full", venvs.python_of("aiosqlite"), "bench.peers.aiosqlite_driver")
