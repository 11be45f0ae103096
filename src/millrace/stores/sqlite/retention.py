"""Deleting what has been kept long enough. Owns the choice of what goes; how it goes stands in `remove.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.states import FINAL, JobState
from millrace.stores.sqlite.lanes import count_finals, tally
from millrace.stores.sqlite.remove import remove_jobs
from millrace.stores.sqlite.rows import NUMBERS
from millrace.stores.sqlite.session import Session

__all__ = ["any_expired", "expire", "find_old", "purge"]

FIRST_END = "SELECT min(expires) FROM {p}jobs WHERE expires IS NOT NULL"  # the first entry of jobs_expires
# SEARCH jobs USING INDEX jobs_expires (expires<?)
EXPIRED = "SELECT id, tags, lane, state FROM {p}jobs WHERE expires<? ORDER BY expires LIMIT ?"

# Jobs are numbered as they are made, so the walk goes upward in windows, and ends with the first window of which all
# jobs were made past the time. SEARCH jobs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?) in both.
ABOVE = "SELECT min(id) FROM {p}jobs NOT INDEXED WHERE id>?"
MADE = "SELECT min(created) FROM {p}jobs NOT INDEXED WHERE id>=? AND id<?"
OLD = """SELECT id FROM {p}jobs NOT INDEXED
 WHERE id>=? AND id<? AND +finished<? AND +state IN (?,?,?) ORDER BY id LIMIT ?"""
STILL_OLD = """SELECT id, tags, lane, state FROM {p}jobs
 WHERE id IN ({ids}) AND +finished<? AND +state IN (?,?,?)"""  # SEARCH jobs USING INTEGER PRIMARY KEY

_WINDOW = 20_000


def any_expired(session: Session) -> bool:
    """Tell whether any job's retention has passed."""
    ((first,),) = session.rows(FIRST_END)
    return first is not None and first < session.now


def expire(session: Session, limit: int) -> int:
    """Delete jobs whose retention has passed, within the open transaction; return how many."""
    return _remove(session, session.rows(EXPIRED, (session.now, limit)))


def find_old(session: Session, finished_before: int, states: frozenset[JobState], limit: int) -> list[int]:
    """Find ended jobs that finished before a time, oldest first: a walk without a lock."""
    numbers = _numbers(states)
    found: list[int] = []
    above = 0
    while len(found) < limit:
        ((first,),) = session.rows(ABOVE, (above,))
        if first is None:
            break
        window = first, first + _WINDOW
        ((made,),) = session.rows(MADE, window)
        if made is None or made >= finished_before:
            break
        rows = session.rows(OLD, (*window, finished_before, *numbers, limit - len(found)))
        found.extend(id for (id,) in rows)
        above = window[1] - 1
    return found


def purge(session: Session, ids: Sequence[int], finished_before: int, states: frozenset[JobState]) -> int:
    """Delete those of the jobs found that are still so, within the open transaction; return how many."""
    after = (finished_before, *_numbers(states))
    return _remove(session, session.list_rows(STILL_OLD, ids, after=after))


def _numbers(states: frozenset[JobState]) -> list[int | None]:
    numbers: list[int | None] = [NUMBERS[state] for state in states & FINAL]
    return numbers + [None] * (len(FINAL) - len(numbers))


def _remove(session: Session, rows: Sequence[Any]) -> int:
    remove_jobs(session, [(id, tags) for id, tags, _, _ in rows])
    count_finals(session, tally(((lane, state) for _, _, lane, state in rows), -1))
    return len(rows)
