"""Drives huey on SQLite. Its `fsync=True` is synchronous=FULL, `fsync=False` is synchronous=OFF."""

from huey import SqliteHuey

from bench.driver import main, put_each, put_paced
from bench.probe import note


def opened(options):
    app = SqliteHuey("bench", filename=options.file, fsync=options.synchronous == "full", timeout=30)
    return app, app.task(name="noop")(note)


def create(options):
    opened(options)


def fill(options):
    _, noop = opened(options)
    for number in range(options.count):
        noop(number)


def put(options):
    return put_each(opened(options)[1], options.count)


def paced(options):
    return put_paced(opened(options)[1], options)


def left(options):
    return {"left": opened(options)[0].pending_count()}


def work(options):
    """Run a consumer; all settings but the number of threads are huey's own defaults."""
    opened(options)[0].create_consumer(workers=options.concurrency, worker_type="thread").run()


if __name__ == "__main__":
    main({"create": create, "fill": fill, "put": put, "paced": paced, "left": left, "work": work})
