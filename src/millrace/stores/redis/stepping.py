"""A worker's step: outcomes, then claims, in one trip. Owns their order; what they are stands with their nouns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.stores.redis.claim import AT_ONCE, PROMOTE, Claim, claims_of
from millrace.stores.redis.finish import Ending, Writing
from millrace.stores.redis.record import worker_bytes
from millrace.stores.redis.session import Call, Session

__all__ = ["Step"]

_NOTHING_ODD: Ending = (frozenset(), {})
_CHUNKS: Sequence[Call] = ((PROMOTE, (AT_ONCE,)),) * 4  # of due jobs, in one trip


class Step:
    """One step, as a body that may be run again: what has been answered is not sent again.

    Args:
        worker: Whose step.
        outcomes: What to finish.
        requests: What to claim.

    Attributes:
        freed: The queues to which outcomes have brought jobs back.
    """

    __slots__ = ("_claims", "_ending", "_now", "_outcomes", "_worker", "freed")

    def __init__(self, worker: int, outcomes: Sequence[Outcome], requests: Sequence[ClaimRequest]) -> None:
        self._worker = worker_bytes(worker)
        self._outcomes = outcomes
        self._claims = claims_of(self._worker, requests)
        self._ending: Ending | None = None if outcomes else _NOTHING_ODD
        self._now = 0
        self.freed: Collection[str] = ()

    def __call__(self, session: Session) -> StepAnswer:
        """Run the step."""
        ending = self._finish_and_claim(session)
        while left := self._open():
            first = _CHUNKS if any(claim.due for claim in left) else ()
            self._read(left, session.trip([*first, *(claim.call for claim in left)])[len(first) :])
        claims = self._claims
        claimed = claims[0].rows if len(claims) == 1 else [row for claim in claims for row in claim.rows]
        rooms = [claim.room_at for claim in claims if claim.room_at is not None]
        now = self._now if session.now is None else session.now
        return StepAnswer(now, claimed, *ending, min(rooms, default=None))

    def _finish_and_claim(self, session: Session) -> Ending:
        ending, claims = self._ending, self._open()
        if ending is not None:
            if claims:
                self._read(claims, session.trip([claim.call for claim in claims]))
            return ending
        writing = Writing(self._worker, self._outcomes, again=session.again)
        replies = session.trip([*writing.calls, *(claim.call for claim in claims)])
        ending = self._ending = writing.judge(replies[: len(writing.calls)])
        self._now, self.freed = writing.now, writing.freed
        self._read(claims, replies[len(writing.calls) :])
        return ending

    def _open(self) -> list[Claim]:
        return [claim for claim in self._claims if not claim.done]

    def _read(self, claims: Sequence[Claim], replies: Sequence[Any]) -> None:
        for claim, reply in zip(claims, replies, strict=True):
            self._now = int(reply[0])
            claim.read(reply)
