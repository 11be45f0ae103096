"""The Redis store spread by queue keeps the whole protocol, but for what it says not to hold across queues."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, cast

import pytest

from millrace.conformance import ScheduleExamples, StoreConformance, TransferExamples
from millrace.conformance.bench import ANN, KEPT, Bench
from millrace.conformance.texts import NAMES
from millrace.conformance.uniqueness import UniquenessExamples
from millrace.errors import SchemaMismatch, StoreUnavailable
from millrace.ids import new_id
from millrace.messages import ClaimRequest, JobFilter, NewRow, QueueSettings
from millrace.outcome import Outcome
from millrace.records import LogRow, WorkerRow
from millrace.states import CANCELLABLE, JobState
from millrace.store import Store
from millrace.stores import open_store
from millrace.stores.redis import ShardedRedisStore
from millrace.stores.redis.shard import Shard
from millrace.testing.clock import ManualClock
from tests.servers.redisserver import RedisServer
from tests.servers.redisspaces import RedisSpace
from tests.stores.lines.test_forks import in_child
from tests.stores.redis.lines.conftest import clients, until

PATIENCE = 20.0  # seconds: bounds a failure, measures nothing

_OTHER = "it holds a unique key in one queue and asks for it in another; `TestKeysOfOneQueue` runs it within one"
#: Examples that promise across queues what a store spread by queue does not, and why.
LEFT_OUT = {
    "test_a_key_is_one_in_the_whole_store": "a unique key is one within its queue",
    "test_the_holder_is_told_as_it_now_is": _OTHER,
    "test_a_live_job_holds_its_key": _OTHER,
    "test_a_retry_takes_the_key_again": _OTHER,
    "test_a_retry_is_refused_while_another_job_holds_the_key": _OTHER,
    "test_of_two_jobs_of_a_key_retried_in_one_call_the_first_takes_it": _OTHER,
    "test_any_name_will_do_for_a_queue_a_task_a_key_and_a_tag": (
        "likewise; `test_any_name_will_do_for_a_queue` runs it within one"
    ),
}


def row(queue: str, **fields: Any) -> NewRow:
    """Make a job to insert."""
    return NewRow(id=new_id(), task="work", queue=queue, args=b"{}", **fields)


class Sharded:
    """How an empty store is made."""

    @pytest.fixture(autouse=True)
    def empty_prefix(self, each_redis: RedisSpace) -> None:
        self.space = each_redis

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.space.url(shard="queue"), clock=clock)


class TestShardedRedisStore(Sharded, StoreConformance):
    @pytest.fixture(autouse=True)
    def leave_out(self, request: pytest.FixtureRequest) -> None:
        name = cast("pytest.Function", request.node).originalname
        if name in LEFT_OUT:
            pytest.skip(LEFT_OUT[name])

    def test_only_examples_that_are_there_are_left_out(self) -> None:
        assert [name for name in LEFT_OUT if not hasattr(StoreConformance, name)] == []


class TestShardedTransfer(Sharded, TransferExamples):
    pass


class TestShardedSchedules(Sharded, ScheduleExamples):
    pass


class OneQueue(Bench):
    """A bench that makes all jobs in one queue."""

    def bring(self, state: JobState, **fields: Any) -> bytes:
        """Make a job in any of the states."""
        return super().bring(state, **{"queue": "default"} | fields)


class TestKeysOfOneQueue(Sharded, UniquenessExamples):
    @pytest.fixture
    def bench(self, clock: ManualClock) -> Iterator[Bench]:
        store = self.make_store(clock)
        with closing(store):
            yield OneQueue(store, clock)

    def test_a_key_is_one_in_the_whole_store(self, bench: Bench) -> None:
        first, second = bench.add(unique_key="k", queue="one"), bench.add(unique_key="k", queue="two")
        again = bench.row(unique_key="k", queue="two")
        assert bench.store.insert([again]).existing[0].row.id == second != first


# -- on one server


@pytest.fixture
def opened(main_redis: RedisSpace) -> Iterator[Callable[[], ShardedRedisStore]]:
    """Open stores of one deployment, each as a process of its own would."""
    stores: list[ShardedRedisStore] = []

    def open_one() -> ShardedRedisStore:
        stores.append(ShardedRedisStore(main_redis.url(shard="queue")))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


Opened = Callable[[], ShardedRedisStore]


@pytest.mark.parametrize("name", [*NAMES.values(), "}", "{", "a}:b", "a/b", "%7D", "a}b{c"])
def test_any_name_will_do_for_a_queue(opened: Opened, main_redis: RedisSpace, name: str) -> None:
    store = opened()
    mine, other = row(name, unique_key="k"), row("other", unique_key="k")
    assert store.insert([mine, other]).existing == {}
    assert store.insert([row(name, unique_key="k")]).existing[0].row.id == mine.id
    assert store.select(JobFilter(queue=name), limit=9) == ([mine.id], None)
    assert [each.name for each in opened().queues()] == sorted([name, "other"])
    tags = {key[: key.index(b"}") + 1] for key in main_redis.keys()}  # noqa: SIM118 - it is no dict
    assert len(tags) == 3, "each queue has a slot of its own, and so have the shared keys"


def test_many_queues_are_asked_side_by_side(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened()
    store.insert([row(f"queue {n}") for n in range(12)])
    together = threading.Barrier(4)  # which opens for four that ask at the same time, and breaks where there are none
    count = Shard.counts

    def meet(shard: Shard, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:
        together.wait(PATIENCE)
        return count(shard, queue, exact=exact)

    monkeypatch.setattr(Shard, "counts", meet)
    assert store.counts()[JobState.PENDING] == 12
    monkeypatch.undo()
    assert [info.name for info in store.queues()] == sorted(f"queue {n}" for n in range(12))
    assert len(store.page(JobFilter(), limit=100)[0]) == len(store.export(limit=100)[0]) == 12


def test_what_others_have_inserted_is_found_at_once(opened: Opened) -> None:
    one, other = opened(), opened()
    assert one.step(ANN, (), [ClaimRequest(9)]).claimed == []
    rows = [row("mail"), row("report")]
    other.insert(rows)
    assert [each and each.queue for each in one.get([rows[1].id, new_id(), rows[0].id])] == ["report", None, "mail"]
    assert {each.id for each in one.step(ANN, (), [ClaimRequest(9)]).claimed} == {each.id for each in rows}
    third = opened()
    assert [each.changed for each in third.cancel([each.id for each in rows], CANCELLABLE, retention=None)] == [
        True
    ] * 2
    assert sorted(third.cancelling(ANN)) == sorted((each.id, 1) for each in rows)


def test_an_outcome_finds_its_job_where_nobody_remembers_the_claim(opened: Opened) -> None:
    one, other = opened(), opened()
    one.insert([row(queue) for queue in ("a", "b", "c")])
    rows = one.step(ANN, (), [ClaimRequest(9)]).claimed
    stale = Outcome.completed(rows[0], None, retention=KEPT)
    one.step(ANN, [stale], ())
    outcomes = [stale, *(Outcome.completed(each, None, retention=KEPT) for each in rows[1:])]
    assert other.step(ANN, outcomes, ()).lost == {0}
    assert one.counts()[JobState.COMPLETED] == 3


def test_the_priority_of_queues_is_known_to_all(opened: Opened) -> None:
    opened().set_queue("high", QueueSettings(priority=3))
    one = opened()
    one.insert([row("low"), row("high"), row("low")])
    assert [each.queue for each in one.step(ANN, (), [ClaimRequest(9)]).claimed] == ["high", "low", "low"]


def test_watchers_hear_of_every_queue(opened: Opened) -> None:
    heard = threading.Event()
    watch = opened().watch(heard.set)
    until(lambda: watch.live)
    heard.clear()
    opened().insert([row("never seen before")])
    assert heard.wait(PATIENCE)
    watch.close()


def test_who_waits_for_a_job_hears_of_its_end(opened: Opened) -> None:
    waiting, working = opened(), opened()
    waiting.insert([row("mail")])
    heard = threading.Event()
    watch = waiting.watch(heard.set)
    until(lambda: watch.live)
    (claimed,) = working.step(ANN, (), [ClaimRequest(1)]).claimed
    heard.clear()
    working.step(ANN, [Outcome.completed(claimed, None, retention=KEPT)], ())
    assert heard.wait(PATIENCE)
    watch.close()


def test_history_and_log_are_found_by_who_has_never_seen_the_job(opened: Opened) -> None:
    one = opened()
    one.insert([row("a"), row("b")])
    first, second = one.step(ANN, (), [ClaimRequest(9)]).claimed
    line = LogRow(first.ref, first.id, first.claim, 1, 20, "hello")
    assert one.log(ANN, [line]) == [True]
    one.step(ANN, [Outcome.completed(each, None, retention=KEPT) for each in (first, second)], ())
    other = opened()
    assert [each.message for each in other.logs(first.id)] == ["hello"]
    assert (other.logs(second.id), other.logs(new_id())) == ([], [])
    assert [len(other.attempts(each)) for each in (first.id, second.id, new_id())] == [1, 1, 0]


def test_a_producer_has_one_connection_for_each_queue_and_a_worker_four(opened: Opened, main_redis: RedisSpace) -> None:
    store = opened()
    for _ in range(3):
        store.insert([row("a"), row("b")])
    assert len([each for each in clients(main_redis) if each["name"].startswith("millrace")]) == 3
    store.register(WorkerRow(ANN, "ann", 0, 0, b"{}"))
    for _ in range(3):
        store.step(ANN, (), [ClaimRequest(1)])
        store.cancelling(ANN)
        store.next_due()
    assert len([each for each in clients(main_redis) if each["name"].startswith("millrace")]) <= 4 * 3
    store.unregister(ANN)


def test_a_prefix_is_spread_or_not(main_redis: RedisSpace) -> None:
    with closing(open_store(main_redis.url(shard="queue"))) as spread:
        spread.migrate()
        with closing(open_store(main_redis.url())) as plain, pytest.raises(SchemaMismatch, match=r"give \?shard=queue"):
            plain.counts()
    main_redis.empty()
    with closing(open_store(main_redis.url())) as plain:
        plain.migrate()
        with (
            closing(open_store(main_redis.url(shard="queue"))) as spread,
            pytest.raises(SchemaMismatch, match=r"leave \?shard=queue out"),
        ):
            spread.counts()


@pytest.mark.parametrize("remembered", [True, False])
def test_a_queue_out_of_reach_keeps_nobody_from_the_others(redis_server: RedisServer, remembered: bool) -> None:  # noqa: FBT001
    prefix = f"partly-{remembered}"
    with (
        closing(open_store(redis_server.url(prefix=prefix, shard="queue"))) as store,
        closing(open_store(redis_server.url(prefix=prefix, shard="queue"))) as other,
    ):
        finishing = store if remembered else other
        store.insert([row(queue) for queue in ("good", "bad") for _ in range(2)])
        rows = store.step(ANN, (), [ClaimRequest(1, (queue,)) for queue in ("good", "bad")]).claimed
        outcomes = [Outcome.completed(each, None, retention=KEPT) for each in rows]
        redis_server.run("SET", f"{{{prefix}/bad}}:format", "2")
        redis_server.end_sessions()
        with pytest.raises(SchemaMismatch):
            finishing.step(ANN, outcomes, ())
        assert [each.queue for each in store.step(ANN, (), [ClaimRequest(9)]).claimed] == ["good"]
        with pytest.raises(SchemaMismatch):
            store.step(ANN, (), [ClaimRequest(9)])
        redis_server.run("SET", f"{{{prefix}/bad}}:format", "1")
        answers: list[frozenset[int]] = []

        def sent() -> bool:
            try:
                answers.append(finishing.step(ANN, outcomes, ()).lost)
            except (SchemaMismatch, StoreUnavailable):
                return False
            return True

        until(sent)
        assert answers == [frozenset()], "what one queue had written was not refused the second time"
        assert store.counts()[JobState.COMPLETED] == 2


def test_a_child_of_fork_has_queues_of_its_own(opened: Opened, main_redis: RedisSpace) -> None:
    store = opened()
    store.register(WorkerRow(ANN, "ann", 0, 0, b"{}"))
    store.insert([row("a"), row("b")])
    mine = {client["id"] for client in clients(main_redis)}

    def body() -> None:
        store.insert([row("b"), row("c")])
        assert len(store.step(ANN, (), [ClaimRequest(9)]).claimed) == 4
        store.close()

    assert in_child(body) == 0
    assert mine <= {client["id"] for client in clients(main_redis)}
    assert store.counts()[JobState.RUNNING] == 4
    store.unregister(ANN)


def test_one_that_rejects_in_one_queue_keeps_what_comes_with_it_out_of_others(
    opened: Callable[[], ShardedRedisStore],
) -> None:
    store = opened()
    holder = row("two", unique_key="k")
    store.insert([holder])
    rows = [row("one"), row("two", unique_key="k", on_conflict="reject"), row("three")]
    answer = store.insert(rows)
    assert (answer.refused, answer.existing[1].row.id) == (1, holder.id)
    assert store.get([each.id for each in rows]) == [None] * 3
    assert store.insert([row("one"), row("two", unique_key="l", on_conflict="reject")]).refused is None
