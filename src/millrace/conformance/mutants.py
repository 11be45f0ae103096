"""Stores with one guarantee broken each, on purpose. The suite must turn red on every one of them.

A mutant wraps a correct store and spoils one verb, so the same mutants try the suite on every store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from millrace.followups import hold_of
from millrace.job import JobRow
from millrace.messages import Changed, ClaimRequest, InsertAnswer, JobFilter, NewRow, Rescued, StepAnswer
from millrace.options import read_options
from millrace.outcome import Outcome
from millrace.states import ACTIVE, FINAL, WAITING, JobState

if TYPE_CHECKING:
    from millrace.followups import Following
    from millrace.options import Hold
    from millrace.scheduling import Firing, Scheduling
    from millrace.store import Store

__all__ = ["FOLLOW_MUTANTS", "MUTANTS", "SCHEDULE_MUTANTS"]


class Mutant:
    """A store that hands every verb on; subclasses spoil one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Hand the step on."""
        return self._store.step(worker, outcomes, claims, now=now)


class UnfencedFinish(Mutant):
    """Any worker may finish any running job, whatever its claim."""

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Finish under the claim and worker that the job has now."""
        for outcome in outcomes:
            row = self._store.get([outcome.id])[0]
            if row is not None and row.worker is not None and row.state in ACTIVE:
                self._store.step(row.worker, [msgspec.structs.replace(outcome, claim=row.claim)], (), now=now)
        return self._store.step(worker, (), claims, now=now)


class StaleRescue(Mutant):
    """The rescuer works from a look taken earlier, and resets by id whatever has become of the job."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._seen: dict[bytes, int] = {}

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Take the look: note the leases of what is being finished."""
        at = self._store.now() if now is None else now
        for row in self._store.get([outcome.id for outcome in outcomes]):
            if row is not None and row.lease is not None and row.lease < at:
                self._seen[row.id] = row.claim
        return super().step(worker, outcomes, claims, now=now)

    def rescue(self, *, retention: int | None, dead_retention: int | None) -> list[Rescued]:
        """Make pending what the earlier look held for lost, finished or not."""
        rescued = self._store.rescue(retention=retention, dead_retention=dead_retention)
        self._store.retry(list(self._seen), FINAL)
        self._seen.clear()
        return rescued


class LostCancel(Mutant):
    """A cancel of a running job is answered and forgotten."""

    def cancel(self, ids: Sequence[bytes], states: frozenset[JobState], *, retention: int | None) -> list[Changed]:
        """Cancel only what does not run; say that the rest was cancelled too."""
        done = self._store.cancel(ids, states - {JobState.RUNNING}, retention=retention)
        return [
            Changed(each.row, changed=True) if each.row is not None and each.row.state is JobState.RUNNING else each
            for each in done
        ]


