"""Examples of threads: every verb may be called from any of them, and each is whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from millrace.conformance.bench import KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.job import JobRow
from millrace.messages import ClaimRequest, QueueSettings
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, JobState
from millrace.store import Store

__all__ = ["ThreadExamples"]

T = TypeVar("T")
THREADS = 8


def at_once(work: Callable[[int], T]) -> list[T]:
    """Run the work in threads that begin together; return what each returned."""
    start = Barrier(THREADS)

    def begin(number: int) -> T:
        start.wait(30)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


class ThreadExamples(Examples):
    """What several threads may do at once."""

    def test_one_key_inserted_by_many_threads_is_one_job(self, bench: Bench, store: Store) -> None:
        answers = at_once(lambda _: [store.insert([bench.row(unique_key=f"k{n}")]) for n in range(10)])
        for n in range(10):
            went_in = [answer[n] for answer in answers if not answer[n].existing]
            assert len(went_in) == 1
        assert sum(store.counts().values()) == 10

    def test_a_job_is_given_to_one_of_many_that_claim(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(200)

        def drain(worker: int) -> list[bytes]:
            mine: list[bytes] = []
            done: list[Outcome] = []
            while (answer := store.step(worker + 1, done, [ClaimRequest(5)])).claimed:
                assert answer.lost == frozenset()
                mine += [row.id for row in answer.claimed]
                done = [Outcome.completed(row, None, retention=KEPT) for row in answer.claimed]
            return mine

        assert sorted(id for mine in at_once(drain) for id in mine) == ids
        assert store.counts()[JobState.COMPLETED] == 200

    def test_a_limit_holds_however_many_claim_at_once(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=3))
        bench.add_some(50, queue="mail")
        claimed = at_once(lambda worker: store.step(worker + 1, (), [ClaimRequest(2)]).claimed)
        assert sum(len(rows) for rows in claimed) == 3

    def test_one_of_many_threads_takes_a_lock(self, store: Store) -> None:
        assert sum(at_once(lambda holder: store.acquire("sweep", holder + 1, 1000))) == 1

    def test_a_cancel_against_a_finish_ends_the_job_once(self, bench: Bench, store: Store) -> None:
        bench.add_some(THREADS * 5)
        rows = bench.claim()

        def race(number: int) -> list[tuple[JobRow, bool]]:
            mine = rows[number // 2 :: THREADS // 2]
            if number % 2:
                return [(row, store.cancel([row.id], CANCELLABLE, retention=KEPT)[0].changed) for row in mine]
            return [(row, not bench.end("released", row).lost) for row in mine]

        at_once(race)
        ended = store.get([row.id for row in rows])
        assert {job.state for job in ended if job is not None} == {JobState.CANCELLED}
        assert store.counts()[JobState.CANCELLED] == len(rows)
