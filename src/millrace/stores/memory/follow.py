"""Jobs that wait for others, in memory. Owns who waits for whom, and carrying out what becomes of them.

The shelf notes which parents have ended; whoever holds the lock settles before it lets go, so nobody ever sees a parent
that has ended and not acted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from millrace.followups import first_unknown, hold_of, judge, wanted
from millrace.messages import InsertAnswer, NewRow
from millrace.states import JobState, Reason
from millrace.stores.memory.attempts import end, own_retention
from millrace.stores.memory.changing import insert
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.shelf import Shelf

__all__ = ["hold", "settle", "tie"]


def hold(shelf: Shelf, rows: Sequence[NewRow], now: int) -> InsertAnswer:
    """Insert jobs, some of which are held."""
    unknown = first_unknown(rows, wanted(rows, InsertAnswer(now)), shelf.jobs)
    if unknown is not None:
        return InsertAnswer(now, unknown=unknown)
    answer = insert(shelf, rows, now)
    if answer.refused is None:
        tie(shelf, [(link.child, link.parent) for link in wanted(rows, answer)])
        settle(shelf, now)
    return answer


def tie(shelf: Shelf, links: Iterable[tuple[bytes, bytes]]) -> None:
    """Let jobs wait for parents, told as (child, parent); one that has ended already is noted at once."""
    for child, parent in links:
        shelf.followed.setdefault(parent, {})[child] = None
        shelf.waits.setdefault(child, {})[parent] = None
        entry = shelf.jobs.get(parent)
        if entry is not None:
            shelf.note_end(entry)


def settle(shelf: Shelf, now: int) -> int:
    """Let the parents that have ended act; return how many there were."""
    number = 0
    while shelf.ended:
        ended, shelf.ended = shelf.ended, {}
        number += len(ended)
        children = dict.fromkeys(child for parent in ended for child in shelf.followed.get(parent, ()))
        for child in children:
            entry = shelf.jobs.get(child)
            verdict = judge(None if entry is None else entry.row(), shelf.waits.get(child, {}), ended, now)
            untie(shelf, child, verdict.counted)
            if entry is None:
                continue
            if verdict.args is not None:
                entry.args = verdict.args
            if verdict.cancels:
                _cancel(shelf, entry, now)
            elif verdict.due is not None:
                entry.due = verdict.due
                entry.state = JobState.PENDING if entry.due <= now else JobState.SCHEDULED
                shelf.relist(entry)
    return number


def untie(shelf: Shelf, child: bytes, parents: Iterable[bytes]) -> None:
    """Let a job wait for some parents no longer."""
    waits = shelf.waits.get(child, {})
    for parent in parents:
        waits.pop(parent, None)
        followers = shelf.followed.get(parent, {})
        followers.pop(child, None)
        if not followers:
            shelf.followed.pop(parent, None)
    if not waits:
        shelf.waits.pop(child, None)


def _cancel(shelf: Shelf, entry: Entry, now: int) -> None:
    kept = own_retention(entry, hold_retention(entry))
    end(shelf, entry, JobState.CANCELLED, reason=Reason.PARENT, retention=kept, now=now)


def hold_retention(entry: Entry) -> int | None:
    """Return how long a held job is kept where a parent cancels it, if its own options do not say."""
    told = hold_of(entry.options)
    return None if told is None else told.kept
