"""Metrics and traces on PostgreSQL and Redis, as on the stores of one process: with a worker, over a retry."""

from __future__ import annotations

import asyncio

from millrace import Backoff, Millrace, Worker
from millrace.contrib.opentelemetry import instrument
from millrace.measuring import Measured
from millrace.metrics.families import ATTEMPTS, DEPTH, ENQUEUED, STORE_SECONDS, STORE_UP
from tests.contrib.test_opentelemetry import Spans, belongs
from tests.servers.databases import Database
from tests.servers.redisspaces import RedisSpace
from tests.worker.waiting import PATIENCE


def test_jobs_are_counted_and_traced_on_postgresql(postgres: Database) -> None:
    with Millrace(postgres.url()) as app:
        check(app)


def test_jobs_are_counted_and_traced_on_redis(main_redis: RedisSpace) -> None:
    with Millrace(main_redis.url()) as app:
        check(app)


def check(app: Millrace) -> None:
    spans, measured = Spans(), Measured(app)
    instrument(app, spans.provider)

    @app.task(name="flaky", max_attempts=2, retry=Backoff.fixed(0), lease=20)
    def flaky(fails: bool) -> None:  # noqa: FBT001
        if fails:
            raise OSError("not yet")

    async def of_a_loop() -> None:
        await flaky.aenqueue(fails=False)

    flaky.using(lease=9).enqueue(fails=True)
    asyncio.run(of_a_loop())
    app.enqueue_many([flaky.job(fails=False) for _ in range(3)])
    assert measured.read().value(DEPTH, "default") == 5
    with Worker(app):
        for job in app.iter():
            job.wait(PATIENCE)

    readings = measured.own()
    ended = {labels[2]: number for labels, number in readings.of(ATTEMPTS)}
    assert ended == {"completed": 4, "failed": 1, "dead": 1}
    assert readings.value(ENQUEUED, "flaky", "default") == 5
    assert sum(readings.spread(STORE_SECONDS, ("step",)).counts) > 0
    assert measured.backlog().value(STORE_UP) == 1

    one, of_loop, many = spans.producers
    assert [sum(belongs(span, each) for span in spans.consumers) for each in (one, of_loop, many)] == [2, 1, 3]


def test_jobs_written_in_a_callers_transaction_are_counted_and_traced(postgres: Database) -> None:
    import psycopg

    url = postgres.url()
    spans = Spans()
    with Millrace(url) as app:
        measured = Measured(app)
        instrument(app, spans.provider)
        ping = app.task(name="ping")(lambda: None)
        app.depth()
        with psycopg.connect(url.partition("?")[0]) as connection:
            ping.using(connection=connection).enqueue()
            app.enqueue_many([ping.job()], connection=connection)

        async def awaited() -> None:
            async with await psycopg.AsyncConnection.connect(url.partition("?")[0]) as connection:
                await ping.using(connection=connection).aenqueue()

        asyncio.run(awaited())
        app.drain()

        assert measured.own().value(ENQUEUED, "ping", "default") == 3
        assert measured.own().value(ATTEMPTS, "ping", "default", "completed") == 3
    assert all(belongs(attempt, made) for attempt, made in zip(spans.consumers, spans.producers, strict=True))
