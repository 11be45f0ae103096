"""The Redis store whose queues are deployments of their own, spread over a cluster: producing and working."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Unpack

from msgspec.structs import replace

from millrace.clock import Clock
from millrace.errors import MillraceError
from millrace.job import JobRow
from millrace.messages import Beat, ClaimRequest, Existing, InsertAnswer, NewRow, Rescued, StepAnswer
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.scheduling import Firing
from millrace.states import JobState
from millrace.store import MAX_CLAIM
from millrace.stores.redis.borrowed import RedisOptions
from millrace.stores.redis.scheduler import Scheduler
from millrace.stores.redis.schedules import fire_schedules
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.settled import Answers, Settled
from millrace.stores.redis.shard import Shard
from millrace.stores.redis.spreaddesk import SpreadDesk

__all__ = ["ShardedRedisStore"]


class ShardedRedisStore(SpreadDesk, Scheduler):
    """Jobs on the nodes of a Redis or Valkey cluster, each queue in a slot of its own.

    Args:
        url: `redis://host?shard=queue`; what else may stand in its query is told in `Settings`.
        client: In place of a URL: as for `RedisStore`, or a client of a cluster.
        clock: Where the time comes from; None is the servers' clocks, and that is what all but tests want.
        options: What may stand in the query of a URL.

    >>> ShardedRedisStore("redis://ada:secret@db.example/0?shard=queue").url
    'redis://ada:***@db.example/0?shard=queue'
    """

    def __init__(
        self,
        url: str | Settings | None = None,
        *,
        client: Any = None,
        clock: Clock | None = None,
        **options: Unpack[RedisOptions],
    ) -> None:
        super().__init__(url, client=client, clock=clock, **options)
        self._settled = Settled()

    # -- producing

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs in order: of each queue all of them or, on an error, none."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        self._check_open()
        places: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(row.queue, []).append(place)
        self._enter(places)
        rejecting = {row.queue for row in rows if row.on_conflict == "reject"}
        existing: dict[int, Existing] = {}
        at = 0
        for queue, some in sorted(places.items(), key=lambda each: each[0] not in rejecting):
            ours = [rows[place] for place in some]
            answer = self._shard(queue).insert(ours, now=now)
            at = max(at, answer.now)
            self._seen.note(queue, [row.id for row in ours])
            existing |= {some[place]: each for place, each in answer.existing.items()}
            self._seen.note(queue, [each.row.id for each in answer.existing.values()])
            if answer.refused is not None:  # what other queues have taken they keep
                return InsertAnswer(at, existing, some[answer.refused])
        return InsertAnswer(at, existing)

    def fire(self, firings: Sequence[Firing], *, now: int | None = None) -> list[bool]:
        """Write jobs, then schedules and ticks. In between another worker may write the same jobs, which are one then.

        Only a job that has run and been deleted in between would run again: one that nobody keeps.
        """
        known = {row.name: row.rev for row in self.schedules()} if firings else {}
        fresh = [firing for firing in firings if firing.row.rev and firing.row.rev == known.get(firing.row.name)]
        self.insert(self._not_fired(fresh), now=now)
        body = partial(fire_schedules, firings=firings, elsewhere=True)
        return self._write(body, now=now, repeatable=True) if firings else []

    def _not_fired(self, firings: Sequence[Firing]) -> list[NewRow]:
        rows: list[NewRow] = []
        for firing in firings:
            fired = {tick.at for tick in self.ticks(firing.row.name)}
            rows += [job for at, job in zip(firing.ticks, firing.jobs, strict=True) if at not in fired]
        return rows

    # -- working

    def step(
        self,
        worker: int,
        outcomes: Sequence[Outcome],
        claims: Sequence[ClaimRequest],
        *,
        now: int | None = None,
    ) -> StepAnswer:
        """Finish attempts, each for good, then claim more, from one queue after the other until there is enough.

        What is to be finished in the queue that is asked first goes in the same trip as that question. A queue that
        cannot be reached keeps nobody from claiming from the others; it is told of where they gave nothing.
        """
        if not outcomes and not claims:
            return StepAnswer(self._nothing_to_do())
        self._check_open()
        answer = self._stepped(worker, outcomes, claims, now)
        if outcomes and self._follows:
            self._let_act(now=now)
        return answer

    def _stepped(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], now: int | None
    ) -> StepAnswer:
        order = self._order(claims[0]) if claims else []
        answers = Answers(self._settled, worker, outcomes)
        try:
            together = self._finish(answers, order[:1], now)
            claimed = self._claim(claims, answers, order, together, now)
        except BaseException:  # whatever it is, even Ctrl-C
            answers.keep()
            raise
        at = answers.now or (self.now() if now is None else now)
        return StepAnswer(at, claimed, answers.lost, answers.resulting, answers.room_at)

    def _finish(self, answers: Answers, first: Sequence[str], now: int | None) -> list[int]:
        """Write outcomes, but for those of the queue that is asked first: their places are returned."""
        known, unknown = self._seen.by_queue([answers.outcomes[place].id for place in answers.open])
        left = [answers.open[place] for place in unknown]
        for queue in self._look() if left else ():  # one that is refused by all was lost
            left = self._send(answers, queue, left, (), now)[0] if left else left
        answers.refuse(left)
        together: list[int] = []
        for queue, places in known.items():
            some = [answers.open[place] for place in places]
            if queue in first:
                together = some
            else:
                answers.refuse(self._send(answers, queue, some, (), now)[0])
        return together

    def _claim(
        self,
        claims: Sequence[ClaimRequest],
        answers: Answers,
        order: Sequence[str],
        together: Sequence[int],
        now: int | None,
    ) -> list[JobRow]:
        """Serve claims; `together` are the outcomes that go with the first question, to the first queue in order."""
        claimed: list[JobRow] = []
        trouble: MillraceError | None = None
        for number, request in enumerate(claims):
            left = min(request.limit, MAX_CLAIM)
            for queue in self._candidates(request, self._order(request) if number else order, claimed):
                some, together = together, ()
                try:
                    asked = replace(request, limit=left, queues=(queue,))
                    refused, rows = self._send(answers, queue, some, (asked,), now)
                except MillraceError as error:
                    if some:
                        raise
                    trouble = trouble or error
                    continue
                answers.refuse(refused)
                self._note_claimed(queue, rows, left)
                claimed += rows
                left -= len(rows)
                if not left:
                    break
        if trouble is not None and not claimed:
            raise trouble
        return claimed

    def _send(
        self, answers: Answers, queue: str, places: Sequence[int], claims: Sequence[ClaimRequest], now: int | None
    ) -> tuple[list[int], Sequence[JobRow]]:
        """Have one queue write outcomes and serve claims; return the places of those refused, and what it gave."""
        outcomes = [answers.outcomes[place] for place in places]
        answer = self._shard(queue).step(answers.worker, outcomes, claims, now=now)
        return answers.note(places, answer), answer.claimed

    def _note_claimed(self, queue: str, rows: Sequence[JobRow], asked: int) -> None:
        if rows:
            self._seen.note(queue, [row.id for row in rows])
            self._turns.served(queue, dry=len(rows) < asked)
        else:
            self._turns.asked(queue, dry=True)

    def _order(self, request: ClaimRequest) -> list[str]:
        """Return the queues that a claim may be served from, in turn, as far as they are known."""
        known = self._fresh()
        wanted = known if request.queues is None else {q: known[q] for q in request.queues if q in known}
        return self._turns.order(wanted)

    def _candidates(self, request: ClaimRequest, order: Sequence[str], claimed: Sequence[JobRow]) -> Iterator[str]:
        """Yield queues in order; where all of them have given nothing, those too that others have brought meanwhile."""
        yield from order
        if not claimed:
            self._look_in_passing()
            yield from (queue for queue in self._order(request) if queue not in order)

    def extend(self, worker: int, beats: Sequence[Beat], *, now: int | None = None) -> list[JobState | None]:
        """Extend leases, store progress and partial results; answer each beat's state, None where it is lost.

        Where a queue cannot be reached, leases in the others are extended before that is told.
        """
        self._check_open()
        trouble: list[MillraceError] = []
        nothing: JobState | None = None

        def ask(shard: Shard, places: Sequence[int]) -> Sequence[JobState | None]:
            try:
                return shard.extend(worker, [beats[place] for place in places], now=now)
            except MillraceError as error:
                trouble.append(error)
                return [JobState.RUNNING] * len(places)  # nobody is told so; other queues need not be asked

        states = self._by_place([beat.id for beat in beats], nothing, ask)
        if trouble:
            raise trouble[0]
        return states

    def cancelling(self, worker: int) -> list[tuple[bytes, int]]:
        """Return (id, claim) of the worker's jobs that were asked to cancel."""
        return [each for some in self._each(self._known(), lambda shard: shard.cancelling(worker)) for each in some]

    def log(self, worker: int, lines: Sequence[LogRow]) -> list[bool]:
        """Store log lines, fenced; answer for each whether it was kept."""
        self._check_open()
        nothing = False
        return self._by_place(
            [line.id for line in lines],
            nothing,
            lambda shard, places: shard.log(worker, [lines[place] for place in places]),
        )

    def rescue(
        self,
        *,
        retention: int | None,
        dead_retention: int | None,
        limit: int = 500,
        now: int | None = None,
    ) -> list[Rescued]:
        """Take back leases that have passed."""
        rescued: list[Rescued] = []

        def ask(shard: Shard, left: int) -> int:
            some = shard.rescue(retention=retention, dead_retention=dead_retention, limit=left, now=now)
            rescued.extend(some)
            return len(some)

        if self._within(limit, ask):
            self._let_act(now=now)
        return rescued

    def promote(self, *, limit: int = 500, now: int | None = None) -> int:
        """Make due jobs pending; return how many."""
        return self._within(limit, lambda shard, left: shard.promote(limit=left, now=now))

    def next_due(self) -> int | None:
        """Return when the next scheduled or failed job is due."""
        dues = self._each(self._known(), lambda shard: shard.next_due())
        return min((due for due in dues if due is not None), default=None)
