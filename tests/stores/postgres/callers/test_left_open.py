"""A handler that returns before its own transaction ends holds up nobody: that transaction has the last word."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from millrace import Backoff, JobState, Millrace, Worker, current_job
from millrace.conformance.bench import ANN
from millrace.job import JobRow
from millrace.messages import ClaimRequest
from millrace.outcome import Outcome
from millrace.store import OpenEnds
from tests.servers.databases import Database
from tests.stores.postgres.callers.test_enqueue import orders
from tests.stores.postgres.callers.ways import Psycopg
from tests.worker.waiting import eventually

ORDER = "insert into millrace_test.orders values ('book')"


@pytest.fixture
def connection(app: Millrace, postgres: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the handler's that outlives it."""
    assert app.depth() == 0
    with psycopg.connect(postgres.server) as connection:
        yield connection
        connection.rollback()


def lapse(app: Millrace) -> None:
    app.store.rescue(retention=None, dead_retention=None, now=app.store.now() + 3_600_000_000)


@pytest.mark.parametrize("commits", [True, False])
def test_the_worker_goes_on_and_the_open_transaction_decides(
    app: Millrace,
    postgres: Database,
    connection: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
    *,
    commits: bool,
) -> None:
    @app.task
    def leave() -> None:
        if current_job().job.claim == 1:
            connection.execute(ORDER)
            current_job().complete("own", connection=connection)

    echo = app.task(name="echo")(lambda number: number)
    job = leave.enqueue()
    with caplog.at_level(logging.WARNING, "millrace.worker"), Worker(app, concurrency=2) as worker:
        eventually(lambda: worker.summary.lost == 1)
        others = [echo.enqueue(number) for number in range(20)]
        assert list(range(20)) == [app.result(other, timeout=20) for other in others]
        lapse(app)
        assert job.refresh().state == "running"
        if commits:
            connection.commit()
        else:
            connection.rollback()
            lapse(app)
        ended = job.wait(20)

    assert (ended.state, ended.result, orders(postgres)) == ("completed", *(("own", 1) if commits else (None, 0)))
    assert ended.crashes == (0 if commits else 1)
    assert ["is still open, though its handler has ended" in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("ending", ["returns", "raises"])
def test_a_worker_tries_again_what_was_rolled_back(app: Millrace, postgres: Database, ending: str) -> None:
    @app.task(retry=Backoff.fixed(0))
    def work() -> None:
        with psycopg.connect(postgres.server) as connection:
            connection.execute(ORDER)
            current_job().complete("own", connection=connection)
            if current_job().attempt == 1:
                connection.rollback()
                if ending == "raises":
                    raise ValueError("after all")

    job = work.enqueue()
    worker = Worker(app, burst=True)
    worker.run()

    told = job.refresh()
    assert (told.state, told.result, told.attempt, orders(postgres)) == ("completed", "own", 2, 1)
    assert worker.summary.lost == 0
    first, second = app.attempts(job)
    assert ((first.error or "").split(":")[0], second.error) == (
        "Uncommitted" if ending == "returns" else "ValueError",
        None,
    )


def test_a_handler_that_raises_after_its_commit_is_told_and_counted_as_completed(
    app: Millrace, postgres: Database, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task
    def work() -> None:
        with psycopg.connect(postgres.server) as connection:
            connection.execute(ORDER)
            current_job().complete("own", connection=connection)
        raise ValueError("too late")

    assert app.depth() == 0
    job = work.enqueue()
    worker = Worker(app, burst=True)
    worker.run()

    told = job.refresh()
    assert (told.state, told.result, told.attempt, orders(postgres)) == ("completed", "own", 1, 1)
    assert (worker.summary.outcomes, worker.summary.lost) == ({"completed": 1}, 0)
    (warning,) = (record for record in caplog.records if record.name == "millrace.worker")
    assert warning.levelname == "WARNING"
    assert warning.getMessage().endswith(
        "completed in its own transaction; that its handler raised afterwards changes nothing: ValueError: too late"
    )


def test_the_store_tells_written_lost_and_open_apart(app: Millrace, postgres: Database) -> None:
    assert isinstance(app.store, OpenEnds)
    store: Any = app.store
    task = app.task(name="add")(lambda a: a)
    app.enqueue_many([task.job(number) for number in range(3)])
    rows: list[JobRow] = list(store.step(ANN, (), (ClaimRequest(3),)).claimed)
    written, lost, held = [Outcome.completed(row, b"1", retention=None) for row in rows]
    store.step(ANN, (lost,), ())
    way = Psycopg(postgres.server)
    store.finish_on(way.connection, ANN, held)

    assert [store.finish_unless_open(ANN, each) for each in (written, lost, held)] == [True, False, None]
    way.rollback()
    assert store.finish_unless_open(ANN, held) is True
    way.close()
    assert app.counts()[JobState.COMPLETED] == 3
