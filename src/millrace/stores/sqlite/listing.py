"""Pages of jobs, newest first. Owns the ways to find the ids of a page; the rows are then read by id.

A filter is first tried on the newest 20,000 jobs, by number; that fills nearly every page at once. Where it does not,
and all states asked for have an index, the rest is found through that; otherwise the walk goes on in further windows.
A tag and an error's class name have tables of their own, which lie in the order of the page.
"""

from __future__ import annotations

from typing import Any

from millrace.errors import ConfigurationError
from millrace.job import JobRow
from millrace.messages import JobFilter
from millrace.states import ACTIVE, LIVE, WAITING, JobState
from millrace.store import MAX_PAGE
from millrace.stores.sqlite.rows import NUMBERS, STATES, rows_by_id
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.sql import MAX_LIST

__all__ = ["find_page", "read_page"]

_WINDOW = 20_000  #: jobs by number in one statement; 0.1 us each where nothing matches
_NEWEST = 2**63 - 1
_ALWAYS = -(2**63)  #: before any time
_CURSOR = "sqlite-"

LANES_OF = "SELECT id FROM {p}lanes WHERE coalesce(queue=?,1) AND coalesce(task=?,1)"  # the whole of a small table

# What each source below is narrowed by, at first to jobs, without the row that only keeps a number. The `+` keeps the
# planner from another way in than the source's own.
_NARROWED = """ AND +jobs.lane>0 AND (? OR +jobs.state IN (?,?,?,?,?,?,?,?)) AND (? OR +jobs.lane IN ({ids}))
 AND (? OR +jobs.unique_key=?) AND (? OR EXISTS (SELECT 1 FROM {p}errors AS e WHERE e.job=jobs.id AND e.type=?))"""
_BY_NUMBER = _NARROWED + " ORDER BY jobs.id DESC LIMIT ?"
_SORTED = _NARROWED + " ORDER BY +jobs.id DESC LIMIT ?"  # by number, the planner would walk the whole table
_JOBS = "SELECT jobs.id, jobs.uid FROM {p}jobs AS jobs WHERE "

# SEARCH jobs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)
_JOBS_BY_NUMBER = "SELECT jobs.id, jobs.uid FROM {p}jobs AS jobs NOT INDEXED WHERE jobs.id<=? AND jobs.id>?"
WINDOW = _JOBS_BY_NUMBER + _BY_NUMBER
BELOW = "SELECT max(id) FROM {p}jobs NOT INDEXED WHERE id<?"  # over a gap of any size in one look by primary key

# SEARCH tags USING PRIMARY KEY (tag=? AND job<?), then each job by its primary key
_TAGGED = """SELECT jobs.id, jobs.uid FROM {p}tags AS tags CROSS JOIN {p}jobs AS jobs ON jobs.id=tags.job
 WHERE tags.tag=? AND tags.job<?"""
BY_TAG = _TAGGED + _NARROWED + " ORDER BY tags.job DESC LIMIT ?"
# SEARCH errors USING INTEGER PRIMARY KEY (rowid<?), then each job: only those that show an error
_SHOWING = """SELECT jobs.id, jobs.uid FROM {p}errors AS errors CROSS JOIN {p}jobs AS jobs ON jobs.id=errors.job
 WHERE errors.type=? AND errors.job<?"""
BY_ERROR = _SHOWING + _NARROWED + " ORDER BY errors.job DESC LIMIT ?"
# SEARCH jobs USING INDEX jobs_key (unique_key=?): the one holder
_HOLDS = "jobs.unique_key=? AND jobs.unique_key IS NOT NULL AND ifnull(jobs.hold,jobs.state<5)"
BY_KEY = _JOBS + _HOLDS + " AND +jobs.id<?" + _SORTED
# SEARCH jobs USING INDEX jobs_freed (unique_key=?): live ones from which the key was taken over
FREED = _JOBS + "jobs.unique_key=? AND jobs.hold=0 AND +jobs.id<?" + _SORTED
# SEARCH jobs USING INDEX jobs_dead (rowid<?), in order
DEAD = _JOBS + "jobs.state=6 AND jobs.id<?" + _BY_NUMBER
# SEARCH jobs USING INDEX jobs_pending (lane>?), jobs_due (due>?), jobs_lease (lease>?)
PENDING = _JOBS + "jobs.state=2 AND jobs.lane>=? AND +jobs.id<?" + _SORTED
WAITING_ONES = _JOBS + "jobs.state<=1 AND jobs.due>=? AND +jobs.id<?" + _SORTED
ACTIVE_ONES = _JOBS + "jobs.lease>=? AND +jobs.id<?" + _SORTED

