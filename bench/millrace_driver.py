"""Drives Millrace: what a producer's process does. The worker is the product's own command."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from bench.driver import Answer, Options, main, put_each, put_from_lanes, put_paced
from bench.probe import reporting
from bench.rows import job_rows
from bench.serverrows import copied, unnested
from bench.sides import store_url

if TYPE_CHECKING:
    from millrace import Millrace, Task

CHUNK = 20_000
HIGH_PRIORITY = 100
DAY_SECONDS = 86_400.0
KEEPING_GRACE_SECONDS = 60.0  # it is stopped before; this ends it where its starter has died
WAITING_JOBS = 6_000
WAITING_CHUNK = 2_000
LOOK_SECONDS = 0.02
FLOW_CHUNK = 50
FLOW_SECONDS = 0.02
FLOW_TEXT = "about a hundred bytes of arguments, as a mail with its address and its subject has them"


def opened(options: Options) -> tuple[Millrace, Task[[int], None]]:
    """Import the app on the store that the options name; returns it with the no-op task of their kind."""
    os.environ["MILLRACE_URL"] = store_url(options.file, options.synchronous)
    from bench import millrace_app

    return millrace_app.app, millrace_app.noop_async if options.handler == "async" else millrace_app.noop


def create(options: Options) -> None:
    """Create the store with its schema and nothing in it."""
    app, _ = opened(options)
    app.migrate()
    app.close()


def fill(options: Options) -> None:
    """Store the jobs in bulk."""
    app, task = opened(options)
    store_in_chunks(app, task, options.count)
    app.close()


def fill_finished(options: Options) -> None:
    """Store the jobs and run them all."""
    app, _ = opened(options)
    from bench.millrace_app import silent

    store_in_chunks(app, silent, options.count)
    app.drain()
    app.close()


def fill_delayed(options: Options) -> None:
    """Store the jobs a day ahead, at a priority above all others."""
    app, task = opened(options)
    store_in_chunks(app, task.using(priority=HIGH_PRIORITY, delay=DAY_SECONDS), options.count)
    app.close()


def store_in_chunks(app: Millrace, task: Task[[int], None], count: int) -> None:
    """Store many jobs without holding them all in memory."""
    for first in range(0, count, CHUNK):
        app.enqueue_many([task.job(number) for number in range(first, min(first + CHUNK, count))])


def put(options: Options) -> Answer:
    """Enqueue one at a time."""
    app, task = opened(options)
    answer = put_each(task.enqueue, options.count)
    app.close()
    return answer


def put_async(options: Options) -> Answer:
    """Enqueue from many tasks of one event loop."""
    app, task = opened(options)
    answer = asyncio.run(put_from_lanes(task.aenqueue, options.count, options.lanes))
    app.close()
    return answer


def put_many(options: Options) -> Answer:
    """Enqueue all in one call, the building of the jobs included, into a store that exists."""
    app, task = opened(options)
    task.enqueue(0)
    started = time.perf_counter()
    app.enqueue_many([task.job(number) for number in range(options.count)])
    elapsed = time.perf_counter() - started
    app.close()
    return {"rate": options.count / elapsed}


def put_bare(options: Options) -> Answer:
    """Insert the template's rows into an empty store by one `executemany` in one transaction, without Millrace."""
    rows, insert = job_rows(options.template)
    with closing(sqlite3.connect(options.file, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA synchronous={options.synchronous}")
        connection.execute(insert, rows.pop())
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
        connection.execute("COMMIT")
        elapsed = time.perf_counter() - started
    return {"rate": len(rows) / elapsed}


def paced(options: Options) -> Answer:
    """Enqueue at a steady pace."""
    app, task = opened(options)
    answer = put_paced(task.enqueue, options)
    app.close()
    return answer


def hold(options: Options) -> None:
    """Store the jobs that a worker holds until it is killed."""
    opened(options)
    from bench.millrace_app import app, held

    app.enqueue_many([held.job(number) for number in range(options.count)])
    app.close()


def put_copy(options: Options) -> Answer:
    """Insert the template's rows into an empty database by one COPY, without Millrace."""
    return copied(options.template, options.file)


def put_unnest(options: Options) -> Answer:
    """Insert the template's rows into an empty database by one INSERT from arrays, without Millrace."""
    return unnested(options.template, options.file)


def keep_waiting(options: Options) -> None:
    """Keep a few thousand jobs waiting until told to stop; `options.count` numbers come around again.

    What has ended is read from the probe: to ask the server would be a load that grows with its history.
    """
    app, task = opened(options)
    probe = reporting()
    put = 0
    ends = time.monotonic() + options.seconds + KEEPING_GRACE_SECONDS
    while time.monotonic() < ends:
        if put - sum(probe.ends) < WAITING_JOBS:
            app.enqueue_many([task.job(number % options.count) for number in range(put, put + WAITING_CHUNK)])
            put += WAITING_CHUNK
        else:
            time.sleep(LOOK_SECONDS)


def flow(options: Options) -> None:
    """Enqueue small calls a few dozen at a time, at a pace that a worker keeps up with."""
    opened(options)
    from bench.millrace_app import app, small

    due = time.monotonic()
    for first in range(0, options.count, FLOW_CHUNK):
        due += FLOW_SECONDS
        app.enqueue_many([small.job(number, FLOW_TEXT) for number in range(first, first + FLOW_CHUNK)])
        time.sleep(max(0.0, due - time.monotonic()))
    app.close()


COMMANDS = {
    "create": create,
    "fill": fill,
    "fill_waiting": fill,
    "fill_finished": fill_finished,
    "fill_delayed": fill_delayed,
    "put": put,
    "put_async": put_async,
    "put_many": put_many,
    "put_bare": put_bare,
    "put_copy": put_copy,
    "put_unnest": put_unnest,
    "keep_waiting": keep_waiting,
    "flow": flow,
    "paced": paced,
    "hold": hold,
}

if __name__ == "__main__":
    main(COMMANDS)
