"""Owns who is compared on PostgreSQL, and at which settings. What a side does is in its driver."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

from bench import venvs
from bench.served import OnNode, Own, Served

CONCURRENCIES = (10, 100)  # of ours: which of them is best is found by a short trial


@dataclass(frozen=True)
class ServerSide(Served):
    """A queue on a PostgreSQL database; `unfinished` counts the jobs that could run and are not done for good."""

    unfinished: LiteralString = ""


class OursOnServer(Own, ServerSide):
    """Millrace."""


class NodeSide(OnNode, ServerSide):
    """A queue on Node.js."""


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
