"""`current_job().complete(connection=)`: effects and completion commit together, or not at all."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millrace import (
    Backoff,
    ConfigurationError,
    LeaseLost,
    Millrace,
    NotSupported,
    PayloadError,
    Snooze,
    Worker,
    current_job,
)
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, await_event, eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def own(path: Path) -> Iterator[Millrace]:
    """An app on a file that holds a table of the user's own."""
    with Millrace(f"sqlite:///{path}?synchronous=normal") as app:
        app.migrate()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE effects(n)")
            connection.commit()
        yield app


def effects(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM effects")
    return int(count)


def begin(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO effects VALUES (1)")
    return connection


@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize("drained", [False, True])
def test_effects_and_completion_commit_together(own: Millrace, path: Path, *, on_loop: bool, drained: bool) -> None:
    def work() -> str:
        with closing(begin(path)) as connection:
            current_job().complete({"n": 1}, connection=connection)
            connection.execute("COMMIT")
        return "not stored"

    async def work_on_loop() -> str:
        await asyncio.sleep(0)
        return work()

    job = own.task(name="work")(work_on_loop if on_loop else work).enqueue()
    if drained:
        assert own.drain() == {"completed": 1}
    else:
        worker = Worker(own, burst=True)
        worker.run()
        assert (worker.summary.lost, worker.summary.attempts) == (0, 1)

    assert (job.refresh().state, job.refresh().result, effects(path)) == ("completed", {"n": 1}, 1)


def test_what_is_rolled_back_is_a_failed_attempt(own: Millrace, path: Path) -> None:
    @own.task(max_attempts=1)
    def forget() -> None:
        with closing(begin(path)) as connection:
            current_job().complete(connection=connection)
            connection.execute("ROLLBACK")

    job = forget.enqueue()
    own.drain()

    job = job.refresh()
    assert (job.state, effects(path)) == ("dead", 0)
    assert job.error is not None
    assert job.error.startswith("Uncommitted: complete(connection=…) was called")


def test_an_error_after_the_rollback_is_the_attempts_error_and_it_is_tried_again(own: Millrace, path: Path) -> None:
    @own.task(retry=Backoff.fixed(0))
    def fail_once() -> None:
        with closing(begin(path)) as connection:
            current_job().complete("done", connection=connection)
            if current_job().attempt == 1:
                connection.execute("ROLLBACK")
                raise ValueError("after all")
            connection.execute("COMMIT")

    job = fail_once.enqueue()

    assert own.drain() == {"completed": 1}
    assert (job.refresh().result, effects(path)) == ("done", 1)
    assert [each.error for each in own.attempts(job)] == ["ValueError: after all", None]


def test_an_error_after_the_commit_changes_nothing(own: Millrace, path: Path) -> None:
    @own.task(max_attempts=1)
    def fail_late() -> None:
        with closing(begin(path)) as connection:
            current_job().complete("done", connection=connection)
            connection.execute("COMMIT")
        raise ValueError("too late")

    job = fail_late.enqueue()

    assert own.drain() == {"completed": 1}
    assert (job.refresh().state, job.refresh().result, effects(path)) == ("completed", "done", 1)


@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize("drained", [False, True])
def test_a_handler_that_raises_after_its_commit_is_told_and_counted_as_completed(
    own: Millrace, path: Path, caplog: pytest.LogCaptureFixture, *, on_loop: bool, drained: bool
) -> None:
    def fail_late() -> None:
        with closing(begin(path)) as connection:
            current_job().complete("done", connection=connection)
            connection.execute("COMMIT")
        raise ValueError("too late")

    async def fail_late_on_loop() -> None:
        await asyncio.sleep(0)
        fail_late()

    job = own.task(name="late")(fail_late_on_loop if on_loop else fail_late).enqueue()
    with caplog.at_level(logging.DEBUG, "millrace.worker"):
        if drained:
            own.drain()
        else:
            worker = Worker(own, burst=True)
            worker.run()
            assert (worker.summary.outcomes, worker.summary.lost) == ({"completed": 1}, 0)

    assert [("WARNING", "completed")] == ends(caplog)
    (told,) = (record for record in caplog.records if hasattr(record, "event"))
    assert told.getMessage() == (
        f"late {job.id} (queue default, try 1 of 5) completed in its own transaction; that its handler raised "
        "afterwards changes nothing: ValueError: too late"
    )
    assert told.exc_info is not None
    assert told.exc_info[0] is ValueError


def test_what_ends_in_its_own_transaction_is_told_once_as_it_ended(
    own: Millrace, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @own.task(retry=Backoff.fixed(0))
    def work(ending: str) -> None:
        with closing(begin(path)) as connection:
            current_job().complete("done", connection=connection)
            if current_job().attempt == 1 and ending != "well":
                connection.execute("ROLLBACK")
                if ending == "raising":
                    raise ValueError("after all")
                return
            connection.execute("COMMIT")

    for ending, expected in (
        ("well", [("DEBUG", "completed")]),
        ("returning", [("WARNING", "failed"), ("DEBUG", "completed")]),
        ("raising", [("WARNING", "failed"), ("DEBUG", "completed")]),
    ):
        caplog.clear()
        work.enqueue(ending)
        with caplog.at_level(logging.DEBUG, "millrace.worker"):
            Worker(own, burst=True).run()
        assert ends(caplog) == expected, ending


def test_what_a_handler_asks_for_after_its_commit_changes_nothing(
    own: Millrace, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @own.task
    def work() -> None:
        with closing(begin(path)) as connection:
            current_job().complete("done", connection=connection)
            connection.execute("COMMIT")
        raise Snooze(60)

    job = work.enqueue()
    assert own.drain() == {"completed": 1}

    assert job.refresh().state == "completed"
    assert "what came afterwards changes nothing: snoozed" in caplog.text


def test_progress_that_is_written_after_the_commit_takes_nothing_from_it(
    own: Millrace, path: Path, hire: Hire, caplog: pytest.LogCaptureFixture
) -> None:
    """It finds the claim ended, by the handler itself and not by another's hand."""

    @own.task
    def work() -> None:
        current_job().progress(0.5)
        current_job().progress(1.0)  # within a tenth of a second of the first: it waits
        with closing(begin(path)) as connection:
            current_job().complete("done", connection=connection)
            connection.execute("COMMIT")
        floor.notes.flush()

    worker = hire(own, concurrency=1)
    floor: Any = worker._shift.floor  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess, reportPrivateUsage]
    job = work.enqueue()
    eventually(lambda: worker.summary.attempts + worker.summary.lost == 1)

    assert (worker.summary.outcomes, worker.summary.lost) == ({"completed": 1}, 0)
    assert job.refresh().result == "done"
    assert "is told to stop" not in caplog.text


def ends(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the ends of attempts that were told: level and event."""
    return [(record.levelname, str(vars(record)["event"])) for record in caplog.records if "event" in vars(record)]


def test_a_lost_lease_is_raised_so_that_the_handler_rolls_back(own: Millrace, path: Path, hire: Hire) -> None:
    began, stolen = threading.Event(), threading.Event()

    @own.task
    def work() -> None:
        began.set()
        assert stolen.wait(PATIENCE)
        with closing(begin(path)) as connection:
            try:
                current_job().complete("mine", connection=connection)
            except LeaseLost:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    worker = hire(own, concurrency=1)
    job = work.enqueue()
    await_event(began)
    own.store.rescue(retention=None, dead_retention=None, now=own.store.now() + 3_600_000_000)
    (taken,) = own.claim()
    own.complete(taken, "another's")
    stolen.set()

    assert worker.notices.lost.wait()
    assert (job.refresh().result, effects(path)) == ("another's", 0)


def test_a_result_that_cannot_be_stored_is_refused_at_the_call(own: Millrace, path: Path) -> None:
    @own.task(max_attempts=1)
    def work() -> str:
        with closing(begin(path)) as connection:
            with pytest.raises(PayloadError):
                current_job().complete(object(), connection=connection)
            connection.execute("ROLLBACK")
        return "returned"

    job = work.enqueue()
    own.drain()

    assert job.refresh().result == "returned"


def test_a_closed_connection_is_refused_at_the_call(own: Millrace, path: Path) -> None:
    @own.task(max_attempts=1)
    def work() -> str:
        connection = sqlite3.connect(path)
        connection.close()
        with pytest.raises(ConfigurationError, match="give one that is open and of this thread") as told:
            current_job().complete(connection=connection)
        assert "test_own_transaction.py" in str(told.traceback[0].path)
        return "returned"

    job = work.enqueue()
    own.drain()

    assert job.refresh().result == "returned"


@pytest.mark.parametrize("drained", [False, True])
def test_an_awaited_completion_of_a_connection_that_needs_no_waiting_is_done_already(
    own: Millrace, path: Path, *, drained: bool
) -> None:
    @own.task
    async def work() -> None:
        with closing(begin(path)) as connection:
            await current_job().complete({"n": 1}, connection=connection)
            connection.execute("COMMIT")

    job = work.enqueue()
    if drained:
        own.drain()
    else:
        Worker(own, burst=True).run()

    assert (job.refresh().state, job.refresh().result, effects(path)) == ("completed", {"n": 1}, 1)


def test_an_asynchronous_connection_to_something_else_is_refused(own: Millrace) -> None:
    pool = type("Connection", (), {"__module__": "asyncpg"})()

    @own.task(max_attempts=1)
    async def work() -> str:
        with pytest.raises(NotSupported, match="give one of aiosqlite"):
            await current_job().complete(connection=pool)
        return "returned"

    job = work.enqueue()
    own.drain()

    assert job.refresh().result == "returned"


def test_a_store_without_transactions_says_what_to_do_instead(memory_app: Millrace) -> None:
    connection: Any = object()

    @memory_app.task
    def work() -> None:
        with pytest.raises(NotSupported, match="return the result"):
            current_job().complete(connection=connection)

    work.enqueue()

    assert memory_app.drain() == {"completed": 1}
