"""Drives huey on Redis, whose consumer waits in a blocking pop."""

from huey import RedisHuey

from bench.driver import main, put_paced
from bench.probe import note

CHUNK = 5_000


def opened(options):
    app = RedisHuey("bench", url=options.file)
    return app, app.task(name="noop")(note)


def create(options):
    opened(options)


def fill(options):
    """Store the jobs by a pipeline of the command that its own enqueue sends, since it has no bulk call."""
    app, noop = opened(options)
    for first in range(0, options.count, CHUNK):
        with app.storage.conn.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + CHUNK, options.count)):
                pipeline.lpush(app.storage.queue_key, app.serialize_task(noop.s(number)))
            pipeline.execute()


def paced(options):
    return put_paced(opened(options)[1], options)


def work(options):
    """Run a consumer; all settings but the number of threads are huey's own defaults."""
    opened(options)[0].create_consumer(workers=options.concurrency, worker_type="thread").run()


if __name__ == "__main__":
    main({each.__name__: each for each in (create, fill, paced, work)})
