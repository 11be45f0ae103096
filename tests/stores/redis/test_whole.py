"""Whatever verbs are called, in whatever order, all keys agree with each other; and what does not agree is found."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ENDINGS, ERROR, HOUR, Bench
from millrace.conformance.transferring import eventful
from millrace.ids import new_id
from millrace.job import JobRow, Progress
from millrace.messages import Beat, ClaimRequest, JobFilter, NewRow, QueueSettings
from millrace.options import JobOptions
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import CANCELLABLE, DELETABLE, FINAL, RESCHEDULABLE, RETRYABLE, JobState, Reason
from millrace.stores.redis import RedisStore
from millrace.stores.redis.checking import find_faults
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.session import Session
from millrace.stores.redis.url import read_url
from millrace.stores.redis.wire import connect
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace

THOROUGH = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

queues = st.sampled_from(["mail", "mailbox", "1:0"])
tasks = st.sampled_from(["read", "write"])
workers = st.sampled_from([ANN, BEN])
keys = st.sampled_from([None, None, "k1", "k2"])
tag_lists = st.sampled_from([(), (), ("red",), ("red", "blue")])
retentions = st.sampled_from([0, 5 * SECOND, None])
own_options = st.sampled_from([None, None, *(JobOptions(retention=kept).encode() for kept in (0.0, 5.0, None))])

#: Every way in which an attempt ends, and some that delete the job.
ENDS: dict[str, Callable[[JobRow], Outcome]] = {
    **ENDINGS,
    "completed and forgotten": lambda row: Outcome.completed(row, b"1", retention=0),
    "dead and forgotten": lambda row: Outcome.dead(row, ERROR, reason=Reason.EXHAUSTED, retention=0),
    "forgotten where a cancel wins": lambda row: Outcome.failed(row, ERROR, delay=0, retention=0),
}


@contextmanager
def looking_at(space: RedisSpace) -> Generator[Callable[[], list[str]]]:
    """Give a way to ask what does not agree."""
    with closing(connect(read_url(space.url()))) as connection:
        session = Session(connection, Keyspace(space.prefix), None)
        yield lambda: find_faults(lambda body: body(session))


class Lives(RuleBasedStateMachine):
    """Jobs under every verb there is; nothing is compared but the keys with each other."""

    space: RedisSpace

    @initialize()
    def begin(self) -> None:
        """Start empty."""
        self.space.empty()
        self.clock = ManualClock()
        self.store = RedisStore(self.space.url(listen="off"), clock=self.clock)
        self.ids: list[bytes] = []
        self.held: list[tuple[int, JobRow]] = []
        self.steps = 0
        self.looking = looking_at(self.space)
        self.faults = self.looking.__enter__()

    def teardown(self) -> None:
        """Look at all that has become of it, and close the store."""
        if hasattr(self, "looking"):
            try:
                self._look()
            finally:
                self.looking.__exit__(None, None, None)
                self.store.close()

    @rule(
        data=st.data(),
        number=st.integers(1, 4),
        queue=queues,
        priority=st.sampled_from([-32768, -1, 0, 0, 1, 32767]),
        delay=st.sampled_from([0, 0, 0, 1, 70_001, 3 * SECOND]),
    )
    def insert(self, data: st.DataObject, number: int, queue: str, priority: int, delay: int) -> None:
        """Insert some jobs."""
        rows = [
            NewRow(
                id=new_id(), queue=queue, task=data.draw(tasks), args=b"{}", priority=priority, delay=delay,
                unique_key=data.draw(keys), tags=data.draw(tag_lists), options=data.draw(own_options), max_crashes=2,
            )
            for _ in range(number)
        ]  # fmt: skip
        self.insert_rows(rows)

    def insert_rows(self, rows: list[NewRow]) -> None:
        """Insert jobs and know of them."""
        self.store.insert(rows)
        self.ids += [row.id for row in rows]

    @rule(seconds=st.sampled_from([0.07, 1, 6, 40, 3601]))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule(
        worker=workers,
        limit=st.integers(1, 5),
        only=st.sampled_from([None, None, ("mail",), ("mailbox", "1:0")]),
        known=st.sampled_from([None, None, frozenset({"read"})]),
    )
    def claim(self, worker: int, limit: int, only: tuple[str, ...] | None, known: frozenset[str] | None) -> None:
        """Claim some."""
        request = ClaimRequest(limit, only, known, lease=30 * SECOND)
        self.held += [(worker, row) for row in self.store.step(worker, (), [request]).claimed]

    @rule(data=st.data(), ending=st.sampled_from(sorted(ENDS)), worker=workers)
    def finish(self, data: st.DataObject, ending: str, worker: int) -> None:
        """End some attempts, of claims that hold and of such that held once."""
        mine = [row for by, row in self.held if by == worker]
        if mine:
            some = data.draw(st.lists(st.sampled_from(mine), max_size=4, unique_by=lambda row: row.id))
            self.store.step(worker, [ENDS[ending](row) for row in some], ())

    @rule(data=st.data(), lease=st.sampled_from([None, 10 * SECOND]))
    def beat(self, data: st.DataObject, lease: int | None) -> None:
        """Extend a lease, tell of progress, and log."""
        if self.held:
            worker, row = data.draw(st.sampled_from(self.held))
            self.store.extend(worker, [Beat(row.ref, row.id, row.claim, lease, Progress(0.5, "half"), b"1")])
            self.store.log(worker, [LogRow(row.ref, row.id, row.claim, 0, 20, "hello")])

    @rule(worker=workers, ending=st.sampled_from(sorted(ENDS)), cancels=st.booleans(), stops=st.booleans())
    def life(self, worker: int, ending: str, *, cancels: bool, stops: bool) -> None:
        """Insert, claim, tell of progress, log, cancel perhaps, and end, or lose the lease."""
        given: dict[str, Any] = {"queue": "lives", "task": "live", "args": b"{}", "tags": ("red",)}
        self.insert_rows([NewRow(id=new_id(), unique_key=key, **given) for key in ("k1", None)])
        rows = self.store.step(worker, (), [ClaimRequest(3, lease=30 * SECOND)]).claimed
        for row in rows:
            self.store.extend(worker, [Beat(row.ref, row.id, row.claim, None, Progress(0.5), b"1")])
            self.store.log(worker, [LogRow(row.ref, row.id, row.claim, 0, 20, "hello")])
        if cancels:
            self.store.cancel([row.id for row in rows], CANCELLABLE, retention=5 * SECOND)
        if stops:
            self.clock.advance(40)
            self.store.rescue(retention=0, dead_retention=None)
        self.store.step(worker, [ENDS[ending](row) for row in rows], ())

    @rule(kept=retentions, dead_kept=retentions)
    def rescue(self, kept: int | None, dead_kept: int | None) -> None:
        """Take back lost leases."""
        self.store.rescue(retention=kept, dead_retention=dead_kept)

    @rule()
    def promote(self) -> None:
        """Make due jobs pending."""
        self.store.promote()

    @rule(data=st.data(), kept=retentions)
    def cancel(self, data: st.DataObject, kept: int | None) -> None:
        """Cancel some."""
        self.store.cancel(self._some(data), CANCELLABLE, retention=kept)

    @rule(data=st.data(), args=st.sampled_from([None, b'{"n":1}']))
    def retry(self, data: st.DataObject, args: bytes | None) -> None:
        """Retry some."""
        self.store.retry(self._some(data), RETRYABLE, args=args)

    @rule(data=st.data(), ahead=st.sampled_from([-HOUR, -1, 0, 1, HOUR]))
    def reschedule(self, data: st.DataObject, ahead: int) -> None:
        """Reschedule some."""
        self.store.reschedule(self._some(data), RESCHEDULABLE, due=self.clock.now() + ahead)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete some."""
        self.store.delete(self._some(data), DELETABLE)

    @rule()
    def expire(self) -> None:
        """Delete what is past its retention."""
        self.store.expire(limit=2)

    @rule(states=st.sampled_from([FINAL, frozenset({JobState.DEAD, JobState.CANCELLED})]))
    def purge(self, states: frozenset[JobState]) -> None:
        """Delete what has ended some time ago."""
        self.store.purge(self.clock.now() - 3 * SECOND, states, limit=2)

    @rule(queue=queues, paused=st.booleans())
    def pause(self, queue: str, *, paused: bool) -> None:
        """Pause or resume a queue."""
        self.store.pause(queue, paused=paused)

    @rule(queue=queues, priority=st.integers(-1, 1), concurrency=st.sampled_from([None, 1, 2]))
    def set_queue(self, queue: str, priority: int, concurrency: int | None) -> None:
        """Change a queue's settings."""
        self.store.set_queue(queue, QueueSettings(priority=priority, concurrency=concurrency))

    @rule(leave=st.booleans())
    def move(self, *, leave: bool) -> None:
        """Give all jobs, and take them back; those that were not deleted are there."""
        jobs, _ = self.store.export(limit=500)
        if leave:
            self.store.delete([job.row.id for job in jobs], DELETABLE)
        self.store.restore(jobs + jobs[:2])

    @invariant()
    def all_agrees(self) -> None:
        """Look at all now and then: what is wrong stays wrong."""
        self.steps += 1
        if self.steps % 5 == 0:
            self._look()

    def _look(self) -> None:
        assert self.faults() == []
        counts, (found, _) = self.store.counts(), self.store.select(JobFilter(), limit=1000)
        assert sum(counts.values()) == len(found)
        assert sum(each.number for each in self.store.waiting()) == self.store.depth()
        rows = [row for row in self.store.get(found) if row is not None]
        for state in JobState:
            of_state, _ = self.store.select(JobFilter(states=frozenset({state})), limit=1000)
            assert len(of_state) == counts[state]
            assert of_state == [row.id for row in rows if row.state is state]

    def _some(self, data: st.DataObject) -> list[bytes]:
        """Choose jobs, often all."""
        return (
            data.draw(st.just(self.ids) | st.lists(st.sampled_from(self.ids), max_size=5, unique=True))
            if self.ids
            else []
        )


