"""Workers killed at work: all comes back, once, and a job that kills its worker harms no other."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from millrace import JobState, Reason
from tests.faults.company import Company, open_company
from tests.faults.history import check
from tests.faults.stage import wait_for

HELD = 1000
WITHIN = 5.0  # seconds: what the lease of 2 s leaves for finding out and beginning anew; no allowance for the machine


def test_a_thousand_jobs_of_a_killed_worker_run_again_within_five_seconds(tmp_path: Path) -> None:
    with open_company(tmp_path) as company:
        company.enqueue(HELD, "hold")
        victim = company.hire(concurrency=HELD)
        wait_for(lambda: _count(company.events(), "began") == HELD, "all jobs to run")
        other = company.hire(concurrency=HELD)
        victim.process.kill()
        killed = time.monotonic_ns()
        company.wait_for_state(JobState.COMPLETED, HELD)
        other.dismiss()
        events, rows = company.events(), company.rows()

    again = [event for event in events if event["e"] == "began" and event["claim"] > 1]
    seconds = (max(event["t"] for event in again) - killed) / 1e9
    print(f"\n{HELD} jobs held with a lease of 2 s: all running again {seconds:.2f} s after the kill")  # noqa: T201
    assert Counter(event["job"] for event in again) == dict.fromkeys({row.id.hex() for row in rows}, 1)
    assert max(Counter(event["job"] for event in events if event["e"] == "finished").values()) == 1
    assert len(rows) == HELD
    assert {row.crashes for row in rows} == {1}
    assert check(events, rows).violations == []
    assert seconds < WITHIN


@pytest.mark.parametrize("boundary", [("after", "BEGIN IMMEDIATE"), ("before", "COMMIT"), ("after", "COMMIT")])
@pytest.mark.parametrize("what", ["claim", "finish"])
def test_a_worker_killed_within_a_step_loses_nothing(tmp_path: Path, what: str, boundary: tuple[str, str]) -> None:
    with open_company(tmp_path) as company:
        company.enqueue(60, seconds=0.005)
        victim = company.hire(concurrency=4, die=(what, 3, boundary))
        assert victim.process.wait(20) == -9
        other = company.hire(concurrency=10)
        company.wait_until_quiet()
        other.dismiss()
        events, rows = company.events(), company.rows()

    assert Counter(row.state for row in rows) == {JobState.COMPLETED: 60}
    assert check(events, rows).violations == []
    ended = Counter(event["job"] for event in events if event["e"] == "ended" and event["state"] == "completed")
    assert set(ended.values()) == {1}


@pytest.mark.parametrize("max_crashes", [2, 3])
def test_a_poison_job_dies_and_takes_no_neighbour_with_it(tmp_path: Path, max_crashes: int) -> None:
    """With its last chance ahead a job runs alone, so only the crashes before that can hit neighbours."""
    with open_company(tmp_path) as company:
        company.enqueue(30, seconds=0.03, max_crashes=max_crashes)
        company.enqueue(1, "poison", max_crashes=max_crashes)
        company.enqueue(30, seconds=0.03, max_crashes=max_crashes)
        for _ in range(max_crashes + 1):
            _work_until_a_crash_or_the_end(company)
        assert company.all_ended(), "the poison has killed more often than it may"
        events, rows = company.events(), company.rows()

    (poison,) = [row for row in rows if row.task == "poison"]
    good = [row for row in rows if row.task == "work"]
    assert (poison.state, poison.reason, poison.crashes) == (JobState.DEAD, Reason.CRASHED, max_crashes)
    assert {row.state for row in good} == {JobState.COMPLETED}
    assert max(row.crashes for row in good) < max_crashes
    assert check(events, rows).violations == []
    held = _running_at_its_end(events, poison.id.hex(), max_crashes)
    assert held == {poison.id.hex()}, "the last chance was not had alone"


def _work_until_a_crash_or_the_end(company: Company) -> None:
    worker = company.hire(concurrency=6)
    wait_for(lambda: worker.process.poll() is not None or company.all_ended(), "a crash, or the end")
    if worker.process.poll() is None:
        worker.dismiss()


def _count(events: list[dict[str, object]], kind: str) -> int:
    return sum(event["e"] == kind for event in events)


def _running_at_its_end(events: list[dict[str, object]], job: str, turn: int) -> set[str]:
    """The jobs that the worker held when the poison's n-th run took it down."""
    last = [event for event in events if event["e"] == "began" and event["job"] == job][turn - 1]
    held = Counter[str]()
    for event in events:
        if event.get("worker") == last["worker"] and event["e"] in {"claimed", "ended", "refused"}:
            held[str(event["job"])] += 1 if event["e"] == "claimed" else -1
    return {each for each, number in held.items() if number}
