"""Claiming jobs, and making due ones pending first. Owns the marking; whose turn it is stands in `turns.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from millrace.clock import micros
from millrace.job import HELD, JobRow, Progress
from millrace.messages import ClaimRequest
from millrace.options import read_options
from millrace.states import JobState
from millrace.store import MAX_CLAIM
from millrace.stores.sqlite.lanes import Lanes, LaneTable
from millrace.stores.sqlite.rows import ID_MASK, LANE_SHIFT, decode_tags
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.turns import Turns, plan_for

__all__ = ["MOST_PROMOTED", "Claims", "any_due", "next_due", "promote"]

# One row, two looks: meta by its primary key, and the first entry of jobs_due (COVERING INDEX).
LOOK = "SELECT value, (SELECT min(due) FROM {p}jobs WHERE state<=1) FROM {p}meta WHERE key='epoch'"
NEXT_DUE = "SELECT min(due) FROM {p}jobs WHERE state<=1"  # jobs_due, covering

# The inner: SEARCH jobs USING COVERING INDEX jobs_due (due<?). The outer: by INTEGER PRIMARY KEY.
PROMOTE = """UPDATE {p}jobs NOT INDEXED SET state=2, rev=rev+1
 WHERE id IN (SELECT id FROM {p}jobs WHERE state<=1 AND due<=? ORDER BY due LIMIT ?)"""

# SEARCH jobs USING INTEGER PRIMARY KEY. The heads were read in this transaction, so no fence is needed.
MARK = """UPDATE {p}jobs NOT INDEXED SET
 state=3, claim=claim+1, attempt=attempt+1, rev=rev+1, worker=?, lease=?, started=?, reason=NULL WHERE id IN ({ids})"""

# What lies beside the rows of jobs that were claimed before, or whose arguments are long: one look by key in each.
BESIDE = """SELECT jobs.id, bodies.args, progress.fraction, progress.message, results.value, errors.text
 FROM {p}jobs AS jobs NOT INDEXED LEFT JOIN {p}bodies AS bodies ON bodies.job=jobs.id
 LEFT JOIN {p}progress AS progress ON progress.job=jobs.id LEFT JOIN {p}results AS results ON results.job=jobs.id
 LEFT JOIN {p}errors AS errors ON errors.job=jobs.id WHERE jobs.id IN ({ids})"""

MOST_PROMOTED = 5_000  #: due jobs made pending in one transaction: more would hold the lock for longer than 25 ms


def promote(session: Session, limit: int) -> int:
    """Make due jobs pending, those due longest first; return how many."""
    return session.execute(PROMOTE, (session.now, limit))


def next_due(session: Session) -> int | None:
    """Return when the next waiting job is due."""
    due: int | None
    ((due,),) = session.rows(NEXT_DUE)
    return None if due is None or due >= HELD else due


def any_due(session: Session) -> bool:
    """Tell whether a waiting job is due."""
    due = next_due(session)
    return due is not None and due <= session.now


class Claims:
    """The claims of one store."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._turns = Turns()
        self.room_at: int | None = None  #: when a job may be claimed that only a rate kept from the last claim

    def possible(self, session: Session, requests: Sequence[ClaimRequest]) -> bool:
        """Tell whether a claim would find something: a look without a lock, which may miss what commits meanwhile."""
        ((epoch, due),) = session.rows(LOOK)
        if due is not None and due <= session.now:
            return True
        table = self._lanes.table(session, epoch)
        found = any(self._turns.any(session, table, plan_for(table, request)) for request in requests)
        self.room_at = None if found else self._turns.told_room()
        return found

    def claim(self, session: Session, worker: int, requests: Sequence[ClaimRequest]) -> list[JobRow] | None:
        """Promote what is due, then serve each request within the open transaction.

        Returns:
            The jobs claimed; None where more may be due, all of which count for the order: commit, promote, come again.
        """
        ((epoch, due),) = session.rows(LOOK)
        if due is not None and due <= session.now and promote(session, MOST_PROMOTED) == MOST_PROMOTED:
            return None
        table = self._lanes.table(session, epoch)
        if len(requests) == 1:
            claimed = self._serve(session, table, worker, requests[0])
        else:
            claimed = [row for request in requests for row in self._serve(session, table, worker, request)]
        self.room_at = self._turns.told_room()
        return claimed

    def _serve(self, session: Session, table: LaneTable, worker: int, request: ClaimRequest) -> list[JobRow]:
        heads = self._turns.heads(session, table, plan_for(table, request), min(request.limit, MAX_CLAIM))
        if not heads:
            return []
        now = session.now
        odd = [place for place, head in enumerate(heads) if head[16]]
        if odd or request.leases:
            lengths = _lease_lengths(heads, table, request)
            for length in set(lengths):
                some = [head[0] for head, own in zip(heads, lengths, strict=True) if own == length]
                session.list_execute(MARK, some, before=(worker, now + length, now))
            ends = [now + length for length in lengths]
        else:
            end = now + request.lease
            session.list_execute(MARK, [head[0] for head in heads], before=(worker, end, now))
            ends = [end] * len(heads)
        claimed = _rows(heads, ends, table, worker, now)
        if table.groups:
            groups = table.groups
            claimed = [
                row if (group := groups.get(head[2])) is None else replace(row, group=group)
                for row, head in zip(claimed, heads, strict=True)
            ]
        if odd:
            _add_beside(session, claimed, [place for place in odd if claimed[place].claim > 1 or not heads[place][15]])
        return claimed


def _add_beside(session: Session, claimed: list[JobRow], places: Sequence[int]) -> None:
    """Fill in what does not lie in the row of `jobs`."""
    rows = session.list_rows(BESIDE, [claimed[place].ref & ID_MASK for place in places])
    beside = {row[0]: row for row in rows}
    for place in places:
        row = claimed[place]
        _, args, fraction, message, result, error = beside[row.ref & ID_MASK]
        claimed[place] = replace(
            row,
            args=row.args if args is None else args,
            progress=None if fraction is None else Progress(fraction, message),
            result=result,
            error=error,
        )


def _lease_lengths(heads: Sequence[Any], table: LaneTable, request: ClaimRequest) -> list[int]:
    """Return each lease in microseconds: the job's own, else the task's, else the request's."""
    tasks, leases = table.tasks, request.leases
    lengths: list[int] = []
    for head in heads:
        own = UNSET if head[14] is None else read_options(head[14]).lease
        lengths.append(leases.get(tasks[head[2]], request.lease) if own is UNSET else micros(own))
    return lengths


def _rows(heads: Sequence[Any], ends: Sequence[int], table: LaneTable, worker: int, now: int) -> list[JobRow]:
    """Build the records of claimed jobs, by position: about a microsecond each."""
    tasks, queues, running = table.tasks, table.queues, JobState.RUNNING
    return [
        JobRow(
            lane << LANE_SHIFT | id, uid, tasks[lane], queues[lane], args, running, priority, due, created, attempt,
            max_attempts, claim, crashes, max_crashes, rev, worker, end, now, None, None, None, key,
            () if tags is None else decode_tags(tags), options,
        )
        for (
            (id, uid, lane, priority, due, created, attempt, max_attempts, claim, crashes, max_crashes, rev, key, tags,
             options, args, _), end,
        ) in zip(heads, ends, strict=True)
    ]  # fmt: skip
