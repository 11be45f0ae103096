"""What a job leaves behind beside its row: ended attempts, the error shown, results, log lines. Owns those tables.

Lists of rows are filled up with rows of nulls, left out by `column1 IS NOT NULL`: one statement for any number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.records import AttemptRow, LogRow
from millrace.states import JobState, OutcomeKind
from millrace.store import MAX_ATTEMPT_ROWS, MAX_LOG_ROWS
from millrace.stores.sqlite.rows import ID_MASK, rows_by_uid
from millrace.stores.sqlite.session import Session

__all__ = [
    "add_attempts",
    "add_errors",
    "add_logs",
    "add_results",
    "clear_beside",
    "clear_errors",
    "read_attempts",
    "read_logs",
    "write_logs",
]

ADD_ATTEMPTS = """INSERT INTO {p}attempts(job,claim,attempt,worker,started,finished,outcome,error,traceback)
 SELECT column1,column2,column3,column4,column5,column6,column7,column8,column9
 FROM (VALUES {rows}) WHERE column1 IS NOT NULL"""
# SEARCH attempts USING COVERING INDEX attempts_job (job=?)
TRIM_ATTEMPTS = """DELETE FROM {p}attempts WHERE id IN (SELECT id FROM
 (SELECT id, row_number() OVER (PARTITION BY job ORDER BY id DESC) AS place FROM {p}attempts WHERE job IN ({ids}))
 WHERE place>?)"""
ATTEMPTS = """SELECT attempt,claim,worker,started,finished,outcome,error,traceback
 FROM {p}attempts WHERE job=? ORDER BY id DESC LIMIT ?"""  # SEARCH attempts USING INDEX attempts_job (job=?)

ADD_ERRORS = """INSERT OR REPLACE INTO {p}errors(job,type,text) SELECT column1,column2,column3
 FROM (VALUES {rows}) WHERE column1 IS NOT NULL"""
ADD_RESULTS = """INSERT OR REPLACE INTO {p}results(job,value) SELECT column1,column2
 FROM (VALUES {rows}) WHERE column1 IS NOT NULL"""
CLEAR_RESULTS = "DELETE FROM {p}results WHERE job IN ({ids})"  # the like
CLEAR_PROGRESS = "DELETE FROM {p}progress WHERE job IN ({ids})"
CLEAR_ERRORS = "DELETE FROM {p}errors WHERE job IN ({ids})"  # SEARCH errors USING INTEGER PRIMARY KEY

# From the list to the job by primary key: the fence of log lines.
HELD = """SELECT column1, column2, attempt FROM (VALUES {rows}) CROSS JOIN {p}jobs AS jobs
 ON jobs.id=column1 AND +jobs.claim=column2 AND +jobs.worker=? AND +jobs.lease IS NOT NULL"""
ADD_LOGS = """INSERT INTO {p}logs(job,claim,attempt,at,level,message,data)
 SELECT column1,column2,column3,column4,column5,column6,column7
 FROM (VALUES {rows}) WHERE column1 IS NOT NULL"""
# SEARCH logs USING COVERING INDEX logs_job (job=?) in both
LONG_LOGS = "SELECT job FROM {p}logs WHERE job IN ({ids}) GROUP BY job HAVING count(*)>?"
TRIM_LOGS = """DELETE FROM {p}logs WHERE job=?1
 AND id<=(SELECT id FROM {p}logs WHERE job=?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"""
LOGS = """SELECT claim,at,level,message,data,attempt
 FROM {p}logs WHERE job=? ORDER BY id DESC LIMIT ?"""  # SEARCH logs USING INDEX logs_job (job=?)

_LOG_SLACK = 100  #: lines over the limit before a log is trimmed, so that a chatty job is not trimmed at each line


def add_attempts(session: Session, rows: Sequence[Sequence[Any]]) -> None:
    """Write ended attempts, the columns of `ADD_ATTEMPTS`; a job keeps its newest 50."""
    session.values_execute(ADD_ATTEMPTS, rows)
    # only a job claimed more often than that can have more rows
    many = [row[0] for row in rows if row[1] > MAX_ATTEMPT_ROWS]
    session.list_execute(TRIM_ATTEMPTS, many, after=(MAX_ATTEMPT_ROWS,))


def add_errors(session: Session, rows: Sequence[tuple[int, str, str]]) -> None:
    """Write the error that each job shows: (job, class name, text)."""
    session.values_execute(ADD_ERRORS, rows)


def add_results(session: Session, rows: Sequence[tuple[int, bytes]]) -> None:
    """Write results, in the place of earlier ones: (job, JSON)."""
    session.values_execute(ADD_RESULTS, rows)


def clear_errors(session: Session, jobs: Sequence[int]) -> None:
    """Take away the errors that jobs show."""
    session.list_execute(CLEAR_ERRORS, jobs)


def clear_beside(session: Session, jobs: Sequence[int]) -> None:
    """Take away error, result and progress; attempts and logs stay."""
    for template in (CLEAR_ERRORS, CLEAR_RESULTS, CLEAR_PROGRESS):
        session.list_execute(template, jobs)


def add_logs(session: Session, worker: int, lines: Sequence[LogRow]) -> list[bool]:
    """Write the log lines of claims that still hold; tell for each line whether it was written."""
    claims = [(line.ref & ID_MASK, line.claim) for line in lines]
    rows = session.values_rows(HELD, list(set(claims)), after=(worker,))
    held = {(job, claim): attempt for job, claim, attempt in rows}
    new = [
        (claimed[0], line.claim, held[claimed], line.at, line.level, line.message, line.data)
        for line, claimed in zip(lines, claims, strict=True)
        if claimed in held
    ]
    write_logs(session, new)
    jobs = list({job for job, _ in held})
    for (job,) in session.list_rows(LONG_LOGS, jobs, after=(MAX_LOG_ROWS + _LOG_SLACK,)):
        session.execute(TRIM_LOGS, (job, MAX_LOG_ROWS))
    return [claimed in held for claimed in claims]


def write_logs(session: Session, rows: Sequence[Sequence[Any]]) -> None:
    """Write log lines, the columns of `ADD_LOGS`, whatever they belong to."""
    session.values_execute(ADD_LOGS, rows)


def read_logs(session: Session, id: bytes) -> list[LogRow]:
    """Read a job's newest log lines, oldest first."""
    row = rows_by_uid(session, [id]).get(id)
    if row is None:
        return []
    lines = session.rows(LOGS, (row.ref & ID_MASK, MAX_LOG_ROWS))
    return [
        LogRow(row.ref, id, claim, at, level, message, data, attempt)
        for claim, at, level, message, data, attempt in reversed(lines)
    ]


def read_attempts(session: Session, id: bytes) -> list[AttemptRow]:
    """Read a job's ended attempts, oldest first, the success that its row tells included."""
    row = rows_by_uid(session, [id]).get(id)
    if row is None:
        return []
    rows = session.rows(ATTEMPTS, (row.ref & ID_MASK, MAX_ATTEMPT_ROWS))
    ended = [
        AttemptRow(attempt, claim, worker, started, finished, OutcomeKind(outcome), error, traceback)
        for attempt, claim, worker, started, finished, outcome, error, traceback in reversed(rows)
    ]
    if row.state is JobState.COMPLETED:
        at = row.finished or 0
        ended.append(AttemptRow(row.attempt, row.claim, row.worker, row.started, at, OutcomeKind.COMPLETED))
    return ended[-MAX_ATTEMPT_ROWS:]