class NoUniqueness(Mutant):
    """Unique keys are not looked at."""

    def insert(self, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert every row, its key left out."""
        return self._store.insert([msgspec.structs.replace(row, unique_key=None) for row in rows])


class DeafToScopes(Mutant):
    """Every key is held until its job has ended, whatever was asked for."""

    def insert(self, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert every row without its options."""
        return self._store.insert([msgspec.structs.replace(row, options=None) for row in rows])


class UnchangedHolder(Mutant):
    """A holder that is to be given new arguments keeps the old ones."""

    def insert(self, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert every row as one that changes nothing."""
        return self._store.insert([msgspec.structs.replace(row, on_conflict="return") for row in rows])


class EndlessRetries(Mutant):
    """A job whose tries are used up is tried again all the same."""

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Write a death as one more failure."""
        spoiled = [
            msgspec.structs.replace(outcome, state=JobState.FAILED, delay=0)
            if outcome.state is JobState.DEAD
            else outcome
            for outcome in outcomes
        ]
        return super().step(worker, spoiled, claims, now=now)


class NoRescue(Mutant):
    """Lost leases are never taken back."""

    def rescue(self, *, retention: int | None, dead_retention: int | None) -> list[Rescued]:  # noqa: ARG002
        """Find nothing."""
        return []


class EndlessCrashes(Mutant):
    """A lost lease costs nothing, so a job that kills its worker runs for ever."""

    def rescue(self, *, retention: int | None, dead_retention: int | None) -> list[Rescued]:
        """Rescue, and bring the killed back to life."""
        rescued = self._store.rescue(retention=retention, dead_retention=dead_retention)
        dead = [each.id for each in rescued if each.state is JobState.DEAD]
        self._store.retry(dead, frozenset({JobState.DEAD}))
        return rescued


class LastInFirstOut(Mutant):
    """A claim takes the newest first."""

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Claim all there is, keep the end of it."""
        claimed: list[JobRow] = []
        answer = self._store.step(worker, outcomes, (), now=now)
        for request in claims:
            rows = self._store.step(worker, (), [msgspec.structs.replace(request, limit=1000)], now=now).claimed
            kept = rows[-request.limit :]
            back = [Outcome.returned(row, retention=None) for row in rows[: -request.limit]]
            self._store.step(worker, back, (), now=now)
            claimed += kept
        return msgspec.structs.replace(answer, claimed=claimed)


class EarlyClaim(Mutant):
    """Due times are not looked at: what waits for its time is claimed now."""

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Make all that waits due before the claim."""
        if claims:
            at = self._store.now() if now is None else now
            rows, _ = self._store.page(JobFilter(states=WAITING), limit=1000)
            self._store.reschedule([row.id for row in rows], WAITING, due=at)
        return super().step(worker, outcomes, claims, now=now)


class DeafToPause(Mutant):
    """A paused queue is claimed from."""

    def pause(self, name: str, *, paused: bool) -> None:
        """Forget it."""


class NoLimit(Mutant):
    """A queue's concurrency is not looked at."""

    def set_queue(self, name: str, settings: Any) -> None:
        """Store the settings without their limit."""
        self._store.set_queue(name, msgspec.structs.replace(settings, concurrency=None))


class NoKeyLimit(Mutant):
    """The limits of keys are not looked at."""

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert without groups."""
        return self._store.insert([msgspec.structs.replace(row, group=None) for row in rows], now=now)


class ForgetsHistory(Mutant):
    """Attempts that failed leave no row."""

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Mark every outcome as one that never began."""
        return super().step(
            worker, [msgspec.structs.replace(outcome, recorded=False) for outcome in outcomes], claims, now=now
        )


class MiscountsFinals(Mutant):
    """The counts say one completed job too few."""

    def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:
        """Count, and take one away."""
        counts = self._store.counts(queue, exact=exact)
        counts[JobState.COMPLETED] = max(counts[JobState.COMPLETED] - 1, 0)
        return counts


class FiresOnAStaleLook(Mutant):
    """A schedule is fired whatever has become of it since it was read."""

    def fire(self, firings: Sequence[Firing]) -> list[bool]:
        """Fire each as it is now."""
        book = cast("Scheduling", self._store)
        now = [book.schedule(firing.row.name) for firing in firings]
        fresh = [
            firing
            if row is None
            else msgspec.structs.replace(firing, row=msgspec.structs.replace(firing.row, rev=row.rev))
            for firing, row in zip(firings, now, strict=True)
        ]
        return book.fire(fresh)


class ForgetsTicks(Mutant):
    """Which ticks were fired is not known: a job that was deleted comes again."""

    def fire(self, firings: Sequence[Firing]) -> list[bool]:
        """Fire without ticks, and insert their jobs beside."""
        written = cast("Scheduling", self._store).fire(
            [msgspec.structs.replace(firing, ticks=(), jobs=()) for firing in firings]
        )
        for firing, done in zip(firings, written, strict=True):
            if done and firing.jobs:
                self._store.insert(firing.jobs)
        return written


class ForgetsParents(Mutant):
    """A job waits for the first of its parents only."""

    def hold(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Hold by less than was asked for."""
        return self._holding([_held_by(row, lambda hold: {"parents": hold.parents[:1]}) for row in rows], now)

    def _holding(self, rows: Sequence[NewRow], now: int | None) -> InsertAnswer:
        return cast("Following", self._store).hold(rows, now=now)


class DeafToOnParent(ForgetsParents):
    """Any end of a parent counts as a completion."""

    def hold(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Hold by another rule."""
        return self._holding([_held_by(row, lambda _: {"on_parent": "run"}) for row in rows], now)


def _held_by(row: NewRow, change: Callable[[Hold], Mapping[str, object]]) -> NewRow:
    """Change for what a row waits, where it waits for anything."""
    hold = hold_of(row.options)
    if hold is None or row.options is None:
        return row
    options = msgspec.structs.replace(read_options(row.options), after=msgspec.structs.replace(hold, **change(hold)))
    return msgspec.structs.replace(row, options=options.encode())


#: The mutants that the machine of follow-ups must find.
FOLLOW_MUTANTS: Mapping[str, Callable[[Store], Store]] = cast(
    "Mapping[str, Callable[[Store], Store]]",
    {"parents forgotten": ForgetsParents, "rule of a parent ignored": DeafToOnParent},
)

#: The mutants that the machine of schedules must find.
SCHEDULE_MUTANTS: Mapping[str, Callable[[Store], Store]] = cast(
    "Mapping[str, Callable[[Store], Store]]",
    {"fired on a stale look": FiresOnAStaleLook, "ticks forgotten": ForgetsTicks},
)

#: Every mutant by the fault it has, each a function that spoils a correct store.
MUTANTS: Mapping[str, Callable[[Store], Store]] = cast(
    "Mapping[str, Callable[[Store], Store]]",
    {
        "unfenced finish": UnfencedFinish,
        "rescue by a stale look": StaleRescue,
        "lost cancel": LostCancel,
        "no uniqueness": NoUniqueness,
        "scope of a key ignored": DeafToScopes,
        "holder unchanged": UnchangedHolder,
        "endless retries": EndlessRetries,
        "no rescue": NoRescue,
        "endless crashes": EndlessCrashes,
        "last in, first out": LastInFirstOut,
        "due time ignored": EarlyClaim,
        "pause ignored": DeafToPause,
        "concurrency ignored": NoLimit,
        "limits of keys ignored": NoKeyLimit,
        "history forgotten": ForgetsHistory,
        "finals miscounted": MiscountsFinals,
    },
)
