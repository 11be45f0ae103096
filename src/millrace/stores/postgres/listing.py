"""Pages of jobs, newest first. Owns the ways to find the jobs of a page; the cursor is the id of the last one.

Ids are made in the order of time, so the primary key, backward, is the order of pages. A filter is first tried on the
newest 20,000 jobs; that fills nearly every page at once. Where it does not, and all states asked for have an index, the
rest is found through that; otherwise the walk goes on. A tag, an error's class and a key have an index in that order.
"""

from __future__ import annotations

import re
from typing import Any, Final

from millrace.errors import ConfigurationError
from millrace.job import JobRow
from millrace.messages import JobFilter
from millrace.states import ACTIVE, JobState
from millrace.store import MAX_PAGE
from millrace.stores.postgres.arrays import Bigints, Uuid
from millrace.stores.postgres.rows import NUMBERS, numbers, read_rows
from millrace.stores.postgres.session import Session

__all__ = ["find_page", "read_page"]

_WINDOW = 20_000  #: jobs in the first statement
_CURSOR = "postgres-"
_CURSOR_FORM = re.compile(_CURSOR + "([0-9a-f]{32})")
_NEWEST: Final = b"\xff" * 16

# What each source is narrowed by. `state + 0` keeps the planner from another way in than the source's own.
_NARROWED = """ and (%(states)b::bigint[] is null or j.state + 0 = any(%(states)b::bigint[]))
 and (%(queue)b::text is null or j.queue = %(queue)b::text) and (%(task)b::text is null or j.task = %(task)b::text)
 and (%(key)b::text is null or j.unique_key = %(key)b::text)
 and (%(error)b::text is null or j.error_type = %(error)b::text)"""
_LAST = " order by j.id desc limit %(limit)b"
_FROM = "select uuid_send(j.id) from {s}.job j where "

# job_pkey, backward: it stops at the end of the window, or once the page is full
WINDOW = f"""select uuid_send(j.id) from (select id, state, queue, task, unique_key, error_type from {{s}}.job
  where id < %(top)b order by id desc limit %(window)b) j where true{_NARROWED} limit %(limit)b"""
BOTTOM = "select uuid_send(id) from {s}.job where id < %(top)b order by id desc offset %(window)b - 1 limit 1"
BELOW = _FROM + "j.id < %(top)b" + _NARROWED + _LAST  # job_pkey, backward
# tag_pkey (tag=, job<), backward, then job_pkey for each
BY_TAG = f"""select uuid_send(j.id) from {{s}}.tag t join {{s}}.job j on j.id = t.job
where t.tag = %(tag)b and t.job < %(top)b{_NARROWED} order by t.job desc limit %(limit)b"""
# job_error, job_key and job_odd, backward: each has the id behind what is asked for
BY_ERROR = _FROM + "j.error_type = %(error)b and j.error_type is not null and j.id < %(top)b" + _NARROWED + _LAST
BY_KEY = _FROM + "j.unique_key = %(key)b and j.unique_key is not null and j.id < %(top)b" + _NARROWED + _LAST
ODD = _FROM + "j.state = %(state)b::smallint and j.state in (4, 6, 7) and j.id < %(top)b" + _NARROWED + _LAST
# job_ready, job_due and job_lease, all of each, and a sort
PENDING = _FROM + "j.state = 1 and j.id < %(top)b" + _NARROWED + _LAST
WAITING_ONES = _FROM + "j.state in (0, 4) and j.id < %(top)b" + _NARROWED + _LAST
ACTIVE_ONES = _FROM + "j.state in (2, 3) and j.id < %(top)b" + _NARROWED + _LAST

_PENDING, _SCHEDULED = frozenset({JobState.PENDING}), frozenset({JobState.SCHEDULED})
_ODD = frozenset({JobState.FAILED, JobState.DEAD, JobState.CANCELLED})
_INDEXED = _PENDING | _SCHEDULED | _ODD | ACTIVE


def find_page(session: Session, where: JobFilter, limit: int, cursor: str | None) -> tuple[list[bytes], str | None]:
    """Return the ids of one page, newest first, and the cursor of the next.

    Raises:
        ConfigurationError: The cursor is not one of ours.
    """
    top = _NEWEST if cursor is None else _read_cursor(cursor)
    limit = max(1, min(limit, MAX_PAGE))
    found = _Search(session, where).find(top, limit + 1)  # one more, to know of a next page
    return found[:limit], f"{_CURSOR}{found[limit - 1].hex()}" if len(found) > limit else None


def read_page(session: Session, where: JobFilter, limit: int, cursor: str | None) -> tuple[list[JobRow], str | None]:
    """Read one page of jobs, and the cursor of the next."""
    ids, following = find_page(session, where, limit, cursor)
    rows = read_rows(session, ids)
    return [rows[id] for id in ids if id in rows], following


def _read_cursor(cursor: str) -> bytes:
    found = _CURSOR_FORM.fullmatch(cursor)
    if found is None:
        raise ConfigurationError(f"cursor {cursor!r} is not one that this store gave; begin again without a cursor")
    return bytes.fromhex(found[1])


class _Search:
    """The search for one page."""

    def __init__(self, session: Session, where: JobFilter) -> None:
        self._session = session
        self._where = where
        self._args: dict[str, Any] = {
            "states": None if where.states is None else Bigints(numbers(where.states)),
            "queue": where.queue,
            "task": where.task,
            "key": where.unique_key,
            "error": where.error,
        }

    def find(self, top: bytes, limit: int) -> list[bytes]:
        """Return at most `limit` jobs with ids below `top`, highest first."""
        where = self._where
        if where.states is not None and not where.states:
            return []
        if where.tag is not None:
            return self._ids(BY_TAG, top, limit, tag=where.tag)
        if where.error is not None:
            return self._ids(BY_ERROR, top, limit)
        if where.unique_key is not None:
            return self._ids(BY_KEY, top, limit)
        if where.states is None and where.queue is None and where.task is None:
            return self._ids(BELOW, top, limit)
        found = self._ids(WINDOW, top, limit, window=_WINDOW)
        if len(found) == limit:
            return found
        rows = self._session.rows(BOTTOM, {"top": Uuid(top), "window": _WINDOW})
        if not rows:
            return found
        ((bottom,),) = rows
        if where.states is not None and where.states <= _INDEXED:
            return found + self._by_states(where.states, bottom, limit - len(found))
        return found + self._ids(BELOW, bottom, limit - len(found))

    def _by_states(self, states: frozenset[JobState], top: bytes, limit: int) -> list[bytes]:
        found: list[bytes] = []
        for state in states & _ODD:
            found += self._ids(ODD, top, limit, state=NUMBERS[state])
        for template, some in ((PENDING, _PENDING), (WAITING_ONES, _SCHEDULED), (ACTIVE_ONES, ACTIVE)):
            if states & some:
                args = {"states": Bigints(numbers(states & some))}
                found += self._ids(template, top, limit, **args)
        return sorted(found, reverse=True)[:limit]

    def _ids(self, template: str, top: bytes, limit: int, **more: Any) -> list[bytes]:
        rows = self._session.rows(template, {**self._args, "top": Uuid(top), "limit": limit, **more})
        return [id for (id,) in rows]
