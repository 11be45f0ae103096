"""Examples of limits: running jobs of a key, rates of queues and keys, keys that take turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ENDINGS, HOUR, KEPT, LEASE, Bench
from millrace.conformance.examples import Examples
from millrace.conformance.threads import at_once
from millrace.groups import Group, Pace, encode_group
from millrace.job import JobRow
from millrace.messages import ClaimRequest, JobFilter, QueueSettings, Waiting
from millrace.outcome import Outcome
from millrace.states import FINAL, RETRYABLE, JobState
from millrace.store import Store

__all__ = ["LimitExamples"]

MINUTE = 60 * SECOND


def limited(count: int, key: str = "") -> str:
    """Return the group of a job that falls under a limit."""
    return encode_group(Group(limit=count, limit_key=key))


def rated(count: int, per: int, key: str = "") -> str:
    """Return the group of a job that falls under a rate."""
    return encode_group(Group(rate=Pace(count, per), rate_key=key))


def fair(key: str) -> str:
    """Return the group of a job whose key takes turns."""
    return encode_group(Group(fair=key))


def ids_of(rows: Sequence[JobRow]) -> list[bytes]:
    """Return the ids of jobs."""
    return [row.id for row in rows]


def step(store: Store, worker: int, number: int, done: Sequence[JobRow] = ()) -> list[JobRow]:
    """Complete jobs and claim more, in one step."""
    outcomes = [Outcome.completed(row, None, retention=KEPT) for row in done]
    return list(store.step(worker, outcomes, [ClaimRequest(number, lease=LEASE)]).claimed)


class LimitExamples(Examples):
    """What a store does with jobs that have a group, and with queues that have a rate."""

    # -- running jobs of a key

    def test_no_more_jobs_of_a_key_run_than_its_limit_over_all_workers(self, bench: Bench) -> None:
        ids = bench.add_some(5, group=limited(2, "acme"))
        assert ids_of(bench.claim(ANN, 1)) == ids[:1]
        assert ids_of(bench.claim(BEN)) == ids[1:2]
        assert bench.claim(ANN) == []

    def test_each_key_has_room_of_its_own(self, bench: Bench) -> None:
        first = bench.add_some(3, group=limited(2, "acme"))
        second = bench.add_some(3, group=limited(2, "other"))
        assert ids_of(bench.claim()) == first[:2] + second[:2]

    def test_each_task_and_each_queue_counts_by_itself(self, bench: Bench) -> None:
        for fields in ({}, {"task": "read"}, {"queue": "mail"}):
            bench.add_some(2, group=limited(1), **fields)
        assert sorted((row.queue, row.task) for row in bench.claim()) == [
            ("default", "read"), ("default", "work"), ("mail", "work"),
        ]  # fmt: skip

    def test_a_full_key_holds_up_no_other_job_of_its_queue(self, bench: Bench) -> None:
        first = bench.add_some(20, group=limited(1, "acme"))
        plain = bench.add()
        other = bench.add(group=limited(1, "other"))
        assert ids_of(bench.claim()) == [first[0], plain, other]
        plain = bench.add(task="read")
        assert ids_of(bench.claim()) == [plain]

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_however_an_attempt_ends_it_makes_room(self, bench: Bench, ending: str) -> None:
        first, second = bench.add_some(2, group=limited(1, "acme"))
        row = bench.take()
        assert bench.claim(BEN) == []
        bench.end(ending, row)
        assert ids_of(bench.claim(BEN)) == [first if bench.state(first) is JobState.RUNNING else second]
        assert bench.claim(BEN) == []

    def test_a_lost_lease_makes_room(self, bench: Bench) -> None:
        first, _ = bench.add_some(2, group=limited(1, "acme"))
        bench.lose(bench.take())
        assert ids_of(bench.claim(BEN)) == [first]
        assert bench.claim(BEN) == []

    def test_a_job_asked_to_cancel_still_counts_for_its_key(self, bench: Bench) -> None:
        _, second = bench.add_some(2, group=limited(1, "acme"))
        row = bench.take()
        bench.cancel(row.id)
        assert bench.claim() == []
        bench.end("cancelled", row)
        assert ids_of(bench.claim()) == [second]

    def test_the_room_that_an_end_makes_is_used_in_the_same_step(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(5, group=limited(2, "acme"))
        assert ids_of(step(store, ANN, 9, bench.claim())) == ids[2:4]

    def test_several_requests_of_one_step_share_the_limit_of_a_key(self, bench: Bench, store: Store) -> None:
        bench.add_some(9, group=limited(3, "acme"))
        assert len(store.step(ANN, (), [ClaimRequest(2), ClaimRequest(2), ClaimRequest(2)]).claimed) == 3

    def test_the_limits_of_a_key_and_of_its_queue_both_hold(self, bench: Bench, store: Store) -> None:
        for key in ("acme", "other", "third"):
            bench.add_some(3, queue="mail", group=limited(2, key))
        store.set_queue("mail", QueueSettings(concurrency=3))
        assert len(bench.claim()) == 3
        store.set_queue("mail", QueueSettings())
        assert len(bench.claim()) == 3
        assert bench.claim() == []

    def test_jobs_with_limits_keep_the_order_of_their_queue(self, bench: Bench) -> None:
        late = bench.add(group=limited(9, "acme"))
        plain = bench.add(priority=1)
        high = bench.add(group=limited(9, "other"), priority=2)
        early = bench.add(group=limited(9, "third"), due=bench.now - HOUR)
        assert ids_of(bench.claim()) == [high, plain, early, late]

    def test_a_job_keeps_its_group_until_it_is_due(self, bench: Bench) -> None:
        bench.add_some(3, group=limited(1, "acme"), delay=HOUR)
        assert bench.claim() == []
        bench.later(3600)
        assert len(bench.claim()) == 1
        assert bench.claim() == []

    def test_a_job_keeps_its_group_when_it_is_retried(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(3, group=limited(3, "acme"))
        for row in bench.claim():
            bench.end("dead", row)
        running = bench.add(group=limited(1, "acme"))
        assert ids_of(bench.claim()) == [running]
        assert all(each.changed for each in store.retry(ids, RETRYABLE))
        assert len(bench.claim()) == 2

    def test_a_claim_of_some_tasks_passes_by_the_groups_of_others(self, bench: Bench) -> None:
        bench.add_some(2, group=limited(1, "acme"))
        read = bench.add(task="read", group=limited(1, "acme"))
        assert ids_of(bench.claim(tasks=frozenset({"read"}))) == [read]
        assert bench.claim(tasks=frozenset({"nobody"})) == []

    def test_a_claim_tells_the_group(self, bench: Bench) -> None:
        bench.add(group=limited(1, "acme"))
        bench.add()
        assert [row.group for row in bench.claim()] == [limited(1, "acme"), None]

    def test_a_key_may_hold_any_text(self, bench: Bench) -> None:
        keys = ["", "ä", "😀", '"', "\\", "a|b", "[1]", "\x01", "x" * 200]
        bench.add_some(2, group=limited(1, "plain"))
        for key in keys:
            bench.add_some(2, group=encode_group(Group(1, key, Pace(5, SECOND), key, key)))
        assert len(bench.claim()) == len(keys) + 1
        assert bench.claim() == []

    def test_jobs_are_counted_and_found_by_their_task_whatever_their_group(self, bench: Bench, store: Store) -> None:
        for key in ("acme", "other"):
            bench.add_some(2, group=limited(1, key))
        bench.add()
        assert store.waiting() == [Waiting("default", "work", 5, bench.now)]
        assert len(store.page(JobFilter(task="work"), limit=9)[0]) == 5
        pending = JobFilter(task="work", states=frozenset({JobState.PENDING}))
        assert len(store.page(pending, limit=9)[0]) == 5
        bench.claim()
        assert store.counts("default")[JobState.RUNNING] == 3
        assert store.depth() == 2

    def test_a_limit_of_many_keys_gives_all_there_is(self, bench: Bench, store: Store) -> None:
        rows = [bench.row(group=limited(2, f"k{number % 40}")) for number in range(200)]
        store.insert(rows)
        given: list[JobRow] = []
        running: list[JobRow] = []
        while running := step(store, ANN, 50, running):
            given += running
        assert sorted(ids_of(given)) == sorted(row.id for row in rows)

    # -- rates

    def test_a_queue_gives_what_its_bucket_holds_and_then_as_it_fills(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(rate=Pace(6, MINUTE)))
        ids = bench.add_some(9, queue="mail")
        assert ids_of(bench.claim(limit=4)) == ids[:4]
        assert ids_of(bench.claim()) == ids[4:6]
        assert bench.claim() == []
        bench.later(9.5)
        assert bench.claim() == []
        bench.later(0.5)
        assert ids_of(bench.claim()) == ids[6:7]
        bench.later(20)
        assert ids_of(bench.claim()) == ids[7:9]

    def test_a_step_tells_when_the_next_token_comes(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(rate=Pace(1, MINUTE)))
        bench.add_some(2, queue="mail")
        bench.claim()
        assert store.step(ANN, (), [ClaimRequest(1)]).room_at == bench.now + MINUTE
        bench.later(60)
        answer = store.step(ANN, (), [ClaimRequest(5)])
        assert (len(answer.claimed), answer.room_at) == (1, None)

    def test_nothing_is_told_of_tokens_that_nobody_waits_for(self, bench: Bench, store: Store) -> None:
        bench.add(group=rated(1, MINUTE))
        assert store.step(ANN, (), [ClaimRequest(5)]).room_at is None
        assert store.step(ANN, (), [ClaimRequest(5)]).room_at is None

    def test_each_key_has_a_bucket_of_its_own(self, bench: Bench, store: Store) -> None:
        first = bench.add_some(3, group=rated(2, MINUTE, "acme"))
        second = bench.add_some(3, group=rated(2, MINUTE, "other"))
        assert ids_of(bench.claim()) == first[:2] + second[:2]
        assert store.step(BEN, (), [ClaimRequest(5)]).room_at == bench.now + 30 * SECOND
        bench.later(30)
        assert ids_of(bench.claim(BEN)) == [first[2], second[2]]

    def test_a_token_is_spent_by_the_claim_however_it_ends(self, bench: Bench) -> None:
        bench.add_some(2, group=rated(1, MINUTE))
        bench.end("released", bench.take())
        assert bench.claim() == []

    def test_the_rates_of_a_key_and_of_its_queue_both_hold(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(rate=Pace(3, MINUTE)))
        for key in ("acme", "other"):
            bench.add_some(3, queue="mail", group=rated(2, HOUR, key))
        assert len(bench.claim()) == 3
        bench.later(60)
        assert len(bench.claim()) == 1
        assert bench.claim() == []

    def test_a_rate_holds_up_its_own_queue_only(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(priority=5, rate=Pace(2, MINUTE)))
        bench.add_some(5, queue="mail")
        bench.add_some(5, queue="other")
        assert sorted(row.queue for row in bench.claim(limit=6)) == ["mail"] * 2 + ["other"] * 4

    def test_queues_with_and_without_limits_take_turns(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(rate=Pace(1000, MINUTE)))
        for queue in ("mail", "other"):
            bench.add_some(10, queue=queue)
        assert {row.queue for _ in range(2) for row in bench.claim(limit=1)} == {"mail", "other"}
        assert len(bench.claim()) == 18

    def test_what_other_queues_leave_of_a_claim_is_no_way_past_a_limit(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=6, rate=Pace(1000, MINUTE)))
        store.set_queue("post", QueueSettings(rate=Pace(7, MINUTE)))
        for queue in ("mail", "post"):
            bench.add_some(20, queue=queue)
        bench.add(queue="other")
        claimed = [row.queue for row in bench.claim(limit=18)]
        assert sorted(claimed) == ["mail"] * 6 + ["other"] + ["post"] * 7

    def test_the_rate_of_a_queue_is_told_and_may_be_lifted(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(concurrency=5, rate=Pace(1, MINUTE)))
        bench.add_some(4, queue="mail")
        assert len(bench.claim()) == 1
        (told,) = store.queues()
        assert (told.pace, told.concurrency) == (Pace(1, MINUTE), 5)
        store.pause("mail", paused=False)
        assert store.queues()[0].pace == Pace(1, MINUTE)
        store.set_queue("mail", QueueSettings())
        assert store.queues()[0].pace is None
        assert len(bench.claim()) == 3

    def test_in_no_time_are_there_more_claims_than_a_rate_allows(self, bench: Bench) -> None:
        bench.add_some(40, group=rated(3, 7 * SECOND))
        times: list[int] = []
        for _ in range(60):
            times += [bench.now] * len(bench.claim())
            bench.later(0.9)
        for place, begin in enumerate(times):
            for end in range(place, len(times)):
                allowed = 3 + (times[end] - begin) * 3 // (7 * SECOND)
                assert end - place + 1 <= allowed, f"{end - place + 1} claims in {times[end] - begin} us"
        assert len(times) == 3 + 59 * 9 * 3 // 70

    # -- keys that take turns

    def test_a_flood_of_one_key_does_not_starve_another(self, bench: Bench) -> None:
        bench.add_some(500, group=fair("flood"))
        few = bench.add_some(10, group=fair("few"))
        claimed = ids_of([row for _ in range(20) for row in bench.claim(limit=1)])
        assert [id for id in claimed if id in set(few)] == few
        assert len(bench.claim(limit=1000)) == 490

    def test_keys_take_turns_within_a_claim(self, bench: Bench) -> None:
        keys = {id: key for key in ("a", "b", "c") for id in bench.add_some(4, group=fair(key))}
        turns = [keys[row.id] for row in bench.claim()]
        assert [set(turns[start : start + 3]) for start in range(0, 12, 3)] == [{"a", "b", "c"}] * 4

    def test_jobs_without_a_key_are_as_one_key_more(self, bench: Bench) -> None:
        bench.add_some(50, group=fair("flood"))
        plain = bench.add_some(3)
        limits = bench.add_some(3, task="read", group=limited(9))
        claimed = ids_of(bench.claim(limit=12))
        assert [id for id in claimed if id in {*plain, *limits}] == plain + limits

    def test_a_higher_priority_comes_before_turns(self, bench: Bench) -> None:
        bench.add_some(3, group=fair("a"))
        urgent = bench.add_some(3, group=fair("b"), priority=1)
        assert ids_of(bench.claim(limit=3)) == urgent

    def test_a_key_that_is_full_leaves_its_turns_to_others(self, bench: Bench) -> None:
        bench.add_some(5, group=encode_group(Group(limit=1, limit_key="a", fair="a")))
        second = bench.add_some(3, group=encode_group(Group(limit=9, limit_key="b", fair="b")))
        claimed = ids_of(bench.claim())
        assert len(claimed) == 4
        assert [id for id in claimed if id in set(second)] == second

    # -- threads

    def test_the_limit_of_a_key_holds_however_many_claim_at_once(self, bench: Bench, store: Store) -> None:
        for key in ("acme", "other"):
            bench.add_some(40, group=limited(3, key))
        claimed = at_once(lambda worker: step(store, worker + 1, 2))
        assert sum(map(len, claimed)) == 6
        assert bench.claim() == []

    def test_tokens_are_given_once_however_many_claim_at_once(self, bench: Bench, store: Store) -> None:
        store.set_queue("mail", QueueSettings(rate=Pace(7, HOUR)))
        bench.add_some(40, queue="mail")
        bench.add_some(40, group=rated(5, HOUR, "acme"))
        claimed = [row for rows in at_once(lambda worker: step(store, worker + 1, 9)) for row in rows]
        claimed += bench.claim()
        assert sorted(row.queue for row in claimed) == ["default"] * 5 + ["mail"] * 7

    def test_workers_that_finish_and_claim_at_once_never_pass_a_limit(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(120, group=limited(4, "acme"))
        running: list[int] = []
        most: list[int] = []

        def work(worker: int) -> list[bytes]:
            mine: list[bytes] = []
            for _ in range(200):
                rows = step(store, worker + 1, 3)
                running.extend([worker] * len(rows))
                most.append(len(running))
                for row in rows:
                    mine.append(row.id)
                    running.remove(worker)
                    bench.end("completed", row, worker + 1)
                if all(row is not None and row.state in FINAL for row in store.get(ids[-1:])):
                    break
            return mine

        done = [id for mine in at_once(work) for id in mine]
        done += [row.id for row in self._drain(bench, store)]
        assert sorted(done) == sorted(ids)
        assert max(most) <= 4

    def _drain(self, bench: Bench, store: Store) -> list[Any]:
        rows: list[Any] = []
        running: list[JobRow] = bench.claim()
        while running:
            rows += running
            running = step(store, ANN, 9, running)
        return rows
