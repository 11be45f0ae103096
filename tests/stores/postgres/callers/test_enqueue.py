"""Jobs in the caller's own transaction: they come and go with it, whatever library it is of."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from millrace import DuplicateJob, Job, Millrace, NewJob, Unique
from tests.servers.databases import Database
from tests.stores.postgres.callers.ways import Way


def orders(database: Database) -> int:
    ((count,),) = database.run("select count(*) from {s}.orders")
    return int(count)


def order(way: Way, database: Database) -> None:
    way.execute(f"insert into {database.schema}.orders values ('book')")  # noqa: S608 - of the tests' own


def test_a_job_is_there_once_the_caller_commits(app: Millrace, way: Way, postgres: Database) -> None:
    task = app.task(name="add")(lambda a: a)
    order(way, postgres)

    jobs = [
        way.enqueue(task, 1),
        way.enqueue(task, "ü%\x00\N{SNOWMAN}", queue="mail", priority=-3, delay=60, tags=["a", 'b"c'], max_attempts=2),
        way.enqueue_one(app, NewJob("add", {"a": 3}, unique_key="k")),
        *way.enqueue_many(app, [task.job(n) for n in range(4)]),
    ]
    assert (app.counts(), orders(postgres)) == (dict.fromkeys(app.counts(), 0), 0)
    way.commit()

    assert orders(postgres) == 1
    assert [told(job) for job in jobs] == [told(app.get(job)) for job in jobs]
    assert [job.state for job in jobs] == ["pending", "scheduled", *["pending"] * 5]
    assert jobs[1].args == {"a": "ü%\x00\N{SNOWMAN}"}


def told(job: Job[object]) -> object:
    return job.id, job.args, job.queue, job.priority, job.state, job.scheduled_at, sorted(job.tags), job.unique_key


def test_a_job_is_never_seen_where_the_caller_rolls_back(app: Millrace, way: Way, postgres: Database) -> None:
    task = app.task(name="add")(lambda a: a)
    order(way, postgres)
    way.enqueue(task, 1)
    way.enqueue_many(app, [task.job(2), task.job(3)])
    way.rollback()

    assert (sum(app.counts().values()), orders(postgres)) == (0, 0)
    way.enqueue(task, 4)
    way.commit()
    assert [job.args for job in app.list()] == [{"a": 4}]


def test_a_key_that_is_taken_gives_its_holder(app: Millrace, way: Way, postgres: Database) -> None:
    task = app.task(name="add")(lambda a: a)
    holder = task.using(unique_key="k", tags=["x"]).enqueue(1)
    order(way, postgres)

    told = way.enqueue(task, 2, unique_key="k")
    (again, other) = way.enqueue_many(app, [task.using(unique_key=key).job(3) for key in ("k", "l")])
    way.commit()

    assert [(told.id, told.duplicate), (again.id, again.duplicate)] == [(holder.id, True)] * 2
    assert (told.args, told.tags, other.duplicate) == ({"a": 1}, ("x",), False)
    assert (app.depth(), orders(postgres)) == (2, 1)


def test_a_key_of_the_same_transaction_is_taken_too(app: Millrace, way: Way) -> None:
    task = app.task(name="add")(lambda a: a)
    first = way.enqueue(task, 1, unique_key="k")
    second = way.enqueue(task, 2, unique_key="k")
    way.commit()

    assert (second.id, second.duplicate) == (first.id, True)
    assert app.depth() == 1


def test_a_rule_that_rejects_raises_and_the_transaction_goes_on(app: Millrace, way: Way, postgres: Database) -> None:
    task = app.task(name="add", unique=Unique(on_conflict="reject"))(lambda a: a)
    holder = task.enqueue(1)

    with pytest.raises(DuplicateJob) as refused:
        way.enqueue(task, 1)
    order(way, postgres)
    way.commit()

    assert refused.value.job is not None
    assert (refused.value.job.id, orders(postgres)) == (holder.id, 1)


def test_the_same_id_twice_is_one_job(app: Millrace, way: Way) -> None:
    job = NewJob("add", {"a": 1}, id="0198a000-0000-7000-8000-000000000001")
    app.task(name="add")(lambda a: a)
    told = way.enqueue_many(app, [job, job])
    told.append(way.enqueue_one(app, job))
    way.commit()

    assert ({job.id}, [False] * 3) == ({each.id for each in told}, [each.duplicate for each in told])
    assert app.depth() == 1


def test_no_jobs_are_nothing(app: Millrace, way: Way) -> None:
    assert way.enqueue_many(app, []) == []


def add(key: str, n: int) -> int:
    return len(key) + n


def test_a_holder_is_changed_in_the_callers_transaction_or_not_at_all(app: Millrace, way: Way) -> None:
    task = app.task(name="add", unique=Unique(by=["key"], on_conflict="replace"))(add)
    later = task.using(unique=Unique(by=["key"], on_conflict="debounce"), run_at=datetime(2100, 1, 1, tzinfo=UTC))
    holder = task.enqueue("k", 1)

    for commits in (False, True):
        told = way.enqueue(task, "k", 2)
        assert (told.id, told.duplicate, told.args["n"]) == (holder.id, True, 2)
        told = way.enqueue(later, "k", 3)
        assert (told.id, told.state, told.args["n"]) == (holder.id, "scheduled", 3)
        assert app.get(holder).args["n"] == 1
        (way.commit if commits else way.rollback)()
        assert app.get(holder).args["n"] == (3 if commits else 1)


def test_a_key_is_taken_over_in_the_callers_transaction_or_not_at_all(app: Millrace, way: Way) -> None:
    task = app.task(name="add", unique=Unique(until="started"))(lambda a: a)
    first = task.enqueue(1)
    (running,) = app.claim()

    lost = way.enqueue(task, 1)
    way.rollback()
    heir = way.enqueue(task, 1)
    way.commit()

    assert not lost.duplicate
    assert not heir.duplicate
    assert task.enqueue(1).id == heir.id != running.id == first.id
    assert app.depth() == 1


def test_many_of_which_one_rejects_leave_nothing_in_the_callers_transaction(
    app: Millrace, way: Way, postgres: Database
) -> None:
    task = app.task(name="add", unique=Unique(on_conflict="reject"), tags=["x"])(lambda a: a)
    holder = task.enqueue(1)
    order(way, postgres)

    with pytest.raises(DuplicateJob) as refused:
        way.enqueue_many(app, [task.job(2), task.job(1), task.job(3)])
    way.commit()

    assert refused.value.job is not None
    assert (refused.value.job.id, orders(postgres), app.depth()) == (holder.id, 1, 1)
    assert [job.id for job in app.list(tag="x")] == [holder.id]
