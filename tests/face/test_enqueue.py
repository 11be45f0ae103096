from __future__ import annotations

import asyncio
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from millrace import ConfigurationError, Millrace, NewJob, NotSupported, PayloadError, StoreUnavailable, current_job
from millrace.ids import new_id
from millrace.messages import NewRow
from millrace.store import Store
from tests.face.stores import Staged


@pytest.fixture
def app() -> Iterator[Millrace]:
    with Millrace("memory://") as app:
        yield app


def add(a: int, b: int = 1) -> int:
    return a + b


def test_a_new_job_has_what_it_was_given_and_the_rest_from_its_task(app: Millrace) -> None:
    app.task(name="add", queue="sums", priority=3)(add)

    job = app.enqueue(NewJob("add", {"a": 1}, priority=5, tags=["x"]))

    assert (job.queue, job.priority, job.tags, job.args) == ("sums", 5, ("x",), {"a": 1})


def test_a_new_job_may_name_the_task_itself(app: Millrace) -> None:
    task = app.task(name="add")(add)

    assert app.enqueue(NewJob(task, {"a": 1})).task == "add"


def test_a_new_job_made_by_a_task_keeps_what_using_chose(app: Millrace) -> None:
    new = app.task(name="add")(add).using(priority=5, delay=60).job(1, b=2)

    assert (new.task, new.args, new.id, new.options) == ("add", {"a": 1, "b": 2}, None, {"priority": 5, "delay": 60})
    assert repr(new) == "NewJob('add', {'a': 1, 'b': 2}, priority=5, delay=60)"
    assert app.enqueue(new).state == "scheduled"


def test_new_jobs_that_say_the_same_are_equal(app: Millrace) -> None:
    task = app.task(name="add")(add)

    assert task.job(1) == NewJob("add", {"a": 1})
    assert task.job(1) != task.job(2)
    assert task.job(1) != "add"


