"""What a job leaves behind beside its row: ended attempts and log lines. Owns their tables, but for what `finish` adds.

Texts of handlers are JSON strings here, as in `job`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from millrace.records import AttemptRow, LogRow
from millrace.states import JobState, OutcomeKind
from millrace.store import MAX_ATTEMPT_ROWS, MAX_LOG_ROWS
from millrace.stores.postgres.arrays import Bigints, Strings, Uuid, Uuids
from millrace.stores.postgres.rows import decode_text, encode_text, read_rows
from millrace.stores.postgres.session import Session

__all__ = ["TRIM", "add_logs", "read_attempts", "read_logs"]

# attempt_pkey (job=), from its newest: only a job claimed more often than that can have more rows
TRIM: Final = """with t as (delete from {s}.attempt a using unnest(%(ids)b) u(id)
 where a.job = u.id and a.claim <= (
  select claim from {s}.attempt where job = u.id order by claim desc offset %(most)b limit 1) returning 1)
select count(*) from t"""
ATTEMPTS = """select attempt, claim, worker, started_at, finished_at, outcome, error, traceback
from {s}.attempt where job = %(id)b order by claim desc limit %(most)b"""  # attempt_pkey (job=), backward

# The fence of log lines, and the lines with it: the list, then job_pkey; each is told by its place. Their numbers are
# given in the order of the list.
ADD_LOGS = """with held as materialized (
 select u.place, u.id, u.claim, j.attempt, u.at, u.level, u.message, u.data
 from unnest(%(ids)b, %(claims)b, %(ats)b, %(levels)b, %(messages)b, %(data)b) with ordinality
   u(id, claim, at, level, message, data, place)
 cross join lateral (select attempt from {s}.job where id = u.id and claim = u.claim and worker = %(worker)b
   and state + 0 in (2, 3) offset 0) j),
i as (insert into {s}.log (job, claim, attempt, at, level, message, data)
 select id, claim, attempt, at, level, message, data from held order by place)
select place from held"""
# log_pkey (job=), backward
TRIM_LOGS = """delete from {s}.log l using unnest(%(ids)b) u(id)
where l.job = u.id and l.seq <= (select seq from {s}.log where job = u.id order by seq desc offset %(most)b limit 1)"""
LOGS = """select claim, at, level, message, data, attempt
from {s}.log where job = %(id)b order by seq desc limit %(most)b"""


def add_logs(session: Session, worker: int, lines: Sequence[LogRow]) -> list[bool]:
    """Write the log lines of claims that still hold; tell for each line whether it was written."""
    rows = session.rows(
        ADD_LOGS,
        {
            "worker": worker,
            "ids": Uuids([line.id for line in lines]),
            "claims": Bigints([line.claim for line in lines]),
            "ats": Bigints([line.at for line in lines]),
            "levels": Bigints([line.level for line in lines]),
            "messages": Strings([encode_text(line.message) for line in lines]),
            "data": Strings([line.data for line in lines]),
        },
    )
    kept = [False] * len(lines)
    for (place,) in rows:
        kept[place - 1] = True
    jobs = {line.id for line, there in zip(lines, kept, strict=True) if there}
    if jobs:
        session.execute(TRIM_LOGS, {"ids": Uuids(sorted(jobs)), "most": MAX_LOG_ROWS})
    return kept


def read_logs(session: Session, id: bytes) -> list[LogRow]:
    """Read a job's newest log lines, oldest first."""
    lines = session.rows(LOGS, {"id": Uuid(id), "most": MAX_LOG_ROWS})
    return [
        LogRow(0, id, claim, at, level, decode_text(message), None if data is None else data.encode(), attempt)
        for claim, at, level, message, data, attempt in reversed(lines)
    ]


def read_attempts(session: Session, id: bytes) -> list[AttemptRow]:
    """Read a job's ended attempts, oldest first, the success that its row tells included."""
    row = read_rows(session, [id]).get(id)
    if row is None:
        return []
    rows = session.rows(ATTEMPTS, {"id": Uuid(id), "most": MAX_ATTEMPT_ROWS})
    ended = [
        AttemptRow(
            attempt,
            claim,
            worker,
            started,
            finished,
            OutcomeKind(outcome),
            None if error is None else decode_text(error),
            None if trace is None else decode_text(trace),
        )
        for attempt, claim, worker, started, finished, outcome, error, trace in reversed(rows)
    ]
    if row.state is JobState.COMPLETED:
        at = row.finished or 0
        ended.append(AttemptRow(row.attempt, row.claim, row.worker, row.started, at, OutcomeKind.COMPLETED))
    return ended[-MAX_ATTEMPT_ROWS:]
