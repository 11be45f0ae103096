"""Drives SAQ on Redis."""

import asyncio
import logging

from saq import Queue, Worker

from bench.driver import from_lanes, main, put_from_lanes
from bench.probe import note


async def noop(_, *, number):
    note(number)


def with_queue(options, use):
    async def run():
        queue = Queue.from_url(options.file)
        await queue.connect()
        try:
            return await use(lambda number: queue.enqueue("noop", number=number))
        finally:
            await queue.disconnect()

    return asyncio.run(run())


def fill(options):
    """Store the jobs from many tasks, since it has no bulk call."""
    with_queue(options, lambda put: from_lanes(put, options.count, options.lanes))


def put_async(options):
    return with_queue(options, lambda put: put_from_lanes(put, options.count, options.lanes))


def work(options):
    """Run a worker; all settings but its concurrency are its own defaults."""

    async def run():
        queue = Queue.from_url(options.file)
        await queue.connect()
        await Worker(queue, [noop], concurrency=options.concurrency).start()

    asyncio.run(run())


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    main({"fill": fill, "put_async": put_async, "work": work})