def test_one_new_job_enqueued_twice_is_two_jobs_but_one_where_it_has_an_id(app: Millrace) -> None:
    new = app.task(name="add")(add).job(1)
    named = NewJob("add", {"a": 1}, id=uuid4())

    assert app.enqueue(new).id != app.enqueue(new).id
    first, again = app.enqueue(named), asyncio.run(app.aio.enqueue(named))
    assert first.id == again.id == named.id
    assert not again.duplicate
    assert app.depth() == 3


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (("",), {}, "task '' has 0 bytes"),
        ((3,), {}, "task must be text"),
        (("add", [1]), {}, r"args \[1\] is not a mapping"),
        (("add",), {"id": "7"}, "'7' is not a job id"),
        (("add",), {"colour": 1}, r"NewJob\(\) has no option 'colour'"),
        (("add",), {"delay": -1}, "delay -1 is negative"),
    ],
)
def test_a_new_job_that_is_not_acceptable_is_refused_where_it_is_made(
    args: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NewJob(*args, **options)


def test_arguments_of_a_known_task_are_checked_when_the_job_is_enqueued(app: Millrace) -> None:
    app.task(name="add")(add)

    for args in ({}, {"a": "one"}, {"a": 1, "c": 2}):
        with pytest.raises(PayloadError, match="add"):
            app.enqueue(NewJob("add", args))
    assert app.depth() == 0


def test_an_unknown_task_is_taken_and_told_once(app: Millrace) -> None:
    with pytest.warns(UserWarning, match="this app has no task 'elsewhere'; the job is stored") as told:
        jobs = app.enqueue_many([NewJob("elsewhere", {"x": 1}), NewJob("elsewhere")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.enqueue(NewJob("elsewhere"))

    assert len(told) == 1
    assert told[0].filename == __file__
    assert (jobs[0].queue, jobs[0].max_attempts, jobs[0].args) == ("default", 5, {"x": 1})


def test_only_new_jobs_are_enqueued(app: Millrace) -> None:
    anything: Any = app

    for wrong in ("add", app.task(name="add")(add)):
        with pytest.raises(ConfigurationError, match=r"is not a NewJob; make one with task\.job"):
            anything.enqueue(wrong)
        with pytest.raises(ConfigurationError, match="is not a NewJob"):
            anything.enqueue_many([wrong])
        with pytest.raises(ConfigurationError, match="is not a NewJob"):
            asyncio.run(anything.aio.enqueue(wrong))


@pytest.mark.parametrize("count", [0, 1, 500, 501, 4500])
def test_many_jobs_keep_their_order(app: Millrace, count: int) -> None:
    task = app.task(name="add")(add)

    jobs = app.enqueue_many(task.job(number) for number in range(count))

    assert [job.args["a"] for job in jobs] == list(range(count))
    assert sorted(jobs, key=lambda job: job.id) == jobs
    assert app.depth() == count


def test_up_to_500_jobs_are_stored_in_one_insert_and_more_in_chunks() -> None:
    store = Staged()
    with Millrace(cast("Store", store)) as app:
        task = app.task(name="add")(add)
        app.enqueue_many(task.job(number) for number in range(500))
        asyncio.run(app.aio.enqueue_many([task.job(number) for number in range(4001)]))

    assert store.groups == [500, 2000, 2000, 1]


def test_one_bad_job_among_many_stores_none(app: Millrace) -> None:
    task = app.task(name="add")(add)

    with pytest.raises(PayloadError, match="add"):
        app.enqueue_many([task.job(1), NewJob("add", {"a": "one"})])
    assert app.depth() == 0


def test_a_failure_in_a_later_chunk_says_how_many_were_stored() -> None:
    def refuse(rows: Sequence[NewRow]) -> BaseException | None:
        return StoreUnavailable("the disk is full") if len(rows) < 2000 else None

    with Millrace(cast("Store", Staged(refuse))) as app:
        task = app.task(name="add")(add)
        with pytest.raises(StoreUnavailable, match="the disk is full") as caught:
            app.enqueue_many(task.job(number) for number in range(2001))

    assert caught.value.__notes__ == ["the first 2000 of the 2001 jobs were stored"]


def test_duplicates_among_many_come_back_in_their_places(app: Millrace) -> None:
    task = app.task(name="add")(add)

    one, two, three = app.enqueue_many(
        [task.using(unique_key="k").job(1), task.job(2), task.using(unique_key="k").job(3)]
    )

    assert (two.duplicate, three.duplicate, three.id) == (False, True, one.id)


def test_an_enqueue_that_blocks_a_loop_is_told_once_and_names_the_other(app: Millrace) -> None:
    task = app.task(name="add")(add)

    async def main() -> None:
        with pytest.warns(
            RuntimeWarning, match=r"blocks the running event loop; in async code await task\.aenqueue"
        ) as told:
            task.enqueue(1)
        assert told[0].filename == __file__
        task.enqueue(1)  # a second warning would be an error here
        app.enqueue_many([task.job(1)])

    asyncio.run(main())

    assert app.depth() == 3


def test_async_enqueues_and_threads_are_told_nothing(app: Millrace) -> None:
    task = app.task(name="add")(add)

    async def main() -> None:
        await task.aenqueue(1)
        await app.aio.enqueue(task.job(1))
        await app.aio.enqueue_many([task.job(1)])
        await asyncio.to_thread(task.enqueue, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())


# -- on the caller's own connection


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Millrace]:
    with Millrace(f"sqlite:///{tmp_path}/shop.db") as app:
        app.migrate()
        yield app


@pytest.fixture
def connection(tmp_path: Path, shop: Millrace) -> Iterator[sqlite3.Connection]:
    assert shop.depth() == 0
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY)")
        yield connection


def test_jobs_on_the_callers_connection_exist_only_once_it_commits(
    shop: Millrace, connection: sqlite3.Connection
) -> None:
    task = shop.task(name="add")(add)
    bound = task.using(connection=connection)

    connection.execute("BEGIN")
    connection.execute("INSERT INTO orders VALUES (1)")
    jobs = [
        bound.enqueue(1),
        asyncio.run(bound.aenqueue(2)),
        shop.enqueue(task.job(3), connection=connection),
        shop.enqueue(bound.job(4)),
        *shop.enqueue_many([task.job(5), task.job(6)], connection=connection),
        *shop.enqueue_many([bound.job(7)]),
        *asyncio.run(shop.aio.enqueue_many([bound.job(8)])),
        asyncio.run(shop.aio.enqueue(bound.job(9))),
    ]
    assert shop.depth() == 0
    connection.execute("COMMIT")

    assert [shop.get(job).args["a"] for job in jobs] == list(range(1, 10))


def test_jobs_on_the_callers_connection_go_with_its_rollback(shop: Millrace, connection: sqlite3.Connection) -> None:
    task = shop.task(name="add")(add).using(connection=connection)

    connection.execute("BEGIN")
    task.enqueue(1)
    connection.execute("ROLLBACK")

    assert shop.depth() == 0


def test_a_connection_that_is_not_of_this_store_is_refused(shop: Millrace, app: Millrace) -> None:
    with closing(sqlite3.connect(":memory:")) as other:
        with pytest.raises(NotSupported):
            shop.task(name="add")(add).using(connection=other).enqueue(1)
        with pytest.raises(NotSupported, match="memory:// cannot write in a caller's transaction; use an SQLite store"):
            app.task(name="add")(add).using(connection=other).enqueue(1)
    with pytest.raises(NotSupported):
        shop.task(name="add2")(add).using(connection="a text").enqueue(1)


class Unawaited:
    """A store of someone's that knows nothing of connections that are awaited."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def insert_on(self, *args: Any) -> Any:
        return self._store.insert_on(*args)

    def finish_on(self, *args: Any) -> Any:
        return self._store.finish_on(*args)

    def __getattr__(self, verb: str) -> Any:
        if verb in {"ainsert_on", "afinish_on"}:
            raise AttributeError(verb)
        return getattr(self._store, verb)


def test_a_store_that_cannot_await_takes_other_connections_in_async_code(
    shop: Millrace, connection: sqlite3.Connection
) -> None:
    app = Millrace(cast("Any", Unawaited(shop.store)))
    task = app.task(name="add")(add)
    awaited = type("Connection", (), {"__module__": "asyncpg"})()
    with pytest.raises(NotSupported, match="written on synchronous connections alone, and Connection is none"):
        asyncio.run(task.using(connection=awaited).aenqueue(1))
    with pytest.raises(ConfigurationError, match=r"Connection is an asynchronous connection.* await task\.aenqueue"):
        task.using(connection=awaited).enqueue(1)

    @app.task(max_attempts=1)
    async def complete() -> str:
        with pytest.raises(NotSupported, match="complete the job on such a one"):
            await current_job().complete(connection=awaited)
        return "returned"

    connection.execute("BEGIN")
    job = asyncio.run(complete.using(connection=connection).aenqueue())
    connection.execute("COMMIT")
    app.drain()
    assert job.refresh().result == "returned"


def test_jobs_that_name_different_connections_are_refused(shop: Millrace, connection: sqlite3.Connection) -> None:
    task = shop.task(name="add")(add)

    with closing(sqlite3.connect(":memory:")) as other:
        jobs = [task.using(connection=connection).job(1), task.using(connection=other).job(2)]
        with pytest.raises(ConfigurationError, match="different connections"):
            shop.enqueue_many(jobs)


def test_an_id_of_any_version_is_taken(app: Millrace) -> None:
    app.task(name="add")(add)
    given = uuid4()

    assert app.enqueue(NewJob("add", {"a": 1}, id=str(given))).id == given
    assert app.get(str(given)).id == given
    assert new_id() != given.bytes
