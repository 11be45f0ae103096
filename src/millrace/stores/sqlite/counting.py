"""Counts of jobs. Owns the reads; final states are counted in `lanes` as they come, live ones from their index.

Each is one statement, so that it sees one state of the file.
"""

from __future__ import annotations

from millrace.messages import Waiting, empty_counts
from millrace.states import JobState
from millrace.stores.sqlite.rows import STATES
from millrace.stores.sqlite.session import Session

__all__ = ["count_by_queue", "count_states", "count_waiting", "tell_waiting"]

# jobs_pending (lane>?), jobs_due (due>?) and jobs_lease (lease>?), the first two without a look at the table
COUNTS = """SELECT * FROM (SELECT total(completed), total(dead), total(cancelled) FROM {p}lanes),
 (SELECT count(*) FROM {p}jobs WHERE state=2 AND lane>=0),
 (SELECT count(*) FILTER (WHERE state=0), count(*) FILTER (WHERE state=1) FROM {p}jobs
  WHERE state<=1 AND due>=-9223372036854775808),
 (SELECT count(*) FILTER (WHERE state=3), count(*) FILTER (WHERE state=4) FROM {p}jobs WHERE lease>=0)"""
# The like; pending by jobs_pending (lane=?)
COUNTS_OF_QUEUE = """WITH own AS (SELECT id, completed, dead, cancelled FROM {p}lanes WHERE queue=?)
 SELECT * FROM (SELECT total(completed), total(dead), total(cancelled) FROM own),
 (SELECT count(*) FROM {p}jobs WHERE state=2 AND lane IN (SELECT id FROM own)),
 (SELECT count(*) FILTER (WHERE state=0), count(*) FILTER (WHERE state=1) FROM {p}jobs
  WHERE state<=1 AND due>=-9223372036854775808 AND +lane IN (SELECT id FROM own)),
 (SELECT count(*) FILTER (WHERE state=3), count(*) FILTER (WHERE state=4) FROM {p}jobs
  WHERE lease>=0 AND +lane IN (SELECT id FROM own))"""
_COLUMNS = (
    JobState.COMPLETED,
    JobState.DEAD,
    JobState.CANCELLED,
    JobState.PENDING,
    JobState.SCHEDULED,
    JobState.FAILED,
    JobState.RUNNING,
    JobState.CANCELLING,
)

DEPTH = """SELECT (SELECT count(*) FROM {p}jobs WHERE state=2 AND lane>=0)
 + (SELECT count(*) FROM {p}jobs WHERE state<=1 AND due<=?1)"""
DEPTH_OF_QUEUE = """SELECT (SELECT count(*) FROM {p}jobs
  WHERE state=2 AND lane IN (SELECT id FROM {p}lanes WHERE queue=?2))
 + (SELECT count(*) FROM {p}jobs WHERE state<=1 AND due<=?1 AND +lane IN (SELECT id FROM {p}lanes WHERE queue=?2))"""

# jobs_pending, in whose order the lanes come, and jobs_due (due<?), both without a look at the table: all of each lane
# is read, for its priorities stand between the lane and the due times
WAITING = """SELECT queue, task, sum(number), min(since) FROM (
 SELECT lane, count(*) AS number, min(due) AS since FROM {p}jobs WHERE state=2 AND lane>=0 GROUP BY lane
 UNION ALL SELECT lane, count(*), min(due) FROM {p}jobs WHERE state<=1 AND due<=?1 GROUP BY lane)
 JOIN {p}lanes AS lanes ON lanes.id=lane GROUP BY queue, task ORDER BY queue, task"""

# The same indexes, grouped by lane; jobs_due and jobs_lease need a sort for it.
BY_LANE = """SELECT queue, state, sum(number) FROM (
 SELECT id AS lane, 5 AS state, completed AS number FROM {p}lanes
 UNION ALL SELECT id, 6, dead FROM {p}lanes
 UNION ALL SELECT id, 7, cancelled FROM {p}lanes
 UNION ALL SELECT lane, 2, count(*) FROM {p}jobs WHERE state=2 AND lane>=0 GROUP BY lane
 UNION ALL SELECT lane, state, count(*) FROM {p}jobs
  WHERE state<=1 AND due>=-9223372036854775808 GROUP BY lane, state
 UNION ALL SELECT lane, state, count(*) FROM {p}jobs WHERE lease>=0 GROUP BY lane, state)
 JOIN {p}lanes AS lanes ON lanes.id=lane GROUP BY queue, state"""


def count_states(session: Session, queue: str | None) -> dict[JobState, int]:
    """Count jobs by state."""
    if queue is None:
        (row,) = session.rows(COUNTS)
    else:
        (row,) = session.rows(COUNTS_OF_QUEUE, (queue,))
    return empty_counts() | dict(zip(_COLUMNS, map(int, row), strict=True))


def count_by_queue(session: Session) -> dict[str, dict[JobState, int]]:
    """Count jobs by queue and state; a queue whose jobs are all gone is there with zeros."""
    counts: dict[str, dict[JobState, int]] = {}
    for queue, state, number in session.rows(BY_LANE):
        counts.setdefault(queue, empty_counts())[STATES[state]] = number
    return counts


def count_waiting(session: Session, queue: str | None) -> int:
    """Count what waits for a worker."""
    if queue is None:
        ((waiting,),) = session.rows(DEPTH, (session.now,))
    else:
        ((waiting,),) = session.rows(DEPTH_OF_QUEUE, (session.now, queue))
    return int(waiting)


def tell_waiting(session: Session) -> list[Waiting]:
    """Tell the same by queue and task, with the earliest due time of each."""
    return [
        Waiting(queue, task, int(number), int(since))
        for queue, task, number, since in session.rows(WAITING, (session.now,))
    ]
