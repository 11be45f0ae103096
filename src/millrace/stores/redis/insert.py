"""Inserting jobs. Owns the arguments of the script, in which what many jobs share is said once, and its answer."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from millrace.errors import ConfigurationError
from millrace.job import HELD
from millrace.messages import Existing, InsertAnswer, NewRow
from millrace.stores.redis.pieces import pieces
from millrace.stores.redis.record import scope_name, write_body, write_names
from millrace.stores.redis.rows import job_rows
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Argument, Session

__all__ = ["INSERT", "LATEST", "MOST_ROWS", "insert", "insert_arguments"]

INSERT: Final = script("insert")
MOST_ROWS: Final = 1000  #: in one script, which is atomic; half of it where jobs have unique keys or tags

LATEST: Final = 1 << 53  #: microseconds, in the year 2255: a double holds no later time exactly
_BETWEEN = 2  # NUL characters between three names
_REFUSED = 4  # where in an answer stands which row has stopped all
_CONFLICTS = {"return": 0, "replace": 1, "debounce": 2, "reject": 3}
_SHARED = struct.Struct(">IIIh")  # max_attempts, crashes, max_crashes, priority, as they stand in a record
_ID = 16  # bytes
_pack = msgspec.msgpack.Encoder().encode
_PLAIN = _pack((1, 1, None, False, None, None, None))  # of one job of which there is nothing more to tell


def insert(session: Session, rows: Sequence[NewRow]) -> InsertAnswer:
    """Insert jobs, and tell which were there already: all of at most 1,000 go in or, on an error, none.

    Where some have unique keys or tags, which cost the server as much again, that holds of 500.

    Where the call may have been made before and its reply was lost, a job of the same id is what that call wrote.
    """
    if len(rows) == 1 and _is_plain(rows[0]):
        reply = session.run(INSERT, *_plain_arguments(rows[0]))
        return InsertAnswer(int(reply[0]), _stopped(reply, 0, again=session.again) if len(reply) > 1 else {})
    chunks = _chunks(rows)
    replies = list(_replies(session, chunks))
    existing: dict[int, Existing] = {}
    start = 0
    for chunk, reply in zip(chunks, replies, strict=False):
        if len(reply) > 1:
            existing |= _stopped(reply, start, again=session.again)
        if len(reply) > _REFUSED:
            return InsertAnswer(int(reply[0]), existing, start + reply[_REFUSED] - 1, kept=start)
        start += len(chunk)
    return InsertAnswer(int(replies[0][0]), existing)


def _replies(session: Session, chunks: Sequence[Sequence[NewRow]]) -> Iterator[Any]:
    """Run the script on each chunk, in one trip where none can refuse; else one by one until one does."""
    if not any(row.on_conflict == "reject" for chunk in chunks for row in chunk):
        yield from session.trip([(INSERT, insert_arguments(chunk)) for chunk in chunks])
        return
    for chunk in chunks:
        reply = session.run(INSERT, *insert_arguments(chunk))
        yield reply
        if len(reply) > _REFUSED:
            return


def _is_plain(row: NewRow) -> bool:
    """Tell whether there is nothing to tell of a job but its kind, its id and its body, as of most that come alone."""
    return row.due is None and not row.delay and row.unique_key is None and not row.tags and len(row.id) == _ID


def _plain_arguments(row: NewRow) -> Sequence[Argument]:
    """Return what `insert_arguments` returns for such a job, for a third of the time."""
    kind = _kind((row.queue, row.task, None, None, row.priority, row.max_attempts, row.max_crashes, row.group))
    return _PLAIN, row.id, kind, write_body(row.id, row.args, (), row.options)


def _stopped(reply: Sequence[Any], start: int, *, again: bool) -> dict[int, Existing]:
    _, stopped, others, parts, *_ = reply
    told = zip(stopped[::2], stopped[1::2], job_rows(others, parts), strict=True)
    return {
        start + place - 1: Existing(row, by_key=bool(by_key))
        for place, by_key, row in told
        if row is not None and (by_key or not again)
    }


def _chunks(rows: Sequence[NewRow]) -> list[Sequence[NewRow]]:
    """Cut a call into what one script may take."""
    costly = len(rows) > MOST_ROWS // 2 and any(row.unique_key is not None or row.tags for row in rows)
    most = MOST_ROWS // 2 if costly else MOST_ROWS
    return [rows[piece] for piece in pieces([len(row.args) for row in rows], most)]


def insert_arguments(rows: Sequence[NewRow]) -> Sequence[Argument]:
    """Return what the script is told of jobs, behind the time."""
    kinds: dict[tuple[Any, ...], int] = {}
    which = [
        kinds.setdefault(
            (
                row.queue,
                row.task,
                row.unique_key,
                row.options and scope_name(row.options),
                row.priority,
                row.max_attempts,
                row.max_crashes,
                row.group,
            ),
            len(kinds) + 1,
        )
        for row in rows
    ]
    ids = b"".join([row.id for row in rows])
    if len(ids) != 16 * len(rows):
        raise ConfigurationError("a job's id must have 16 bytes")
    keyed = any(key is not None for _, _, key, *_ in kinds)
    dues, delays = [row.due for row in rows], [row.delay for row in rows]
    if dues.count(None) < len(dues) or any(delays):
        _check_times(dues, delays)
    tags = [row.tags or None for row in rows]
    conflicts = [row.on_conflict for row in rows]
    head: tuple[Any, ...] = (
        len(rows),
        len(kinds),
        which if len(kinds) > 1 else None,
        keyed,
        dues if dues.count(None) < len(dues) else None,
        delays if any(delays) else None,
        tags if any(tags) else None,
    )
    if conflicts.count("return") < len(conflicts):
        head = (*head, [_CONFLICTS[each] for each in conflicts])
    bodies = [write_body(row.id, row.args, row.tags, row.options) for row in rows]
    return _pack(head), ids, *map(_kind, kinds), *bodies


@lru_cache(maxsize=256)
def _kind(kind: tuple[Any, ...]) -> bytes:
    queue, task, key, scope, priority, max_attempts, max_crashes, group = kind
    names = write_names(queue, task, key, scope, group)
    if names.count(0) != _BETWEEN + (scope is not None):
        raise ConfigurationError(f"queue {queue!r}, task {task!r} and unique key {key!r} may hold no NUL character")
    return _SHARED.pack(max_attempts, 0, max_crashes, priority) + names


def _check_times(dues: Sequence[int | None], delays: Sequence[int]) -> None:
    latest = max(0, *delays, *(due for due in dues if due is not None and due != HELD))
    if latest >= LATEST:
        raise ConfigurationError(f"a job cannot be due {latest} microseconds after 1970: Redis takes times until 2255")
