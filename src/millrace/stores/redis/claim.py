"""Claiming jobs, and making due ones pending. Owns the arguments and answers of both scripts.

A claim promotes what is due before it chooses. Where that is much it claims nothing and says so: then it is promoted in
chunks, so that no script runs long, and the claim is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from millrace.job import JobRow
from millrace.messages import ClaimRequest
from millrace.store import MAX_CLAIM
from millrace.stores.redis.rows import claimed_rows
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Call, Session

__all__ = ["AT_ONCE", "CLAIM", "PROMOTE", "claim_calls", "next_due", "promote", "read_claim"]

CLAIM: Final = script("claim")
PROMOTE: Final = script("promote")
AT_ONCE: Final = 500  #: jobs that one script claims or promotes

_pack = msgspec.msgpack.Encoder().encode


def claim_calls(worker: bytes, request: ClaimRequest) -> list[Call]:
    """Return the scripts that serve a request, each of them a whole by itself."""
    limit, tasks = min(request.limit, MAX_CLAIM), request.tasks
    queues = request.queues
    rest = (queues, None if tasks is None else tuple(tasks), request.lease, request.leases or None)
    return [(CLAIM, (worker, _pack((min(limit - first, AT_ONCE), *rest)))) for first in range(0, limit, AT_ONCE)]


def read_claim(reply: Sequence[Any]) -> list[JobRow] | None:
    """Build the rows of what was claimed; None where jobs must be promoted first."""
    _, held_up, *told = reply
    if held_up:
        return None
    return claimed_rows(*told) if told else []


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
    return int(float(first[1])) if first else None
