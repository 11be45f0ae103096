"""Examples of the workers' register and of named locks."""

from __future__ import annotations

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, Bench
from millrace.conformance.examples import Examples
from millrace.records import WorkerRow
from millrace.store import Store

__all__ = ["RegisterExamples"]


class RegisterExamples(Examples):
    """Who is there, and who holds what."""

    # -- workers

    def test_a_worker_reads_back_as_it_registered(self, store: Store) -> None:
        row = WorkerRow(BEN, "host:42", 5, 7, b'{"queues":["mail"]}')
        store.register(row)
        assert store.workers() == [row]

    def test_zeros_mean_the_stores_now(self, bench: Bench, store: Store) -> None:
        store.register(WorkerRow(ANN, "host:1", 0, 0, b"{}"))
        assert store.workers() == [WorkerRow(ANN, "host:1", bench.now, bench.now, b"{}")]

    def test_a_sign_of_life_keeps_the_start_and_replaces_the_rest(self, bench: Bench, store: Store) -> None:
        started = bench.now
        store.register(WorkerRow(ANN, "host:1", 0, 0, b'{"n":1}'))
        seen = bench.later(10)
        store.register(WorkerRow(ANN, "host:1b", 0, 0, b'{"n":2}'))
        assert store.workers() == [WorkerRow(ANN, "host:1b", started, seen, b'{"n":2}')]

    def test_a_start_that_is_told_replaces_the_known_one(self, store: Store) -> None:
        store.register(WorkerRow(ANN, "host:1", 5, 5, b"{}"))
        store.register(WorkerRow(ANN, "host:1", 6, 8, b"{}"))
        assert store.workers() == [WorkerRow(ANN, "host:1", 6, 8, b"{}")]

    def test_workers_are_told_oldest_first(self, store: Store) -> None:
        for id, started in ((1, 30), (2, 10), (3, 20)):
            store.register(WorkerRow(id, f"host:{id}", started, 40, b"{}"))
        assert [worker.id for worker in store.workers()] == [2, 3, 1]

    def test_only_workers_seen_lately_are_told_where_that_is_asked(self, store: Store) -> None:
        for id, seen in ((1, 100), (2, 200), (3, 300)):
            store.register(WorkerRow(id, "host", id, seen, b"{}"))
        assert [worker.id for worker in store.workers(seen_after=150)] == [2, 3]
        assert store.workers(seen_after=301) == []

    def test_a_worker_that_leaves_is_not_told_any_more(self, store: Store) -> None:
        store.register(WorkerRow(ANN, "host:1", 1, 1, b"{}"))
        store.register(WorkerRow(BEN, "host:2", 2, 2, b"{}"))
        store.unregister(ANN)
        store.unregister(ANN)
        assert [worker.id for worker in store.workers()] == [BEN]

    def test_workers_not_seen_for_long_are_forgotten(self, store: Store) -> None:
        for id, seen in ((1, 100), (2, 200), (3, 300)):
            store.register(WorkerRow(id, "host", 1, seen, b"{}"))
        assert store.forget_workers(250) == 2
        assert store.forget_workers(250) == 0
        assert [worker.id for worker in store.workers()] == [3]

    def test_jobs_stay_with_a_worker_that_is_forgotten(self, bench: Bench, store: Store) -> None:
        store.register(WorkerRow(ANN, "host:1", 1, 1, b"{}"))
        bench.add()
        row = bench.take()
        assert store.forget_workers(bench.now) == 1
        assert bench.end("completed", row).lost == frozenset()

    # -- locks

    def test_a_lock_is_held_by_one(self, store: Store) -> None:
        assert store.acquire("sweep", ANN, 10 * SECOND)
        assert not store.acquire("sweep", BEN, 10 * SECOND)
        assert store.acquire("another", BEN, 10 * SECOND)

    def test_a_holder_keeps_its_lock_by_taking_it_again(self, bench: Bench, store: Store) -> None:
        store.acquire("sweep", ANN, 10 * SECOND)
        bench.later(8)
        assert store.acquire("sweep", ANN, 10 * SECOND)
        bench.later(8)
        assert not store.acquire("sweep", BEN, 10 * SECOND)

    def test_a_lock_whose_time_has_passed_is_free(self, bench: Bench, store: Store) -> None:
        store.acquire("sweep", ANN, 10 * SECOND)
        bench.later(11)
        assert store.acquire("sweep", BEN, 10 * SECOND)
        assert not store.acquire("sweep", ANN, 10 * SECOND)

    def test_a_lock_given_back_is_free(self, store: Store) -> None:
        store.acquire("sweep", ANN, 10 * SECOND)
        store.release("sweep", ANN)
        assert store.acquire("sweep", BEN, 10 * SECOND)

    def test_nobody_gives_back_what_another_holds(self, bench: Bench, store: Store) -> None:
        store.acquire("sweep", ANN, 10 * SECOND)
        store.release("sweep", BEN)
        store.release("unheard of", BEN)
        assert not store.acquire("sweep", BEN, 10 * SECOND)
        bench.later(11)
        store.acquire("sweep", BEN, 10 * SECOND)
        store.release("sweep", ANN)
        assert not store.acquire("sweep", ANN, 10 * SECOND)

    def test_the_caller_may_tell_the_time_of_a_lock(self, bench: Bench, store: Store) -> None:
        assert store.acquire("sweep", ANN, SECOND, now=bench.now)
        assert not store.acquire("sweep", BEN, SECOND, now=bench.now + SECOND // 2)
        assert store.acquire("sweep", BEN, SECOND, now=bench.now + 2 * SECOND)
