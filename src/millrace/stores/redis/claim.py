"""Claiming jobs, and making due ones pending. Owns the arguments and answers of both scripts.

A claim promotes what is due before it chooses. Where that is much it claims nothing and says so: then it is promoted in
chunks, so that no script runs long, and the claim is made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from millrace.job import HELD, JobRow
from millrace.messages import ClaimRequest
from millrace.store import MAX_CLAIM
from millrace.stores.redis.rows import claimed_rows
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Call, Session

__all__ = ["AT_ONCE", "CLAIM", "PROMOTE", "Claim", "claims_of", "next_due", "promote"]

CLAIM: Final = script("claim")
PROMOTE: Final = script("promote")
AT_ONCE: Final = 500  #: jobs that one script claims or promotes

_DUE = 1
_PARTS = 3  # of the answer that tell jobs
_pack = msgspec.msgpack.Encoder().encode


class Claim:
    """One claim on its way, of at most as many jobs as a script takes.

    Args:
        worker: For whom, packed.
        request: What is asked for.
        limit: How many jobs.

    Attributes:
        rows: What it has brought.
        done: Nothing more will come. Else those that came were so large that the script left others for another call,
            or jobs are `due`.
        due: Nothing was claimed, as so many jobs must be promoted first.
        room_at: When a job may be claimed that only a rate holds back.
    """

    __slots__ = ("_limit", "_request", "_worker", "done", "due", "room_at", "rows")

    def __init__(self, worker: bytes, request: ClaimRequest, limit: int) -> None:
        self._worker, self._request, self._limit = worker, request, limit
        self.rows: list[JobRow] = []
        self.done = self.due = False
        self.room_at: int | None = None

    @property
    def call(self) -> Call:
        """The script to run for what is still missing."""
        request = self._request
        tasks = None if request.tasks is None else tuple(request.tasks)
        limit = self._limit - len(self.rows)
        head = _pack((limit, request.queues, tasks, request.lease, request.leases or None))
        return CLAIM, (self._worker, head)

    def read(self, reply: Sequence[Any]) -> None:
        """Read its answer."""
        _, more, *told = reply
        self.done, self.due = not more, more == _DUE
        if told:
            self.rows += claimed_rows(*told[:_PARTS])
            self.room_at = int(told[_PARTS]) if len(told) > _PARTS else None


def claims_of(worker: bytes, requests: Iterable[ClaimRequest]) -> list[Claim]:
    """Return the claims that serve requests, in order, each of them a whole by itself."""
    return [
        Claim(worker, request, min(min(request.limit, MAX_CLAIM) - first, AT_ONCE))
        for request in requests
        for first in range(0, min(request.limit, MAX_CLAIM), AT_ONCE)
    ]


def promote(session: Session, limit: int) -> int:
    """Make due jobs pending, those due longest first; return how many."""
    promoted = 0
    while promoted < limit:
        asked = min(limit - promoted, AT_ONCE)
        number: int = session.run(PROMOTE, asked)
        promoted += number
        if number < asked:
            break
    return promoted


def next_due(session: Session) -> int | None:
    """Return when the next scheduled or failed job is due."""
    first: Sequence[bytes] = session.command("ZRANGE", session.keys.key("later"), 0, 0, "WITHSCORES")
    due = int(float(first[1])) if first else HELD
    return None if due >= HELD else due
