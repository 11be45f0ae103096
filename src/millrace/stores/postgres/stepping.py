"""A worker's step: outcomes, then claims. Owns the order of the statements; what they are stands with their nouns."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from millrace.job import JobRow
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.store import MAX_CLAIM
from millrace.stores.postgres.claim import FLOORED, MOST_PROMOTED, Claims, promote
from millrace.stores.postgres.finish import NOTHING_ODD, Ending, Writing
from millrace.stores.postgres.script import run
from millrace.stores.postgres.session import Session, Statement

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

    __slots__ = ("_claimed", "_claims", "_ending", "_full", "_now", "_outcomes", "_requests", "_worker", "freed")

    def __init__(
        self, claims: Claims, worker: int, outcomes: Sequence[Outcome], requests: Sequence[ClaimRequest]
    ) -> None:
        self._claims, self._worker = claims, worker
        self._outcomes, self._requests = outcomes, requests
        self._ending: Ending | None = None if outcomes else NOTHING_ODD
        self._claimed: dict[int, list[JobRow]] = {}
        self._full: set[int] = set()  # requests whose claim began at the front
        self._now: int | None = None
        self.freed: Collection[str] = ()

    def __call__(self, session: Session) -> StepAnswer:
        """Run the step."""
        requests = self._requests
        tried = self._ending is None or self._claims.flowing
        if tried:
            self._go(session)
        if len(self._claimed) < len(requests):
            self._look_and_claim(session, tried=tried)
        claimed = self._claimed.get(0, []) if len(requests) == 1 else self._in_order()
        if requests:
            self._claims.flowing = bool(claimed)
        now = (claimed[0].started if claimed else self._now) if session.now is None else session.now
        assert self._ending is not None  # noqa: S101 - `_go` has seen to it
        assert now is not None  # noqa: S101 - so has whatever ran
        return StepAnswer(now, claimed, *self._ending, self._claims.room_left() if requests else None)

    def _in_order(self) -> list[JobRow]:
        return [row for place in range(len(self._requests)) for row in self._claimed.get(place, ())]

    def _go(self, session: Session) -> None:
        """Write the outcomes and run the guarded claims, all in one trip."""
        writing = Writing(self._worker, self._outcomes, again=session.again) if self._ending is None else None
        open_ones = [place for place in range(len(self._requests)) if place not in self._claimed]
        first = [] if writing is None else [writing.statement]
        if session.texts.light:  # a claim's commit may be light, and in one trip there is one commit for all
            answers = [session.rows(*each) for each in first] + self._claim(session, open_ones, [])
        else:
            answers = self._claim(session, open_ones, first)
        if writing is not None:
            self._ending = run(session, writing.judge(answers[0]))
            self._now, self.freed = writing.now, writing.freed
        self._claims.floor.look(session)

    def _look_and_claim(self, session: Session, *, tried: bool) -> None:
        """See why claims came back empty; promote what is due, and claim without the guard that kept from it.

        Where claims begin at a floor, those have no guard, and to look for whatever is pending would cost what the
        floor saves: whether there is anything beyond it, the next full claim tells. One that its guard kept from
        all is full again: where something is always due, none would come otherwise, and what is behind stay there.
        """
        claims = self._claims
        floored = claims.floor.holds
        due, pending, now = claims.look(session, whole=not floored)
        self._now = now
        if due:
            while promote(session, claims.due, now, MOST_PROMOTED) == MOST_PROMOTED:
                pass
        if due or pending or (floored and not tried):
            open_ones = [place for place in range(len(self._requests)) if place not in self._claimed]
            self._claim(session, open_ones, [], bold=True)

    def _claim(
        self, session: Session, places: Sequence[int], first: list[Statement], *, bold: bool = False
    ) -> list[list[Any]]:
        """Run claims in one trip and one transaction, behind other statements; return the answers to those.

        Where queues with a limit are asked for, they are locked until its end, so that no other counts meanwhile.
        """
        claims, worker = self._claims, self._worker
        if claims.stale(self._requests):
            claims.look(session, whole=False)
        ruled = [place for place in places if claims.is_ruled(self._requests[place])]
        places = [place for place in places if place not in ruled] if ruled else places
        requests = [self._requests[place] for place in places]
        hindered = [request for request in requests if claims.hindered(request)]
        made = [
            claims.statement(
                worker,
                request,
                min(request.limit, MAX_CLAIM),
                bold=bold,
                limited=claims.hindered(request),
                full=bold and place in self._full,
            )
            for place, request in zip(places, requests, strict=True)
        ]
        self._full = {place for place, (template, _) in zip(places, made, strict=True) if template is not FLOORED}
        statements = [*first, *([claims.lock(hindered)] if hindered else ()), *made]
        began = time.monotonic()
        answers = session.trip(statements) if len(statements) > 1 else [session.rows(*each) for each in statements]
        took = time.monotonic() - began
        told = answers[len(answers) - len(made) :]
        for place, request, statement, rows in zip(places, requests, made, told, strict=True):
            jobs = claims.read(worker, request, statement, rows, took)
            if jobs:
                self._claimed[place] = jobs
        for place in ruled:
            jobs = claims.by_rules.claim(session, worker, self._requests[place], bold=bold)
            if jobs:
                self._claimed[place] = jobs
        return answers[: len(first)]
