"""Drives tinyjobs on SQLite, which runs at synchronous=NORMAL only, and on Redis, where the file is a URL."""

import asyncio
import logging

from tinyjobs import TinyJobs
from tinyjobs.options import EnqueueOptions

from bench.driver import main
from bench.probe import note

CHUNK = 1000


async def note_async(number):
    note(number)


def opened(options):
    app = TinyJobs(options.file if "://" in options.file else f"sqlite:///{options.file}")
    handler = note_async if options.handler == "async" else note
    return app, app.task(name="noop", max_attempts=3)(handler)


def fill(options):
    """Store the jobs through its backend's bulk call, since the app has none."""

    async def store():
        app, noop = opened(options)
        await app.ready()
        for first in range(0, options.count, CHUNK):
            numbers = range(first, min(first + CHUNK, options.count))
            jobs = [app.dispatch.prepare("noop", noop.bind((number,), {}), EnqueueOptions()) for number in numbers]
            await app.backend.enqueue_many(jobs)
        await app.aclose()

    asyncio.run(store())


def work(options):
    """Run a worker; all settings but its concurrency are tinyjobs' own defaults."""
    app, _ = opened(options)
    app.worker(concurrency=options.concurrency).run()


def left(options):
    async def count():
        app, _ = opened(options)
        await app.ready()
        counts = await app.acounts()
        await app.aclose()
        return sum(number for state, number in counts.items() if str(state) in {"queued", "running"})

    return {"left": asyncio.run(count())}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main({"fill": fill, "left": left, "work": work})
