"""Drives dramatiq on Redis, in one process with threads."""

import logging
import signal
import threading

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.driver import main
from bench.probe import note


def opened(options):
    broker = RedisBroker(url=options.file)
    dramatiq.set_broker(broker)
    return broker, dramatiq.actor(actor_name="noop")(note)


def fill(options):
    """Store the jobs one at a time, since it has no bulk call."""
    _, noop = opened(options)
    for number in range(options.count):
        noop.send(number)


def work(options):
    """Run a worker; all settings but the number of threads are its own defaults."""
    broker, _ = opened(options)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = dramatiq.Worker(broker, worker_threads=options.concurrency)
    worker.start()
    stop.wait()
    worker.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    main({"fill": fill, "work": work})
