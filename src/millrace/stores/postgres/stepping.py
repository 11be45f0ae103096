"""A worker's step: outcomes, then claims. Owns the order of the statements; what they are stands with their nouns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from millrace.job import JobRow
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.store import MAX_CLAIM
from millrace.stores.postgres.arrays import Strings
from millrace.stores.postgres.claim import LOCK, LOOK, MOST_PROMOTED, Claims, promote
from millrace.stores.postgres.finish import NOTHING_ODD, Ending, Writing
from millrace.stores.postgres.script import run
from millrace.stores.postgres.session import Session

__all__ = ["Step"]


class Step:
    """One step, as a body that may be run again: what is written once is not written again.

    Args:
        claims: The claims of the store.
        worker: Whose step.
        outcomes: What to finish.
        requests: What to claim.

    Attributes:
        freed: The queues to which outcomes have brought jobs back.
    """

    __slots__ = ("_claimed", "_claims", "_ending", "_now", "_outcomes", "_requests", "_worker", "freed")

    def __init__(
        self, claims: Claims, worker: int, outcomes: Sequence[Outcome], requests: Sequence[ClaimRequest]
    ) -> None:
        self._claims, self._worker = claims, worker
        self._outcomes, self._requests = outcomes, requests
        self._ending: Ending | None = None if outcomes else NOTHING_ODD
        self._claimed: dict[int, list[JobRow]] = {}
        self._now: int | None = None
        self.freed: Collection[str] = ()

    def __call__(self, session: Session) -> StepAnswer:
        """Run the step."""
        requests = self._requests
        if self._ending is None or self._claims.flowing:
            self._go(session)
        if len(self._claimed) < len(requests):
            self._look_and_claim(session)
        claimed = self._claimed.get(0, []) if len(requests) == 1 else self._in_order()
        if requests:
            self._claims.flowing = bool(claimed) and not self._claims.limited
        now = (claimed[0].started if claimed else self._now) if session.now is None else session.now
        assert self._ending is not None  # noqa: S101 - `_go` has seen to it
        assert now is not None  # noqa: S101 - so has whatever ran
        return StepAnswer(now, claimed, *self._ending)

    def _in_order(self) -> list[JobRow]:
        return [row for place in range(len(self._requests)) for row in self._claimed.get(place, ())]

    def _go(self, session: Session) -> None:
        """Write the outcomes and run the guarded claims, all in one trip."""
        claims, worker = self._claims, self._worker
        writing = Writing(worker, self._outcomes, again=session.again) if self._ending is None else None
        # a queue with a limit is claimed from under its lock: the guards would find nothing
        open_ones = [] if claims.limited else [i for i in range(len(self._requests)) if i not in self._claimed]
        statements = [
            claims.statement(worker, self._requests[place], min(self._requests[place].limit, MAX_CLAIM))
            for place in open_ones
        ]
        if writing is not None:
            statements.insert(0, writing.statement)
        # a claim's commit may be light, and in one trip there is one commit for all
        together = len(statements) > 1 and (writing is None or not session.texts.light)
        answers = session.trip(statements) if together else [session.rows(*each) for each in statements]
        if writing is not None:
            self._ending = run(session, writing.judge(answers.pop(0)))
            self._now, self.freed = writing.now, writing.freed
            del statements[0]
        for place, statement, rows in zip(open_ones, statements, answers, strict=True):
            if rows:
                self._claimed[place] = claims.read(worker, self._requests[place], statement, rows)
        claims.floor.look(session)

    def _look_and_claim(self, session: Session) -> None:
        """See why claims came back empty; promote what is due, lock queues with a limit, and claim without guards."""
        ((due, limited, pending, self._now),) = session.rows(LOOK)
        self._claims.limited = limited
        if due:
            while promote(session, MOST_PROMOTED) == MOST_PROMOTED:
                pass
        if not due and not pending:
            return
        for place, request in enumerate(self._requests):
            if place in self._claimed:
                continue
            if limited:
                with session.transaction():
                    session.rows(LOCK, {"queues": None if request.queues is None else Strings(request.queues)})
                    rows = self._claim(session, request, limited=True)
            else:
                rows = self._claim(session, request, limited=False)
            if rows:
                self._claimed[place] = rows

    def _claim(self, session: Session, request: ClaimRequest, *, limited: bool) -> list[JobRow]:
        statement = self._claims.statement(
            self._worker, request, min(request.limit, MAX_CLAIM), bold=True, limited=limited
        )
        return self._claims.read(self._worker, request, statement, session.rows(*statement))
