"""Drives pgqueuer on PostgreSQL. It has async handlers only (sync ones go to threads), and one batch size for all."""

import asyncio
import json
import logging
import signal
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from bench.driver import main, put_from_lanes, put_in_bulk, put_paced_async
from bench.probe import note

CHUNK = 20_000
CONNECTIONS = 10


async def create_schema(url):
    connection = await asyncpg.connect(url)
    if await connection.fetchval("select to_regclass('pgqueuer')") is None:
        await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


@asynccontextmanager
async def opened(options, connections=1):
    async with asyncpg.create_pool(options.file, min_size=1, max_size=connections) as pool:
        yield Queries(AsyncpgPoolDriver(pool))


def payload(number):
    return json.dumps({"number": number}).encode()


async def put_many_of(queries, first, last):
    size = last - first
    await queries.enqueue(["noop"] * size, [payload(number) for number in range(first, last)], [0] * size)


def create(options):
    uvloop.run(create_schema(options.file))


def fill(options):
    async def run():
        await create_schema(options.file)
        async with opened(options) as queries:
            for first in range(0, options.count, CHUNK):
                await put_many_of(queries, first, min(first + CHUNK, options.count))

    uvloop.run(run())


def fill_delayed(options):
    """Store jobs that are due in a day, through its own bulk call."""

    async def run():
        await create_schema(options.file)
        async with opened(options) as queries:
            for first in range(0, options.count, CHUNK):
                size = min(CHUNK, options.count - first)
                delays = [timedelta(days=1)] * size
                await queries.enqueue(["noop"] * size, [payload(0)] * size, [0] * size, delays)

    uvloop.run(run())


def put_async(options):
    async def run():
        async with opened(options, CONNECTIONS) as queries:

            async def put(number):
                await queries.enqueue("noop", payload(number), 0)

            return await put_from_lanes(put, options.count, options.lanes)

    return uvloop.run(run())


def put_many(options):
    async def run():
        async with opened(options) as queries:
            await put_many_of(queries, 0, 1)
            return await put_in_bulk(lambda: put_many_of(queries, 0, options.count), options.count)

    return uvloop.run(run())


def paced(options):
    async def run():
        async with opened(options) as queries:

            async def put(number):
                await queries.enqueue("noop", payload(number), 0)

            return await put_paced_async(put, options)

    return uvloop.run(run())


def work(options):
    """Run a worker on one connection; the batch is the concurrency, all else its defaults."""

    async def run():
        manager = QueueManager(Queries(AsyncpgDriver(await asyncpg.connect(options.file))))

        @manager.entrypoint("noop")
        async def noop(job):
            note(json.loads(job.payload)["number"])

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, manager.shutdown.set)
        await manager.run(batch_size=options.concurrency, dequeue_timeout=timedelta(seconds=30))

    uvloop.run(run())


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    main({each.__name__: each for each in (create, fill, fill_delayed, put_async, put_many, paced, work)})
