"""Counts of jobs. Owns the reads. Each is one statement, so that it sees one state of the database."""

from __future__ import annotations

from millrace.messages import Waiting, empty_counts
from millrace.states import JobState
from millrace.stores.postgres.rows import STATES
from millrace.stores.postgres.session import Session

__all__ = ["count_by_queue", "count_states", "count_waiting", "tell_waiting"]

# The whole table once.
COUNTS = "select state, count(*) from {s}.job group by state"
COUNTS_OF_QUEUE = "select state, count(*) from {s}.job where queue = %(queue)b group by state"
BY_QUEUE = "select queue, state, count(*) from {s}.job group by queue, state"

# What is live, dead or cancelled, by job_ready, job_due, job_lease and job_odd, exactly; of what has completed an
# estimate: the rows that the last vacuum or analyze saw, those above taken off. At least as many as can be counted by
# job_expire within its limit, and exactly those where they are fewer.
ESTIMATE = """with live as (
 select state, count(*) as number from {s}.job where state = 1 group by state
 union all select state, count(*) from {s}.job where state in (0, 4) group by state
 union all select state, count(*) from {s}.job where state in (2, 3) group by state
 union all select state, count(*) from {s}.job where state in (4, 6, 7) and state + 0 <> 4 group by state),
ended as (select count(*) filter (where state = 5) as number, count(*) as seen
 from (select state from {s}.job where state in (5, 6, 7) limit 50001) x)
select state::bigint, number from live
union all select 5, case when seen <= 50000 then number else greatest(number,
  (select reltuples::bigint from pg_class where oid = '{s}.job'::regclass) - (select sum(number) from live)::bigint)
 end from ended"""

# job_ready and job_due (due<=)
DEPTH = """select (select count(*) from {s}.job where state = 1)
 + (select count(*) from {s}.job where state in (0, 4) and due <= (select {now}))"""
DEPTH_OF_QUEUE = """select (select count(*) from {s}.job where state = 1 and queue = %(queue)b)
 + (select count(*) from {s}.job where state in (0, 4) and due <= (select {now}) and queue = %(queue)b)"""
WAITING = """select queue, task, count(*), min(due) from (
 select queue, task, due from {s}.job where state = 1
 union all select queue, task, due from {s}.job where state in (0, 4) and due <= (select {now})) x
group by queue, task order by queue, task"""


def count_states(session: Session, queue: str | None, *, exact: bool) -> dict[JobState, int]:
    """Count jobs by state."""
    if queue is not None:
        rows = session.rows(COUNTS_OF_QUEUE, {"queue": queue})
    else:
        rows = session.rows(COUNTS if exact else ESTIMATE)
    return empty_counts() | {STATES[state]: int(number) for state, number in rows}


def count_by_queue(session: Session) -> dict[str, dict[JobState, int]]:
    """Count jobs by queue and state."""
    counts: dict[str, dict[JobState, int]] = {}
    for queue, state, number in session.rows(BY_QUEUE):
        counts.setdefault(queue, empty_counts())[STATES[state]] = number
    return counts


def count_waiting(session: Session, queue: str | None) -> int:
    """Count what waits for a worker."""
    if queue is None:
        ((waiting,),) = session.rows(DEPTH)
    else:
        ((waiting,),) = session.rows(DEPTH_OF_QUEUE, {"queue": queue})
    return int(waiting)


def tell_waiting(session: Session) -> list[Waiting]:
    """Tell the same by queue and task, with the earliest due time of each."""
    return [Waiting(queue, task, number, since) for queue, task, number, since in session.rows(WAITING)]
