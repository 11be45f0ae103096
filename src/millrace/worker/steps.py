"""The worker's steps: write what is done, claim what there is room for. Owns when, how many, and by which thread.

There is no store thread: a hand that finds few jobs waiting does the step itself while the others go on, which was 10
to 40 % faster. The claimer does those that no hand does: when all are idle, and for the event loop, which must not
wait. As many steps go on at once as the store gains by. No timer delays a step: each takes what has gathered since the
last one; a second beside another only once enough has, as each costs the server the same before it does anything.
While jobs flow and enough of them wait, outcomes may gather for `LINGER` seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock, get_ident

from millrace.job import JobRow
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.registry import RunIn
from millrace.store import MAX_CLAIM
from millrace.worker.attempt import Attempt, Told
from millrace.worker.bell import Bell
from millrace.worker.completer import step, take_outcomes
from millrace.worker.floor import Floor, last_chance
from millrace.worker.lane import Bay, Lane
from millrace.worker.ownends import settle_own
from millrace.worker.pace import MOST_AHEAD
from millrace.worker.telling import LOGGER, fields
from millrace.worker.uptime import uptime

__all__ = ["LINGER", "SECOND", "Steps"]

SECOND = 250  #: jobs to write and to claim that make a second step worth its while
LINGER = 0.005  #: seconds that outcomes may wait for others while jobs flow


class Steps:
    """The steps of one worker.

    Args:
        floor: What the worker's rooms share.
        lanes: Reserved ones first.
        queues: To claim from; None is all.
    """

    def __init__(self, floor: Floor, lanes: Sequence[Lane], queues: tuple[str, ...] | None) -> None:
        self.bell = Bell()  #: wakes the claimer
        self.relief = Bell()  #: wakes who does a second step for the event loop
        self.near = False  #: the claimer will look within `LINGER`
        self.more = True  #: there may be jobs to claim
        self.accepting = True  #: whether jobs are claimed at all
        self.watched = False  #: the claimer wants to know of each slot that becomes free
        self.due_at: int | None = None  #: by the store's clock: when the next job falls due
        self.due_known = False  #: whether that still holds
        self.room_at: int | None = None  #: by the store's clock: when a job may be claimed that only a rate holds back
        self.under_way = 0.0  #: since when a step goes on, by `uptime`; 0.0: none does
        self.ended_at = 0.0  #: when the last one ended
        self.alone: JobRow | None = None  #: a job that must run alone; nothing else is claimed or begun
        self.alone_begun = False
        self._floor = floor
        self._lanes = lanes
        self._queues = queues
        self.permits = list(range(floor.store.parallel_steps))  #: to do a step; empty while as many go on as may
        self._most = min(MAX_CLAIM, MOST_AHEAD // len(self.permits))  # for one step, that one beside it has as much
        self._leading: set[int] = set()  # idents of the threads that do a step
        self._noting = Lock()
        self._hints = 0
        self._scouted = False  # a hand was sent for a hint that the claimer has not heard of
        floor.outage.on_over = self.bell.ring
        for lane in lanes:
            lane.on_free = self.freed

    # -- asking for a step

    def hinted(self) -> None:
        """Take a hint of the store that there may be jobs: look soon, unless a step goes on and will see to it.

        Where all are idle a hand looks: what it claims first it runs itself, which saves waking it for that.
        """
        self._hints += 1
        self.due_known = False
        self.more = True
        if self._leading:
            return
        self._scouted = True
        if not (self.claims_now and self._lanes[-1].scout()):
            self._scouted = False
            self.bell.ring()

    def poke(self) -> None:
        """Have the claimer look now."""
        self.bell.ring()

    def relieve(self) -> None:
        """Have a step done by a thread that may wait for it: a first one, or a second beside the one that goes on."""
        (self.relief if self._leading else self.bell).ring()

    def linger(self) -> None:
        """See that an outcome is written soon that came while enough jobs wait: now, or with those to come."""
        if uptime() - self.ended_at >= LINGER:
            self.lead()
        else:
            self.near = True
            self.bell.ring()

    def freed(self) -> None:
        """Have the claimer look: a slot became free for which there may be a job, or the last thing under way ended."""
        if self.more or self.watched or self.alone is not None:
            self.bell.ring()

    def lead(self, own: Bay | None = None) -> None:
        """Do the store's steps that are due, where another thread does not already.

        Args:
            own: The bay of the hand that asks, which holds a slot and will itself take a job.
        """
        outage = self._floor.outage
        while not (outage.open and uptime() < outage.next_try):
            if self._leading and not self._worth_a_second(own):
                return  # for the same reason as below
            try:
                permit = self.permits.pop()
            except IndexError:  # whoever leads looks at the end whether there is more to do
                return
            ident = get_ident()
            self._leading.add(ident)
            if self.permits:
                for lane in self._lanes:  # so that nobody asks for a second step before it is worth one
                    lane.low = min(lane.low, lane.ahead // 4)
            self.under_way = uptime()
            try:
                went = self._step(own)
            finally:
                self.under_way = 0.0
                self._leading.discard(ident)
                self.permits.append(permit)
            # What came while the step went on could not lead itself, so this is looked at after the permit is free.
            if not went or not self.needed(own):
                break
        if self._scouted:  # the claimer looks when the next job falls due; and only now, not before what was claimed
            self._scouted = False
            self.bell.ring()
        if self._floor.done and not self.near and not outage.open:  # in an outage the claimer wakes for the next try
            self.near = True
            self.bell.ring()

    def _worth_a_second(self, own: Bay | None) -> bool:
        """Tell whether enough has gathered for a step beside the one that goes on, which will see to it otherwise."""
        gathered = len(self._floor.done)
        if gathered < SECOND and self.more and self.claims_now:
            now = uptime()
            gathered += sum([lane.want(now, own is not None and own.lane is lane) for lane in self._lanes])
        return gathered >= SECOND

    def needed(self, own: Bay | None = None) -> bool:
        """Tell whether a step should be done now."""
        if not any(lane.waiting <= lane.low for lane in self._lanes):
            return False
        return bool(self._floor.done) or (self.more and self.wanting(own))

    def wanting(self, own: Bay | None = None) -> bool:
        """Tell whether there is room for more jobs."""
        if not self.claims_now:
            return False
        now = uptime()
        return any(lane.want(now, own is not None and own.lane is lane) for lane in self._lanes)

    @property
    def claims_now(self) -> bool:
        """Whether jobs may be claimed."""
        return self.accepting and self.alone is None and not self._floor.unsure

    @property
    def quiet(self) -> bool:
        """Whether nothing runs, waits, or is to be written."""
        return not self._leading and not self._floor.done and all(lane.quiet for lane in self._lanes)

    # -- one step

    def _step(self, own: Bay | None) -> bool:
        """Do one step; False where there was nothing to do, or the store is out of reach."""
        floor = self._floor
        outcomes: Sequence[Outcome] = take_outcomes(floor, self._most)
        if outcomes and floor.expected:
            outcomes = settle_own(floor, outcomes)
        asked, requests = self._requests(own) if (self.more or outcomes) and self.claims_now else ({}, [])
        if not outcomes and not requests:
            if not floor.plans.claimable:
                self.more = False
            return False
        hints = self._hints
        try:
            answer = step(floor, outcomes, requests)
        finally:
            for lane, number in asked.items():
                lane.ask(-number)
        if answer is None:
            return False
        with self._noting:
            self._after(answer, sum(asked.values()), hints)
            self._note_delays(outcomes, answer)
        if answer.claimed:
            self._place(answer.claimed, asked, own)
        self.ended_at = uptime()
        return True

    def _requests(self, own: Bay | None) -> tuple[dict[Lane, int], list[ClaimRequest]]:
        """Return how many jobs each lane wants, and the claims that ask for them: those for reserved slots first."""
        plans = self._floor.plans
        plans.refresh()
        if not plans.claimable:
            return {}, []
        now = uptime()
        asked: dict[Lane, int] = {}
        requests: list[ClaimRequest] = []
        for lane in self._lanes:
            number = min(lane.want(now, own is not None and own.lane is lane), self._most)
            if not number:
                continue
            lane.ask(number)
            asked[lane] = number
            queues = self._queues if lane.queue is None else (lane.queue,)
            requests.append(ClaimRequest(number, queues, plans.claimable, leases=plans.leases))
        return asked, requests

    def _after(self, answer: StepAnswer, asked: int, hints: int) -> None:
        if not asked:
            return
        short = len(answer.claimed) < asked
        self.room_at = answer.room_at if short else None
        if self.room_at is not None:
            self.bell.ring()  # the claimer sleeps until then, not until its next poll
        for lane in self._lanes:
            lane.low = 0 if short else lane.ahead // 2  # where there is no more to claim, few that wait are no reason
            lane.idle = lane.idle or (short and lane.quiet)
        if short:
            self.more = self._hints != hints
            if not answer.claimed:
                self._floor.notices.idle.tell()

    def _note_delays(self, outcomes: Sequence[Outcome], answer: StepAnswer) -> None:
        delays = [outcome.delay for outcome in outcomes if outcome.delay is not None]
        if delays:
            due = answer.now + min(delays)
            if self.due_at is None or due < self.due_at:
                self.due_at = due
                self.bell.ring()

    # -- what was claimed

    def _place(self, rows: Sequence[JobRow], asked: dict[Lane, int], own: Bay | None) -> None:
        """Let claimed jobs wait in their lanes; where one of them must run alone, give all others back."""
        if [row for row in rows if row.crashes]:
            single = next((row for row in rows if last_chance(row)), None)
            if single is not None:
                self._set_alone(single, [row for row in rows if row is not single])
                return
        if len(self._lanes) == 1:
            self._lanes[0].take_in(self._by_runner(rows), own)
            return
        shares: dict[Lane, list[JobRow]] = {lane: [] for lane in asked}
        general = self._lanes[-1]
        for row in rows:
            lane = next(
                (each for each in asked if each.queue == row.queue and len(shares[each]) < asked[each]), general
            )
            shares.setdefault(lane, []).append(row)
        for lane, share in shares.items():
            if share:
                lane.take_in(self._by_runner(share), own if own is not None and own.lane is lane else None)

    def _by_runner(self, rows: Sequence[JobRow]) -> dict[RunIn, list[JobRow]]:
        plans = self._floor.plans
        sorted_out: dict[RunIn, list[JobRow]] = {}
        for row in rows:
            kind = plans[row.task].kind
            if kind in sorted_out:
                sorted_out[kind].append(row)
            else:
                sorted_out[kind] = [row]
        return sorted_out

    def give_back_waiting(self, before: int | None = None) -> int | None:
        """Give back the jobs that wait: all, or those claimed before a time of the store's.

        Returns:
            When the oldest of those that are left was claimed.
        """
        removed = [row for lane in self._lanes for row in lane.remove(before)]
        for row in removed:
            self._floor.give_back(row)
        if removed:
            self.poke()
        return min([at for lane in self._lanes if (at := lane.oldest) is not None], default=None)

    # -- a job that must run alone

    def _set_alone(self, row: JobRow, others: Sequence[JobRow]) -> None:
        LOGGER.info(
            "%s has lost %d leases of at most %d and runs alone, once the jobs under way have ended",
            row.task, row.crashes, row.max_crashes, extra=fields(row),
        )  # fmt: skip
        floor = self._floor
        for other in others:
            floor.give_back(other)
        floor.hold(row)
        self.alone, self.alone_begun = row, False
        self.give_back_waiting()
        self.bell.ring()

    def give_back_alone(self) -> None:
        """Give back the job that waits to run alone: the claim loop has ended, and none begins it any more."""
        row, self.alone = self.alone, None
        if row is not None and not self.alone_begun:
            self._floor.give_back(row)
            self._floor.let_go()

    def turn_alone(self) -> bool:
        """Begin the job that must run alone once all else has ended and is written; go on once it has ended.

        Returns:
            Whether there is something to do now because of it.
        """
        row = self.alone
        if row is None or not self.quiet:
            return False
        if self.alone_begun or not self.accepting:
            self.alone = None
            if not self.alone_begun:
                self._floor.give_back(row)
            self._floor.let_go()
            self.more = True
            return True
        held: Attempt | None = self._floor.held
        self._floor.let_go()
        told = None if held is None else held.told
        if told is None:
            self.alone_begun = True
            self._lanes[-1].take_in(self._by_runner([row]))
            return False
        self.alone = None
        if told is Told.LOST:
            self._floor.lost([row])
        else:
            self._floor.give_back(row)
        return True
