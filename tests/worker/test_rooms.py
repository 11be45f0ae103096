"""The small rooms of the worker, each by itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import Backoff, ConfigurationError, JobState, Millrace, OutcomeKind, StoreUnavailable, Worker
from millrace.job import JobRow
from millrace.options import DEFAULT_LEASE, JobOptions, Terms
from millrace.outcome import ErrorRecord, Outcome
from millrace.registry import Registry, TaskSpec
from millrace.states import Reason
from millrace.worker.bell import Bell
from millrace.worker.floor import last_chance
from millrace.worker.notice import Notice, Notices
from millrace.worker.outage import Outage
from millrace.worker.pace import MOST_AHEAD, Pace
from millrace.worker.plan import Plan, Plans
from millrace.worker.settings import read_settings
from millrace.worker.summary import Summary, Tally
from millrace.worker.telling import MAX_LINE_BYTES, log_line
from millrace.worker.uptime import uptime


def row(number: int = 1, **fields: Any) -> JobRow:
    return JobRow(ref=number, id=number.to_bytes(16, "big"), task="t", queue="q", args=b"{}", claim=1, **fields)


# -- bell and notices


def test_rings_merge_and_wake_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()

    assert bell.wait(0.0)
    assert not bell.wait(0.0)


def test_a_ring_of_many_threads_at_once_wakes_the_waiter() -> None:
    bell = Bell()
    for _ in range(50):
        threads = [threading.Thread(target=bell.ring) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert bell.wait(10.0)
        for thread in threads:
            thread.join()
        bell.wait(0.0)


def test_a_notice_waits_for_a_count() -> None:
    notice = Notice()
    thread = threading.Thread(target=notice.tell, args=(3,))
    thread.start()

    assert notice.wait(3)
    assert not notice.wait(4, timeout=0.0)
    thread.join()


# -- pace


def test_the_pace_is_what_ended_over_the_last_moments() -> None:
    pace = Pace(0.0)
    pace.mark(8, 0.125)
    pace.mark(16, 0.25)

    assert pace.rate(32, 0.375) == 96.0
    assert pace.ahead(32, 0.375) == 9


def test_the_pace_falls_while_nothing_ends() -> None:
    pace = Pace(0.0)
    pace.mark(1000, 0.1)

    assert pace.ahead(1000, 0.2) == 500
    assert pace.ahead(1000, 10.0) == 10
    assert pace.ahead(1000, 1000.0) == 0


def test_never_more_than_the_most_is_claimed_ahead() -> None:
    assert Pace(0.0).ahead(10**9, 0.001) == MOST_AHEAD


def test_a_pace_begun_anew_knows_nothing() -> None:
    pace = Pace(0.0)
    pace.mark(1000, 0.1)
    pace.restart(1000, 5.0)

    assert pace.ahead(1000, 5.0) == 0
    assert pace.ahead(1001, 5.1) == 1


# -- plans


def spec(name: str, **options: Any) -> TaskSpec:
    return TaskSpec(name, lambda: None, run_in="thread", terms=Terms(**options))


def test_plans_follow_the_registry() -> None:
    registry = Registry()
    registry.add(spec("a"))
    plans = Plans(registry)
    assert (sorted(plans.claimable), dict(plans.leases), plans.shortest_lease) == (["a"], {}, DEFAULT_LEASE)
    registry.add(spec("b", lease=2.0))
    plans.refresh()

    assert (sorted(plans.claimable), dict(plans.leases), plans.shortest_lease) == (["a", "b"], {"b": 2_000_000}, 2.0)
    assert plans["b"].lease == 2_000_000
    with pytest.raises(KeyError):
        plans["c"]


def test_only_the_tasks_asked_for_are_claimed() -> None:
    registry = Registry()
    for name in ("a", "b"):
        registry.add(spec(name))

    assert Plans(registry, frozenset({"b", "c"})).claimable == {"b"}


def test_a_jobs_own_options_lie_over_its_tasks() -> None:
    plan = Plan(spec("a", timeout=5.0, retention=10.0))
    options = JobOptions(timeout=None, lease=3.0, retention=0.0).encode()
    assert options is not None
    over = plan.over(options)

    assert (plan.timeout, plan.lease, plan.retention) == (5.0, 30_000_000, 10_000_000)
    assert (over.timeout, over.lease, over.retention) == (None, 3_000_000, 0)
    assert over.decode is plan.decode


# -- settings

GOOD: dict[str, Any] = {
    "queues": None,
    "tasks": None,
    "concurrency": 10,
    "reserved": None,
    "burst": False,
    "grace": 30.0,
    "prefetch": None,
}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queues": "mail"}, "queues is a list of names, not the text 'mail'"),
        ({"queues": []}, "would claim nothing"),
        ({"queues": [""]}, "has 0 bytes"),
        ({"tasks": "add"}, "tasks is a list of names"),
        ({"concurrency": 0}, "concurrency 0 is not acceptable"),
        ({"concurrency": True}, "concurrency True is not acceptable"),
        ({"concurrency": 1.5}, "concurrency 1.5 is not acceptable"),
        ({"reserved": {"a": 0}}, "is not acceptable"),
        ({"reserved": {"a": 11}}, "reserved takes 11 slots of concurrency=10"),
        ({"reserved": {"a": 10}}, "no other queue would be served"),
        ({"reserved": {"a": 1}, "queues": ["b"]}, "which queues=.* leaves out"),
        ({"reserved": ["a"]}, "is no mapping"),
        ({"grace": -1}, "grace -1 is negative"),
        ({"prefetch": -1}, "prefetch -1 is not acceptable"),
    ],
)
def test_an_option_that_is_not_acceptable_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_settings(**{**GOOD, **options})


def test_all_slots_may_be_reserved_where_the_worker_serves_nothing_else() -> None:
    options: dict[str, Any] = {**GOOD, "queues": ["a", "b"], "reserved": {"a": 4, "b": 6}}
    settings = read_settings(**options)

    assert settings.reserved == {"a": 4, "b": 6}


def test_the_worker_tells_at_once(memory_app: Millrace) -> None:
    with pytest.raises(ConfigurationError):
        Worker(memory_app, concurrency=-1)


# -- summary


def test_a_cancel_that_won_counts_as_cancelled_and_what_was_refused_or_never_began_not_at_all() -> None:
    error = ErrorRecord("E", "no")
    outcomes = [
        Outcome.completed(row(1), None, retention=None),
        Outcome.failed(row(2), error, delay=1, retention=None),
        Outcome.dead(row(3), error, reason=Reason.EXHAUSTED, retention=None),
        Outcome.returned(row(4), retention=None),
    ]
    tally = Tally()
    tally.add(outcomes, {2}, {1: JobState.CANCELLED})
    tally.lost += 1
    tally.add(outcomes[:1], frozenset(), {})

    summary = tally.summary()
    assert dict(summary.outcomes) == {OutcomeKind.COMPLETED: 2, OutcomeKind.CANCELLED: 1}
    assert (summary.attempts, summary.lost) == (3, 1)


def test_a_summary_is_a_sentence() -> None:
    summary = Summary({OutcomeKind.COMPLETED: 10}, lost=1, abandoned=2, seconds=2.0)

    assert str(summary) == "10 completed, 1 lost, 2 abandoned in 2.0 s (5 jobs/s)"
    assert str(Summary({}, 0, 0, 0.0)) == "no job in 0.0 s (0 jobs/s)"


# -- outage


def test_an_outage_is_told_once_and_tried_later_each_time(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices()
    outage = Outage(notices)
    over: list[bool] = []
    outage.on_over = lambda: over.append(outage.open)
    naps: list[float] = []
    for _ in range(3):
        outage.hit(StoreUnavailable("gone"))
        naps.append(outage.next_try - uptime())
        outage.hit(StoreUnavailable("gone"))  # another thread found out as well: no further delay
        assert outage.next_try - uptime() <= naps[-1]
        outage.next_try = 0.0

    assert outage.open
    assert 0 < naps[0] <= 0.15
    assert naps[2] > 0.19
    outage.over()
    outage.over()
    assert (notices.outages.count, notices.recoveries.count, over) == (1, 1, [False])
    assert caplog.text.count("the store cannot be used") == 1


# -- the rest


@pytest.mark.parametrize(
    ("crashes", "most", "alone"),
    [(0, 1, False), (0, 3, False), (1, 3, False), (2, 3, True), (1, 2, True), (3, 3, False)],
)
def test_only_a_job_with_one_lost_lease_left_that_has_lost_one_runs_alone(
    crashes: int, most: int, *, alone: bool
) -> None:
    assert last_chance(row(crashes=crashes, max_crashes=most)) is alone


class Odd:
    def __repr__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("data", "written"),
    [
        ({}, None),
        ({"n": 1}, b'{"n":1}'),
        ({"o": Odd(), "n": 1}, b'{"o":"odd","n":"1"}'),
        ({"n": float("nan")}, b'{"n":"nan"}'),
    ],
)
def test_whatever_is_logged_beside_a_line_is_written(data: dict[str, Any], written: bytes | None) -> None:
    assert log_line(row(), 5, 20, "text", data).data == written


def test_a_long_line_is_cut_to_its_size() -> None:
    line = log_line(row(), 5, 20, "x" * 100_000, {"y": "y" * 100_000})

    assert line.data is not None
    assert len(line.message.encode()) + len(line.data) <= MAX_LINE_BYTES
    assert "y" in json.loads(line.data)["cut"]


@pytest.mark.parametrize("message", ["", "short", "x" * 3000, "ä" * 5000, "x" * (MAX_LINE_BYTES - 5)])
@pytest.mark.parametrize("value", ["", "y" * 3000, '"' * 9000, "\n" * 5000, "ö" * 5000, "y" * 2_000_000])
def test_message_and_values_fit_together_and_stay_json(message: str, value: str) -> None:
    line = log_line(row(), 5, 20, message, {"value": value})

    assert line.data is not None
    assert len(line.message.encode()) + len(line.data) <= MAX_LINE_BYTES
    assert set(json.loads(line.data)) <= {"value", "cut"}
    if len(message.encode()) <= MAX_LINE_BYTES // 2:
        assert line.message == message


def test_the_clock_goes_on() -> None:
    clock: Callable[[], float] = uptime

    assert clock() <= clock()


def test_the_default_policy_waits_some_seconds() -> None:
    assert Plan(spec("a")).terms.retry == Backoff()
