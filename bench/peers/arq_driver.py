"""Drives arq on Redis, which polls twice a second unless it finds work, and takes five times its concurrency a look."""

import asyncio
import logging

from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker

from bench.driver import from_lanes, main, put_from_lanes
from bench.probe import note


async def noop(_, number):
    note(number)


def with_pool(options, use):
    async def run():
        pool = await create_pool(RedisSettings.from_dsn(options.file))
        try:
            return await use(lambda number: pool.enqueue_job("noop", number))
        finally:
            await pool.aclose()

    return asyncio.run(run())


def fill(options):
    """Store the jobs from many tasks, since it has no bulk call."""
    with_pool(options, lambda put: from_lanes(put, options.count, options.lanes))


def put_async(options):
    return with_pool(options, lambda put: put_from_lanes(put, options.count, options.lanes))


def work(options):
    """Run a worker that keeps no results; all other settings but its concurrency are its own defaults."""

    async def run():
        settings = RedisSettings.from_dsn(options.file)
        worker = Worker([func(noop, name="noop")], redis_settings=settings, max_jobs=options.concurrency, keep_result=0)
        await worker.async_run()

    asyncio.run(run())


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    main({"fill": fill, "put_async": put_async, "work": work})
