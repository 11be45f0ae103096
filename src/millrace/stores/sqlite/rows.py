"""How a row of `jobs` becomes a `JobRow`. Owns the numbers of the states, the handle `ref` and the mapping of columns.

`ref` holds the job's lane beside its number, so that finishing a job need not read which lane to count it in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from millrace.job import JobRow, Progress
from millrace.states import JobState, Reason
from millrace.stores.sqlite.session import Session

__all__ = [
    "CANCELLED",
    "CANCELLING",
    "COMPLETED",
    "DEAD",
    "FAILED",
    "ID_MASK",
    "LANE_SHIFT",
    "NUMBERS",
    "PENDING",
    "REASONS",
    "RUNNING",
    "SCHEDULED",
    "STATES",
    "decode_tags",
    "encode_tags",
    "job_row",
    "rows_by_id",
    "rows_by_uid",
]

STATES: Final[Mapping[int, JobState]] = dict(
    enumerate(
        (
            JobState.SCHEDULED,
            JobState.FAILED,
            JobState.PENDING,
            JobState.RUNNING,
            JobState.CANCELLING,
            JobState.COMPLETED,
            JobState.DEAD,
            JobState.CANCELLED,
        )
    )
)
NUMBERS: Final = {state: number for number, state in STATES.items()}
SCHEDULED, FAILED, PENDING, RUNNING, CANCELLING, COMPLETED, DEAD, CANCELLED = range(8)

# A text that a newer version may have written becomes None.
REASONS: Final[dict[str | None, Reason]] = {reason.value: reason for reason in Reason}

LANE_SHIFT: Final = 44  #: 2**44 jobs and 2**19 lanes fit into 63 bits
ID_MASK: Final = (1 << LANE_SHIFT) - 1

# Everything about a job, read from where it lies. CROSS JOIN keeps `jobs` the outer loop, whatever ANALYZE says of the
# others, which are one look by primary key each.
_COLUMNS = """SELECT jobs.lane<<44|jobs.id, jobs.uid, lanes.task, lanes.queue, coalesce(jobs.args, bodies.args),
 jobs.state, jobs.priority, jobs.due, jobs.created, jobs.attempt, jobs.max_attempts, jobs.claim, jobs.crashes,
 jobs.max_crashes, jobs.rev, jobs.worker, jobs.lease, jobs.started, jobs.finished, jobs.expires, jobs.reason,
 jobs.unique_key, jobs.tags, jobs.options, progress.fraction, progress.message, results.value, errors.text, lanes.key
 FROM {p}jobs AS jobs CROSS JOIN {p}lanes AS lanes ON lanes.id=jobs.lane
 LEFT JOIN {p}bodies AS bodies ON bodies.job=jobs.id LEFT JOIN {p}results AS results ON results.job=jobs.id
 LEFT JOIN {p}errors AS errors ON errors.job=jobs.id
 LEFT JOIN {p}progress AS progress ON progress.job=jobs.id
"""
ROWS_BY_UID = _COLUMNS + "WHERE jobs.uid IN ({ids})"  # SEARCH jobs USING INDEX jobs_uid
ROWS_BY_ID = _COLUMNS + "WHERE jobs.id IN ({ids})"  # SEARCH jobs USING INTEGER PRIMARY KEY

encode_tags = msgspec.json.Encoder().encode
decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode


def job_row(columns: Sequence[Any]) -> JobRow:
    """Build the record from the columns of `ROWS_BY_UID`."""
    (
        ref, uid, task, queue, args, state, priority, due, created, attempt, max_attempts, claim, crashes, max_crashes,
        rev, worker, lease, started, finished, expires, reason, unique_key, tags, options, fraction, message, result,
        error, group,
    ) = columns  # fmt: skip
    return JobRow(
        ref, uid, task, queue, args, STATES[state], priority, due, created, attempt, max_attempts, claim, crashes,
        max_crashes, rev, worker, lease, started, finished, expires, REASONS.get(reason), unique_key,
        () if tags is None else decode_tags(tags), options,
        None if fraction is None else Progress(fraction, message), result, error, group=group or None,
    )  # fmt: skip


def rows_by_uid(session: Session, uids: Sequence[bytes]) -> dict[bytes, JobRow]:
    """Read jobs by their ids; those that are not there are left out."""
    return {columns[1]: job_row(columns) for columns in session.list_rows(ROWS_BY_UID, uids)}


def rows_by_id(session: Session, ids: Sequence[int]) -> dict[int, JobRow]:
    """Read jobs by their numbers; those that are not there are left out."""
    return {columns[0] & ID_MASK: job_row(columns) for columns in session.list_rows(ROWS_BY_ID, ids)}