@pytest.mark.timeout(300)
def test_all_keys_agree_whatever_is_called(each_redis: RedisSpace) -> None:
    class OnRedis(Lives):
        space = each_redis

    run_state_machine_as_test(OnRedis, settings=THOROUGH)


#: Each spoils one thing among the keys of jobs in every state; given the space and an id by state.
DAMAGES: dict[str, Callable[[RedisSpace, dict[str, bytes]], Any]] = {
    "a record is gone": lambda space, ids: space.run("HDEL", space.key("meta"), ids["running"]),
    "a body is gone": lambda space, ids: space.run("HDEL", space.key("body"), ids["completed"]),
    "a job is not listed": lambda space, ids: space.run("ZREM", space.key("all"), ids["dead"]),
    "a job is not in its line": lambda space, _: space.run("UNLINK", *lines(space)),
    "a job stands twice in its line": lambda space, ids: space.run("ZADD", lines(space)[0], 1, b"ab" + ids["pending"]),
    "a job stands in its line too early": lambda space, _: space.run(
        "ZINCRBY", lines(space)[0], -1, space.run("ZRANGE", lines(space)[0], 0, 0)[0]
    ),
    "a job stands in the line of another task": lambda space, ids: space.run(
        "ZADD", space.key(b"line:mail\0other"), 1, b"ab" + ids["pending"]
    ),
    "a queue knows no tasks": lambda space, _: space.run("UNLINK", *named(space, b"tasks:")),
    "a queue knows a task that has no jobs": lambda space, _: space.run("SADD", space.key("tasks:mail"), "nothing"),
    "a queue has no turn": lambda space, _: space.run("UNLINK", space.key("turns")),
    "a queue without jobs has a turn": lambda space, _: space.run("ZADD", space.key("turns"), 1, "nothing"),
    "a job is promoted too late": lambda space, ids: space.run("ZADD", space.key("later"), 9e15, ids["scheduled"]),
    "a running job has no lease": lambda space, ids: space.run("ZREM", space.key("lease"), ids["running"]),
    "an ended job has a lease": lambda space, ids: space.run("ZADD", space.key("lease"), 9e15, ids["cancelled"]),
    "a pending job expires": lambda space, ids: space.run("ZADD", space.key("ended"), 9e15, ids["pending"]),
    "an ended job never expires": lambda space, ids: space.run("ZREM", space.key("ended"), ids["completed"]),
    "a dead job is not among the dead": lambda space, ids: space.run("ZREM", space.key("odd:6"), ids["dead"]),
    "a completed job is among the dead": lambda space, ids: space.run("ZADD", space.key("odd:6"), 0, ids["completed"]),
    "a live job does not hold its key": lambda space, _: space.run("HDEL", space.key("uniq"), "running"),
    "an ended job holds its key": lambda space, ids: space.run("HSET", space.key("uniq"), "dead", ids["dead"]),
    "a key is held by a job of another": lambda space, ids: space.run("HSET", space.key("uniq"), "x", ids["running"]),
    "a key is held by nobody": lambda space, _: space.run("HSET", space.key("uniq"), "x", new_id()),
    "a job is missing under its tag": lambda space, ids: space.run("ZREM", space.key("tag:red"), ids["failed"]),
    "a job stands under a tag it has not": lambda space, ids: space.run("ZADD", space.key("tag:x"), 0, ids["failed"]),
    "a result belongs to nobody": lambda space, _: space.run("HSET", space.key("result"), new_id(), "1"),
    "an error belongs to nobody": lambda space, _: space.run("HSET", space.key("error"), new_id(), "1"),
    "progress belongs to nobody": lambda space, _: space.run("HSET", space.key("progress"), new_id(), "1"),
    "a body belongs to nobody": lambda space, _: space.run("HSET", space.key("body"), new_id(), "1"),
    "a lease belongs to nobody": lambda space, _: space.run("ZADD", space.key("lease"), 1, new_id()),
    "attempts belong to nobody": lambda space, _: space.run("RPUSH", space.key(b"attempts:" + new_id()), "1"),
    "a log belongs to nobody": lambda space, _: space.run("RPUSH", space.key(b"log:" + new_id()), "1"),
    "a log is too long": lambda space, ids: space.run("RPUSH", space.key(b"log:" + ids["dead"]), *["1"] * 1001),
    "a job is counted twice": lambda space, _: space.run("HINCRBY", space.key("counts"), "1:mail", 1),
    "a state is counted for another": lambda space, _: (
        space.run("HINCRBY", space.key("counts"), "5:mail", -1),
        space.run("HINCRBY", space.key("counts"), "6:mail", 1),
    ),
    "a queue's jobs are counted for another": lambda space, _: (
        space.run("HDEL", space.key("counts"), "6:mail"),
        space.run("HSET", space.key("counts"), "6:other", 1),
    ),
    "a count of none is kept": lambda space, _: space.run("HSET", space.key("counts"), "5:other", 0),
    "a key is none of ours": lambda space, _: space.run("SET", space.key("stranger"), "1"),
}


