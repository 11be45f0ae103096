"""Reading jobs: by id, and in pages, newest first. Owns the pages; the cursor is the id of the last job of a page.

Ids are made in the order of time, so their order, backward, is that of pages. A script looks at 1,000 jobs and no more,
and is run until the page is full or the end is reached: a filter that matches nearly nothing takes many short looks,
and none for which others wait.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from millrace.errors import ConfigurationError
from millrace.job import JobRow
from millrace.messages import JobFilter
from millrace.store import MAX_PAGE
from millrace.stores.redis.changing import digits
from millrace.stores.redis.looks import Look, look_once
from millrace.stores.redis.rows import job_rows
from millrace.stores.redis.scripts import script

__all__ = ["find_page", "get", "read_cursor", "read_page"]

GET: Final = script("get")
PAGE: Final = script("page")

_AT_ONCE = 500  # jobs that a script reads
_CURSOR = "redis-"
_ID_FORM = re.compile("[0-9a-f]{32}")

_pack = msgspec.msgpack.encode


def get(look: Look, ids: Sequence[bytes]) -> list[JobRow | None]:
    """Read jobs by id, in order."""
    rows: list[JobRow | None] = []
    while len(rows) < len(ids):
        asked = ids[len(rows) : len(rows) + _AT_ONCE]
        parts = look_once(look, GET, b"".join(asked))
        rows += job_rows(asked[: len(parts[0])], parts)
    return rows


def find_page(look: Look, where: JobFilter, limit: int, cursor: str | None) -> tuple[list[bytes], str | None]:
    """Return the ids of one page, newest first, and the cursor of the next.

    Raises:
        ConfigurationError: The cursor is not one of ours.
    """
    top = b"" if cursor is None else read_cursor(cursor, _CURSOR)
    limit = max(1, min(limit, MAX_PAGE))
    given = _pack(_filter(where))
    found: list[bytes] = []
    while len(found) <= limit:  # one more, to know of a next page
        top, number, *ids = look_once(look, PAGE, top, limit + 1 - len(found), given)
        found += ids
        if not top or (cursor is None and len(found) == number):
            break
    return found[:limit], f"{_CURSOR}{found[limit - 1].hex()}" if len(found) > limit else None


def read_page(look: Look, where: JobFilter, limit: int, cursor: str | None) -> tuple[list[JobRow], str | None]:
    """Read one page of jobs, and the cursor of the next; what is deleted meanwhile is left out."""
    ids, following = find_page(look, where, limit, cursor)
    return [row for row in get(look, ids) if row is not None], following


def read_cursor(cursor: str, head: str) -> bytes:
    """Read the id in a cursor that begins with `head`.

    Raises:
        ConfigurationError: It is none.

    >>> read_cursor("redis-" + "0f" * 16, "redis-").hex()
    '0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f'
    """
    if not cursor.startswith(head) or _ID_FORM.fullmatch(cursor, len(head)) is None:
        raise ConfigurationError(f"cursor {cursor!r} is not one that this store gave; begin again without a cursor")
    return bytes.fromhex(cursor[len(head) :])


def _filter(where: JobFilter) -> list[str | bool]:
    states = None if where.states is None else digits(where.states)
    asked = (states, where.queue, where.task, where.tag, where.unique_key, where.error)
    return [False if each is None else each for each in asked]
