"""Drives procrastinate on PostgreSQL through psycopg."""

import logging
from contextlib import asynccontextmanager

import procrastinate
import uvloop

from bench.driver import main, put_from_lanes
from bench.probe import note

CHUNK = 5_000
CONNECTIONS = 10
WORKER_CONNECTIONS = 22


@asynccontextmanager
async def opened(options, connections=2):
    connector = procrastinate.PsycopgConnector(conninfo=options.file, min_size=1, max_size=connections)
    app = procrastinate.App(connector=connector)

    @app.task(name="noop")
    async def noop(number):
        note(number)

    async with app.open_async():
        yield app, noop


def create(options):
    async def run():
        async with opened(options) as (app, _):
            await app.schema_manager.apply_schema_async()

    uvloop.run(run())


def fill(options):
    async def run():
        async with opened(options) as (app, noop):
            await app.schema_manager.apply_schema_async()
            for first in range(0, options.count, CHUNK):
                numbers = range(first, min(first + CHUNK, options.count))
                await noop.batch_defer_async(*({"number": number} for number in numbers))

    uvloop.run(run())


def put_async(options):
    async def run():
        async with opened(options, CONNECTIONS) as (_, noop):

            async def put(number):
                await noop.defer_async(number=number)

            return await put_from_lanes(put, options.count, options.lanes)

    return uvloop.run(run())


def work(options):
    """Run a worker; all settings but its concurrency are its own defaults."""

    async def run():
        async with opened(options, WORKER_CONNECTIONS) as (app, _):
            await app.run_worker_async(concurrency=options.concurrency)

    uvloop.run(run())


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    main({each.__name__: each for each in (create, fill, put_async, work)})