def named(space: RedisSpace, head: bytes) -> list[bytes]:
    """Return the keys whose names begin alike."""
    there = space.keys()
    return sorted(key for key in there if key.startswith(space.key(head)))


def lines(space: RedisSpace) -> list[bytes]:
    """Return the keys of the lines."""
    return named(space, b"line:")


@pytest.fixture
def ids(main_redis: RedisSpace) -> Iterator[dict[str, bytes]]:
    """Make a job in every state, and one that much belongs to."""
    clock = ManualClock()
    with closing(RedisStore(main_redis.url(listen="off"), clock=clock)) as store:
        bench = Bench(store, clock)
        given = {"task": "read", "tags": ("red",), "priority": 3}
        made = {
            state.value: bench.bring(state, queue="mail", unique_key=state.value, **given)
            for state in sorted(JobState, key=lambda state: state is JobState.PENDING)
        }
        made["eventful"] = eventful(bench)
        yield made


def test_nothing_is_found_where_nothing_is_wrong(main_redis: RedisSpace, ids: dict[str, bytes]) -> None:
    assert len(ids) == len(JobState) + 1
    with looking_at(main_redis) as faults:
        assert faults() == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_agree_is_found(main_redis: RedisSpace, ids: dict[str, bytes], damage: str) -> None:
    DAMAGES[damage](main_redis, ids)
    with looking_at(main_redis) as faults:
        assert faults() != []


def test_a_fault_names_the_job_and_what_is_wrong(main_redis: RedisSpace, ids: dict[str, bytes]) -> None:
    main_redis.run("ZREM", main_redis.key("lease"), ids["running"])
    with looking_at(main_redis) as faults:
        found = faults()
    assert f"job {UUID(bytes=ids['running'])} is missing in lease" in found


def test_a_checker_goes_through_more_jobs_than_one_look_takes(main_redis: RedisSpace) -> None:
    with closing(RedisStore(main_redis.url(listen="off"))) as store:
        store.insert([NewRow(id=new_id(), task="work", queue="default", args=b"{}") for _ in range(950)])
    with looking_at(main_redis) as faults:
        assert faults() == []
        victim = main_redis.run("ZRANGE", main_redis.key("all"), 700, 700)[0]
        main_redis.run("ZADD", main_redis.key("later"), 1, victim)
        assert [fault for fault in faults() if str(UUID(bytes=victim)) in fault]
