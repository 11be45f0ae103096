"""Owns who is compared on PostgreSQL, and at which settings. What a side does is in its driver."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

from bench import venvs
from bench.driver import Options
from bench.settings import BenchmarkError
from bench.sides import Side, millrace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bench.settings import Settings

PEERS = Path(__file__).with_name("peers")
CONCURRENCIES = (10, 100)  # of ours: which of them is best is found by a short trial


@dataclass(frozen=True)
class ServerSide(Side):
    """A queue on a PostgreSQL database.

    `unfinished` counts the jobs that could run and are not done for good; `jobs` bounds what a slow one is given.
    """

    unfinished: LiteralString = ""
    setting: str = ""
    jobs: int = sys.maxsize

    def at(self, url: str, *, count: int = 0, concurrency: int = 0, template: str = "", seconds: float = 0) -> Options:
        """Return the options for a run on a database, at its own concurrency unless one is named."""
        return Options(
            url,
            handler=self.handler,
            count=count,
            concurrency=concurrency or self.concurrencies[0],
            template=template,
            setting=self.setting,
            seconds=seconds,
        )


class OursOnServer(ServerSide):
    """Millrace: its worker is the one its users start."""

    def worker(self, options: Options) -> list[str]:
        """Return the product's own command line."""
        return millrace("worker", "bench.millrace_app:app", "--concurrency", str(options.concurrency))


class NodeSide(ServerSide):
    """A queue whose driver runs on Node.js; `module` is the driver's file."""

    def command(self, command: str, options: Options) -> list[str]:
        """Return the command line of its driver."""
        return [str(self.python), str(PEERS / self.module), *super().command(command, options)[3:]]

    def environment(self, options: Options, probe: Path | None = None) -> Mapping[str, str]:
        """Name the folder of the packages too."""
        return {**super().environment(options, probe), "NODE_PATH": str(venvs.node_modules())}


def ours(handler: str = "sync") -> ServerSide:
    """Return Millrace with this kind of handler."""
    # In the words of two partial indexes: a look at every row would last longer than what it watches.
    unfinished = """select count(*) from (select from millrace.job where state = 1
        union all select from millrace.job where state in (2, 3)) unfinished"""
    return OursOnServer(
        f"millrace {handler}",
        Path(sys.executable),
        "bench.millrace_driver",
        handler=handler,
        concurrencies=CONCURRENCIES,
        unfinished=unfinished,
    )


def pgqueuer() -> ServerSide:
    """Return pgqueuer with a batch of 500, the largest that made it faster."""
    unfinished = "select count(*) from pgqueuer where execute_after <= now()"
    return ServerSide(
        "pgqueuer",
        venvs.python_of("pgqueuer"),
        "bench.peers.pgqueuer_driver",
        handler="async",
        concurrencies=(500,),
        unfinished=unfinished,
    )


def procrastinate() -> ServerSide:
    """Return procrastinate, whose drain takes a minute for a few thousand jobs."""
    unfinished = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"
    return ServerSide(
        "procrastinate",
        venvs.python_of("procrastinate"),
        "bench.peers.procrastinate_driver",
        handler="async",
        concurrencies=(20,),
        unfinished=unfinished,
        jobs=3_000,
    )


def graphile(queue: int) -> ServerSide:
    """Return graphile-worker with a local queue of this size; 500 is its own performance page's."""
    return NodeSide(
        f"graphile-worker {queue}",
        venvs.node(),
        "graphile_driver.cjs",
        handler="async",
        concurrencies=(24,),
        unfinished="select count(*) from graphile_worker._private_jobs",
        setting=str(queue),
    )


def pgboss() -> ServerSide:
    """Return pg-boss with batches of 1,000 and an outcome for each job."""
    unfinished = "select count(*) from pgboss.job where name = 'noop' and state < 'completed'"
    return NodeSide(
        "pg-boss", venvs.node(), "pgboss_driver.cjs", handler="async", concurrencies=(1000,), unfinished=unfinished
    )


def available(settings: Settings, *sides: Callable[[], ServerSide]) -> list[ServerSide]:
    """Return the sides that this machine can run and that are asked for; what cannot be had is said."""
    found: list[ServerSide] = []
    for make in sides:
        try:
            side = make()
        except BenchmarkError as error:
            print(f"\nnot measured, since it cannot be installed here: {error}", flush=True)
            continue
        if settings.without.isdisjoint(side.name.split(" ")):
            found.append(side)
        else:
            print(f"\nleft out: {side.name}", flush=True)
    return found


def named(sides: Iterable[ServerSide]) -> dict[str, ServerSide]:
    """Return the sides by their names."""
    return {side.name: side for side in sides}
