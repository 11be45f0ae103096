"""Owns the bytes that PostgreSQL logs for one kept job in steady flow, from its enqueue to completed.

About 100 bytes of arguments, a small result, enqueued by 50 at a time at a pace that the worker keeps up with. All
that the server logs in that time counts: claims, finishes, beats, commits, and what vacuum does meanwhile.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.emptying import Watch
from bench.processes import working
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_most
from bench.served import available
from bench.server import one, server, wal_bytes
from bench.serversides import ours

if TYPE_CHECKING:
    from bench.serversides import ServerSide
    from bench.settings import Settings

MINE, BYTES = "millrace sync", "logged bytes"
SETTLE_SECONDS = 30.0
CONCURRENCY = 10


def run(settings: Settings) -> list[Row]:
    """Let jobs flow each round."""
    samples = interleave(settings, {side.name: partial(flow, settings, side) for side in available(settings, ours)})
    return [row(samples, "log written for a kept job, PostgreSQL", ours=MINE, figure=BYTES, target=at_most(1500))]


def flow(settings: Settings, side: ServerSide) -> Sample:
    """Let jobs flow until the pages are warm, then count the bytes of as many more."""
    count = settings.count(20_000, 4_000)
    options = side.at(server().fresh(), count=count, concurrency=CONCURRENCY)
    side.ask("create", options)
    log = settings.folder("flow") / "worker.log"
    with server().connect() as connection, working(side.worker(options), side.environment(options), log) as worker:
        watch = Watch(side.name, [worker], [log])

        def flown() -> int:
            side.ask("flow", options)
            watch.until(lambda: not one(connection, side.unfinished), "all jobs to finish", SETTLE_SECONDS)
            return wal_bytes(connection)

        connection.execute("checkpoint")
        before = flown()
        return {BYTES: (flown() - before) / count}
