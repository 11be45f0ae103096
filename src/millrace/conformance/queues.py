"""Examples of queues: priorities and turns, pauses, limits, and what is told of them."""

from __future__ import annotations

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.messages import ClaimRequest, QueueSettings, empty_counts
from millrace.outcome import Outcome
from millrace.records import QueueInfo
from millrace.states import DELETABLE, JobState
from millrace.store import Store

__all__ = ["QueueExamples"]


class QueueExamples(Examples):
    """How queues stand to each other, and who holds them back."""

    # -- priorities and turns

    def test_a_queue_of_higher_priority_is_served_first(self, bench: Bench, store: Store) -> None:
        store.set_queue("high", QueueSettings(priority=5))
        store.set_queue("low", QueueSettings(priority=-5))
        for queue in ("low", "plain", "high"):
            bench.add_some(3, queue=queue, priority=9 if queue == "low" else 0)
        assert [row.queue for row in bench.claim()] == ["high"] * 3 + ["plain"] * 3 + ["low"] * 3

    def test_a_lower_queue_gets_what_is_left_of_a_claim(self, bench: Bench, store: Store) -> None:
        store.set_queue("high", QueueSettings(priority=1))
        bench.add_some(2, queue="high")
        bench.add_some(9, queue="low")
        assert [row.queue for row in bench.claim(limit=5)] == ["high"] * 2 + ["low"] * 3

    def test_equal_queues_take_turns(self, bench: Bench) -> None:
        for queue in ("a", "b", "c"):
            bench.add_some(4, queue=queue)
        served = [bench.take().queue for _ in range(12)]
        for turn in range(0, 12, 3):
            assert sorted(served[turn : turn + 3]) == ["a", "b", "c"]

    def test_a_flood_in_one_queue_does_not_starve_an_equal_one(self, bench: Bench) -> None:
        bench.add_some(500, queue="flood")
        drop = bench.add(queue="drop")
        assert drop in {row.id for _ in range(2) for row in bench.claim(limit=10)}

    def test_an_empty_queue_leaves_its_turn_to_others(self, bench: Bench) -> None:
        bench.add(queue="a")
        ids = bench.add_some(9, queue="b")
        claimed = bench.claim(limit=10)
        assert len(claimed) == 10
        assert [row.id for row in claimed if row.queue == "b"] == ids

    def test_order_holds_within_each_queue_whatever_the_turns(self, bench: Bench) -> None:
        rows = [bench.row(queue=f"q{n % 3}", priority=n % 5) for n in range(90)]
        bench.store.insert(rows)
        claimed = [row for _ in range(9) for row in bench.claim(limit=10)]
        for queue in ("q0", "q1", "q2"):
            own = sorted((row for row in rows if row.queue == queue), key=lambda row: (-row.priority, row.id))
            assert [row.id for row in claimed if row.queue == queue] == [row.id for row in own]

    # -- pauses

    def test_a_paused_queue_is_not_claimed_from(self, bench: Bench, store: Store) -> None:
        held = bench.add(queue="mail")
        free = bench.add(queue="other")
        store.pause("mail", paused=True)
        assert [row.id for row in bench.claim()] == [free]
        assert bench.claim(queues=("mail",)) == []
        store.pause("mail", paused=False)
        assert bench.take().id == held

    def test_a_paused_queue_takes_new_jobs_and_lets_running_ones_end(self, bench: Bench, store: Store) -> None:
        bench.add(queue="mail")
        row = bench.take()
        store.pause("mail", paused=True)
        bench.add(queue="mail")
        bench.end("completed", row)
        assert bench.state(row.id) is JobState.COMPLETED
        assert store.depth("mail") == 1

    def test_a_queue_may_be_paused_before_it_is_known(self, bench: Bench, store: Store) -> None:
        store.pause("later", paused=True)
        bench.add(queue="later")
        assert bench.claim() == []

    def test_pausing_leaves_the_other_settings(self, store: Store) -> None:
        store.set_queue("mail", QueueSettings(priority=3, concurrency=2))
        store.pause("mail", paused=True)
        store.pause("mail", paused=True)
        assert store.queues() == [QueueInfo("mail", 3, True, 2, empty_counts())]  # noqa: FBT003 - a record
        store.pause("mail", paused=False)
        assert store.queues() == [QueueInfo("mail", 3, False, 2, empty_counts())]  # noqa: FBT003

    def test_settings_that_say_nothing_of_a_pause_leave_it(self, store: Store) -> None:
        store.pause("mail", paused=True)
        store.set_queue("mail", QueueSettings(priority=1))
        assert store.queues()[0].paused
        store.set_queue("mail", QueueSettings(paused=False))
        assert not store.queues()[0].paused
        store.set_queue("mail", QueueSettings(paused=True))
        assert store.queues()[0].paused

    def test_a_paused_queue_of_high_priority_holds_up_no_other(self, bench: Bench, store: Store) -> None:
        store.set_queue("high", QueueSettings(priority=9, paused=True))
        bench.add(queue="high")
        low = bench.add(queue="low")
        assert bench.take().id == low

    # -- limits

    def test_a_queue_runs_no_more_than_its_limit_over_all_workers(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=3))
        ids = bench.add_some(9, queue="mail")
        assert [row.id for row in bench.claim(ANN, 2)] == ids[:2]
        assert [row.id for row in bench.claim(BEN, 9)] == ids[2:3]
        assert bench.claim(ANN) == []

    def test_the_room_that_an_end_makes_is_used_in_the_same_step(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=2))
        ids = bench.add_some(5, queue="mail")
        rows = bench.claim(ANN)
        outcomes = [Outcome.completed(row, None, retention=KEPT) for row in rows]
        assert [row.id for row in store.step(ANN, outcomes, [ClaimRequest(9)]).claimed] == ids[2:4]

    def test_a_job_asked_to_cancel_still_counts_for_the_limit(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=1))
        bench.add_some(2, queue="mail")
        row = bench.take()
        bench.cancel(row.id)
        assert bench.claim() == []
        bench.end("cancelled", row)
        assert len(bench.claim()) == 1

    def test_a_rescued_job_makes_room(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=1))
        bench.add_some(2, queue="mail")
        first = bench.take()
        bench.lose(first)
        assert [row.id for row in bench.claim(BEN)] == [first.id]

    def test_all_tasks_of_a_queue_share_its_limit(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=2))
        for task in ("read", "write", "erase"):
            bench.add(queue="mail", task=task)
        assert len(bench.claim(tasks=frozenset({"read"}))) == 1
        assert len(bench.claim(tasks=frozenset({"write", "erase"}))) == 1
        assert bench.claim() == []

    def test_a_limit_holds_up_its_own_queue_only(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(priority=5, concurrency=2))
        bench.add_some(9, queue="mail")
        bench.add_some(9, queue="other")
        assert sorted(row.queue for row in bench.claim(limit=6)) == ["mail"] * 2 + ["other"] * 4

    def test_several_requests_of_one_step_share_the_limit(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=3))
        bench.add_some(9, queue="mail")
        assert len(store.step(ANN, (), [ClaimRequest(2), ClaimRequest(2), ClaimRequest(2)]).claimed) == 3

    def test_a_limit_may_be_raised_lowered_and_lifted(self, bench: Bench, store: Store) -> None:
        bench.add_some(20, queue="mail")
        store.set_queue("mail", QueueSettings(concurrency=4))
        running = bench.claim()
        store.set_queue("mail", QueueSettings(concurrency=2))
        for row in running[:2]:
            bench.end("completed", row)
        assert bench.claim() == []
        store.set_queue("mail", QueueSettings(concurrency=3))
        assert len(bench.claim()) == 1
        store.set_queue("mail", QueueSettings(concurrency=None))
        assert len(bench.claim()) == 15

    # -- what is told

    def test_queues_are_told_by_name_with_settings_and_counts(self, bench: Bench, store: Store) -> None:
        store.set_queue("settings only", QueueSettings(priority=-2, concurrency=7))
        bench.add_some(2, queue="jobs only")
        store.pause("both", paused=True)
        bench.bring(JobState.SCHEDULED, queue="both")
        assert store.queues() == [
            QueueInfo("both", 0, True, None, empty_counts() | {JobState.SCHEDULED: 1}),  # noqa: FBT003
            QueueInfo("jobs only", 0, False, None, empty_counts() | {JobState.PENDING: 2}),  # noqa: FBT003
            QueueInfo("settings only", -2, False, 7, empty_counts()),  # noqa: FBT003
        ]

    def test_a_queue_without_settings_is_forgotten_with_its_last_job(self, bench: Bench, store: Store) -> None:
        id = bench.add(queue="short")
        store.delete([id], DELETABLE)
        assert store.queues() == []

    def test_jobs_of_every_state_count_for_their_queue(self, bench: Bench, store: Store) -> None:
        for state in sorted(JobState, key=lambda state: state is JobState.PENDING):  # a pending one would be claimed
            bench.bring(state, queue="mail")
        bench.add(queue="other")
        assert [info.counts for info in store.queues()] == [dict.fromkeys(JobState, 1), store.counts("other")]

    def test_settings_are_replaced_as_a_whole(self, store: Store) -> None:
        store.set_queue("mail", QueueSettings(priority=3, concurrency=2))
        store.set_queue("mail", QueueSettings())
        assert store.queues() == [QueueInfo("mail", 0, False, None, empty_counts())]  # noqa: FBT003

    def test_depth_counts_paused_and_limited_queues_too(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=1, paused=True))
        bench.add_some(3, queue="mail")
        bench.add(queue="mail", delay=HOUR)
        assert (store.depth("mail"), store.depth()) == (3, 3)
        bench.later(HOUR / SECOND)
        assert (store.depth("mail"), store.depth()) == (4, 4)
