"""Serving a claim where queues with limits of keys or a rate take part. Owns the turns between those and the others.

One queue after the other, and the queues without such limits together, so that those of one priority share what is
asked for and take turns; all of it in one transaction, which holds the locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from millrace.job import JobRow
from millrace.messages import ClaimRequest
from millrace.store import MAX_CLAIM
from millrace.stores.postgres.arrays import Strings
from millrace.stores.postgres.limited import LIMITED_LOCK, Limited, QueueNow, open_queues
from millrace.stores.postgres.session import Session

if TYPE_CHECKING:
    from millrace.stores.postgres.claim import Claims

__all__ = ["TAKE_WHICH", "Ruled"]

# Behind the head that all claims have. job_pkey, then the rows by their places.
TAKE_WHICH: Final = " select ctid from {s}.job where id = any(%(ids)b) and state + 0 = 1 for no key update skip locked"


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks for what, in which transaction."""

    session: Session
    worker: int
    request: ClaimRequest


class Ruled:
    """The claims of one store in which such queues take part.

    Args:
        claims: All claims of the store.
    """

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._turn: dict[int, int] = {}  #: by queue priority, how often its queues were asked
        self.limited = Limited()

    def claim(self, session: Session, worker: int, request: ClaimRequest, *, bold: bool) -> list[JobRow]:
        """Serve a request."""
        asking = _Asking(session, worker, request)
        with session.transaction():
            queues = None if request.queues is None else Strings(request.queues)
            session.rows(LIMITED_LOCK, {"queues": queues})
            found = open_queues(session, {"queues": queues, "bold": bold, "since": self._claims.due.since})
            limit = min(request.limit, MAX_CLAIM)
            claimed: list[JobRow] = []
            for level, some in groupby(found, key=lambda queue: queue.priority):
                if len(claimed) < limit:
                    claimed += self._share_out(asking, level, list(some), limit - len(claimed))
        return claimed

    def _share_out(self, asking: _Asking, level: int, queues: Sequence[QueueNow], limit: int) -> list[JobRow]:
        others = [queue.name for queue in queues if not queue.ruled]
        parts: list[tuple[int, QueueNow | None]] = [(1, queue) for queue in queues if queue.ruled]
        if others:
            parts.append((len(others), None))
        turn = self._turn[level] = self._turn.get(level, -1) + 1
        begin = turn % len(parts)
        parts = parts[begin:] + parts[:begin]
        claimed: list[JobRow] = []
        full: list[QueueNow | None] = []
        weight = len(queues)
        for own, queue in parts:
            asked = -(-(limit - len(claimed)) * own // weight)
            weight -= own
            rows = self._ask(asking, queue, others, asked)
            claimed += rows
            if len(rows) == asked:
                full.append(queue if queue is None or queue.room is None else replace(queue, room=queue.room - asked))
        for queue in full:  # others have left of their part
            claimed += self._ask(asking, queue, others, limit - len(claimed))
        return claimed

    def _ask(self, asking: _Asking, queue: QueueNow | None, others: Sequence[str], limit: int) -> list[JobRow]:
        """Claim from one queue with such limits, or else from the others."""
        if limit <= 0:
            return []
        claims, session, worker, request = self._claims, asking.session, asking.worker, asking.request
        if queue is None:
            return claims.claim_others(session, worker, request, others, limit)
        return self.limited.claim(
            session, queue, request, limit, lambda ids: claims.mark(session, worker, request, ids)
        )