_INDEXED = LIVE | {JobState.DEAD}


def find_page(
    session: Session, where: JobFilter, limit: int, cursor: str | None
) -> tuple[list[tuple[int, bytes]], str | None]:
    """Return number and id of the jobs of one page, newest first, and the cursor of the next.

    Raises:
        ConfigurationError: The cursor is not one of ours.
    """
    bound = _NEWEST if cursor is None else _read_cursor(cursor)
    limit = max(1, min(limit, MAX_PAGE))
    lanes = _lanes(session, where)
    if lanes == []:
        return [], None
    found = _Search(session, where, lanes).find(bound, limit + 1)  # one more, to know of a next page
    return found[:limit], f"{_CURSOR}{found[limit - 1][0]:x}" if len(found) > limit else None


def read_page(session: Session, where: JobFilter, limit: int, cursor: str | None) -> tuple[list[JobRow], str | None]:
    """Read one page of jobs, and the cursor of the next."""
    found, following = find_page(session, where, limit, cursor)
    rows = rows_by_id(session, [id for id, _ in found])
    return [rows[id] for id, _ in found if id in rows], following


def _read_cursor(cursor: str) -> int:
    digits = cursor.removeprefix(_CURSOR)
    try:
        bound = int(digits, 16)
    except ValueError:
        bound = -1
    if digits == cursor or not 0 < bound <= _NEWEST or f"{bound:x}" != digits:
        raise ConfigurationError(f"cursor {cursor!r} is not one that this store gave; begin again without a cursor")
    return bound


def _lanes(session: Session, where: JobFilter) -> list[int] | None:
    """Return the lanes that a filter by queue or task leaves, None for all."""
    if where.queue is None and where.task is None:
        return None
    return [lane for (lane,) in session.rows(LANES_OF, (where.queue, where.task))]


class _Search:
    """The search for one page."""

    def __init__(self, session: Session, where: JobFilter, lanes: list[int] | None) -> None:
        self._session = session
        self._where = where
        self._lanes = lanes or [0]
        numbers = [] if where.states is None else sorted(NUMBERS[state] for state in where.states)
        self._by_state = (where.states is None, *(numbers + [None] * len(STATES))[: len(STATES)], lanes is None)
        self._by_text = (where.unique_key is None, where.unique_key, where.error is None, where.error)

    def find(self, bound: int, limit: int) -> list[tuple[int, bytes]]:
        """Return at most `limit` jobs with numbers below `bound`, highest first."""
        where = self._where
        if where.states is not None and not where.states:
            return []
        if where.tag is not None:
            return self._rows(BY_TAG, where.tag, bound, limit=limit)
        if where.error is not None:
            return self._rows(BY_ERROR, where.error, bound, limit=limit)
        indexed = where.states is not None and where.states <= _INDEXED
        if where.unique_key is not None and where.states is not None and where.states <= LIVE:
            live = [row for each in (BY_KEY, FREED) for row in self._rows(each, where.unique_key, bound, limit=limit)]
            return sorted(live, reverse=True)[:limit]
        found: list[tuple[int, bytes]] = []
        while len(found) < limit:
            ((top,),) = self._session.rows(BELOW, (bound,))
            if top is None:
                break
            found += self._rows(WINDOW, top, top - _WINDOW, limit=limit - len(found))
            bound = top - _WINDOW + 1
            if indexed and len(found) < limit:
                found += self._by_states(where.states or frozenset(), bound, limit - len(found))
                break
        return found

    def _by_states(self, states: frozenset[JobState], bound: int, limit: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        if JobState.DEAD in states:
            found += self._rows(DEAD, bound, limit=limit)
        if JobState.PENDING in states:
            found += self._rows(PENDING, 0, bound, limit=limit)
        if states & WAITING:
            found += self._rows(WAITING_ONES, _ALWAYS, bound, limit=limit)
        if states & ACTIVE:
            found += self._rows(ACTIVE_ONES, 0, bound, limit=limit)
        return sorted(found, reverse=True)[:limit]

    def _rows(self, template: str, *source: Any, limit: int) -> list[tuple[int, bytes]]:
        before, after = (*source, *self._by_state), (*self._by_text, limit)
        rows = self._session.list_rows(template, self._lanes, before=before, after=after)
        # a filter by more lanes than one list holds takes several statements, each with a page of its own
        return rows if len(self._lanes) <= MAX_LIST else sorted(rows, reverse=True)[:limit]
