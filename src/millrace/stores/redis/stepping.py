"""A worker's step: outcomes, then claims, in one trip. Owns their order; what they are stands with their nouns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from millrace.job import JobRow
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.stores.redis.claim import AT_ONCE, PROMOTE, claim_calls, read_claim
from millrace.stores.redis.finish import Ending, Writing
from millrace.stores.redis.record import worker_bytes
from millrace.stores.redis.session import Call, Session

__all__ = ["Step"]

_NOTHING_ODD: Ending = (frozenset(), {})
_CHUNKS: Sequence[Call] = [(PROMOTE, (AT_ONCE,))] * 4  # of due jobs, in one trip


class Step:
    """One step, as a body that may be run again: what has been answered is not sent again.

    Args:
        worker: Whose step.
        outcomes: What to finish.
        requests: What to claim.

    Attributes:
        freed: The queues to which outcomes have brought jobs back.
    """

    __slots__ = ("_claims", "_ending", "_now", "_outcomes", "_rows", "_worker", "freed")

    def __init__(self, worker: int, outcomes: Sequence[Outcome], requests: Sequence[ClaimRequest]) -> None:
        self._worker = worker_bytes(worker)
        self._outcomes = outcomes
        self._claims = [call for request in requests for call in claim_calls(self._worker, request)]
        self._rows: list[list[JobRow] | None] = [None] * len(self._claims)
        self._ending: Ending | None = None if outcomes else _NOTHING_ODD
        self._now = 0
        self.freed: Collection[str] = ()

    def __call__(self, session: Session) -> StepAnswer:
        """Run the step."""
        ending = self._finish_and_claim(session)
        while None in self._rows:  # more is due than a claim promotes
            self._read(session.trip([*_CHUNKS, *self._open()])[len(_CHUNKS) :])
        rows = self._rows
        claimed = (rows[0] or []) if len(rows) == 1 else [row for some in rows if some is not None for row in some]
        return StepAnswer(self._now if session.now is None else session.now, claimed, *ending)

    def _finish_and_claim(self, session: Session) -> Ending:
        ending = self._ending
        if ending is not None:
            if None in self._rows:
                self._read(session.trip(self._open()))
            return ending
        writing = Writing(self._worker, self._outcomes, again=session.again)
        replies = session.trip([*writing.calls, *self._open()])
        ending = self._ending = writing.judge(replies[: len(writing.calls)])
        self._now, self.freed = writing.now, writing.freed
        self._read(replies[len(writing.calls) :])
        return ending

    def _open(self) -> list[Call]:
        return [call for call, rows in zip(self._claims, self._rows, strict=True) if rows is None]

    def _read(self, replies: Sequence[Any]) -> None:
        places = [place for place, rows in enumerate(self._rows) if rows is None]
        for place, reply in zip(places, replies, strict=True):
            self._now = int(reply[0])
            self._rows[place] = read_claim(reply)
