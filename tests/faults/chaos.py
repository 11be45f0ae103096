"""Chaos: workers of one store are killed and paused past their leases while jobs come in. Owns the dice, no verdict.

What befalls the store itself is told by `strikes`, and then whoever calls the store takes a refusal as it comes.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Timer
from typing import Any

from millrace import NewJob, StoreUnavailable
from millrace.messages import JobFilter
from millrace.states import CANCELLABLE
from tests.faults.company import Company, Member

__all__ = ["Chaos", "Turn"]

WORKERS = 3
SLICE = 0.01  # seconds between two looks at what is due
PAUSE = (2.3, 3.0)  # seconds: the lease of one, and a round of maintenance to find that it has passed
HEALED_WITHIN = 40.0  # seconds: bounds a failure


@dataclass
class Chaos:
    """One run, by a seed.

    Args:
        company: Whom it befalls; nobody is hired yet.
        seed: Of its dice.
        seconds: How long it lasts.
        pauses: About how many processes a second are stopped; 0 for none, and nobody is killed either.
        strikes: What befalls the store meanwhile.
        heal: Makes the store well again, at the end.
        hires: The options of each worker; one for each.
    """

    company: Company
    seed: int
    seconds: float
    pauses: float = 1.0
    strikes: Sequence[Turn] = ()
    heal: Callable[[], None] = lambda: None
    hires: Sequence[Mapping[str, Any]] = field(default_factory=lambda: [dict[str, Any]()] * WORKERS)
    kills: int = 0
    stops: int = 0
    refusals: int = 0
    healed_after: float = 0.0
    _pauses: dict[Member, Timer] = field(default_factory=dict[Member, Timer])
    _workers: list[Member] = field(default_factory=list[Member])

    def run(self) -> None:
        """Let it rage, then heal: everybody goes on, and all jobs come to an end."""
        self.dice = random.Random(self.seed)
        self._workers = [self.company.hire(concurrency=8, wait=False, **told) for told in self.hires]
        by_hand = self.company.hire("consume", wait=False)
        for member in (*self._workers, by_hand):
            member.wait_until_ready()
        end = time.monotonic() + self.seconds
        turns = [
            Turn(self._produce, 0.08, 0.12),
            Turn(self._cancel_some, 0.3, 0.6),
            *self.strikes,
        ]
        if self.pauses:
            turns += [
                # The more pauses, the longer a worker lives: one must be there to take back what the paused one holds.
                Turn(self._kill_one, 0.1 * self.pauses, 0.4 * self.pauses),
                Turn(lambda: self._pause(by_hand), 2 / self.pauses, 3 / self.pauses),
                Turn(lambda: self._pause(self.dice.choice(self._workers)), 1.5 / self.pauses, 2.5 / self.pauses),
            ]
        clock = Event()  # never set: it only paces
        while (now := time.monotonic()) < end:
            for turn in turns:
                self._take(turn, now)
            clock.wait(SLICE)
        self._heal(by_hand)

    def _take(self, turn: Turn, now: float) -> None:
        """Take a turn, where it is due; a store that is being struck may refuse, and nothing else may."""
        try:
            turn.take(now, self.dice)
        except StoreUnavailable:
            if not self.strikes:
                raise
            self.refusals += 1

    def _produce(self) -> None:
        self.company.app.enqueue_many(
            [
                NewJob(
                    "work", {"seconds": self.dice.uniform(0.0, 0.08), "fails": int(number % 7 == 0)}, max_crashes=100
                )
                for number in range(12)
            ]
        )

    def _cancel_some(self) -> None:
        store = self.company.app.store
        ids, _ = store.select(JobFilter(states=CANCELLABLE), limit=20)
        store.cancel(self.dice.sample(ids, min(len(ids), 2)), CANCELLABLE, retention=None)

    def _kill_one(self) -> None:
        ready = [worker for worker in self._workers if not self._is_paused(worker) and worker.is_ready()]
        if not ready:
            return
        victim = self.dice.choice(ready)
        victim.process.kill()
        victim.process.wait()
        self._workers[self._workers.index(victim)] = self.company.hire(concurrency=8, wait=False)
        self.kills += 1

    def _pause(self, member: Member) -> None:
        """Stop a process for a while. It may have the gate just then, so another thread than ours lets it go on."""
        if self._is_paused(member) or not member.is_ready():
            return
        member.process.send_signal(signal.SIGSTOP)
        end = Timer(self.dice.uniform(*PAUSE), member.process.send_signal, [signal.SIGCONT])
        end.start()
        self._pauses[member] = end
        self.stops += 1

    def _is_paused(self, member: Member) -> bool:
        return member in self._pauses and self._pauses[member].is_alive()

    def _heal(self, by_hand: Member) -> None:
        for end in self._pauses.values():
            end.join()
        self.heal()
        begun = time.monotonic()
        self.company.wait_until_quiet(HEALED_WITHIN)
        self.healed_after = time.monotonic() - begun
        by_hand.leave()
        for worker in self._workers:
            worker.wait_until_ready()
            worker.process.terminate()
        for worker in self._workers:
            worker.leave()


@dataclass
class Turn:
    """Something that happens now and then."""

    action: Callable[[], None]
    least: float
    most: float
    due: float = 0.0

    def take(self, now: float, dice: random.Random) -> None:
        """Do it, where it is due."""
        if not self.due:
            self.due = now + dice.uniform(self.least, self.most)
        if now >= self.due:
            self.due = now + dice.uniform(self.least, self.most)
            self.action()
