"""How a row of `job` becomes a `JobRow`. Owns the numbers of states, the columns read and their mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from millrace.job import JobRow, Progress
from millrace.states import JobState, Reason
from millrace.stores.postgres.arrays import Uuids
from millrace.stores.postgres.session import Session

__all__ = [
    "CANCELLED",
    "CANCELLING",
    "COLUMNS",
    "COMPLETED",
    "DEAD",
    "FAILED",
    "NUMBERS",
    "PENDING",
    "REASONS",
    "RUNNING",
    "SCHEDULED",
    "STATES",
    "decode_text",
    "encode_text",
    "job_row",
    "numbers",
    "read_rows",
]

STATES: Final[Mapping[int, JobState]] = dict(
    enumerate(
        (
            JobState.SCHEDULED,
            JobState.PENDING,
            JobState.RUNNING,
            JobState.CANCELLING,
            JobState.FAILED,
            JobState.COMPLETED,
            JobState.DEAD,
            JobState.CANCELLED,
        )
    )
)
NUMBERS: Final = {state: number for number, state in STATES.items()}
SCHEDULED, PENDING, RUNNING, CANCELLING, FAILED, COMPLETED, DEAD, CANCELLED = range(8)

# A text that a newer version may have written becomes None.
REASONS: Final[dict[str | None, Reason]] = {reason.value: reason for reason in Reason}

# `uuid_send`: the driver reads bytes five times as fast as a uuid.
COLUMNS: Final = """uuid_send(j.id), j.task, j.queue, j.args, j.state, j.priority, j.due, j.created_at, j.attempt,
 j.max_attempts, j.claim, j.crashes, j.max_crashes, j.rev, j.worker, j.lease_until, j.started_at, j.finished_at,
 j.expire_at, j.reason, j.unique_key, j.tags, j.options, j.progress, j.progress_message, j.result, j.error"""

ROWS = f"select {COLUMNS} from {{s}}.job j where j.id = any(%(ids)b)"  # job_pkey

encode_text = msgspec.json.Encoder().encode  #: a text as a JSON string
decode_text = msgspec.json.Decoder(str).decode


def job_row(columns: Sequence[Any]) -> JobRow:
    """Build the record from the columns of `COLUMNS`."""
    (
        id, task, queue, args, state, priority, due, created, attempt, max_attempts, claim, crashes, max_crashes, rev,
        worker, lease, started, finished, expires, reason, unique_key, tags, options, fraction, message, result, error,
    ) = columns  # fmt: skip
    return JobRow(
        0, id, task, queue, args.encode(), STATES[state], priority, due, created, attempt, max_attempts, claim, crashes,
        max_crashes, rev, worker, lease, started, finished, expires, REASONS.get(reason), unique_key,
        () if tags is None else tuple(tags), None if options is None else options.encode(),
        None if fraction is None else Progress(fraction, None if message is None else decode_text(message)),
        None if result is None else result.encode(), None if error is None else decode_text(error),
    )  # fmt: skip


def read_rows(session: Session, ids: Sequence[bytes]) -> dict[bytes, JobRow]:
    """Read jobs by their ids; those that are not there are left out."""
    if not ids:
        return {}
    return {columns[0]: job_row(columns) for columns in session.rows(ROWS, {"ids": Uuids(ids)})}


def numbers(states: frozenset[JobState]) -> list[int]:
    """Return the numbers of states, ascending."""
    return sorted(NUMBERS[state] for state in states)
