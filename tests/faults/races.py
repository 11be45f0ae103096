"""The races: what each of several racers does at once with one store, and the notes it takes. Owns no assertion.

Racers meet at a barrier, so that what they do then collides. Notes are plain JSON, because a racer may be a process.
Every race ends by itself: each loop has a bound, or goes on until there is nothing left to do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.ids import new_id
from millrace.job import JobRow
from millrace.messages import ClaimRequest, JobFilter, NewRow
from millrace.outcome import ErrorRecord, Outcome
from millrace.states import CANCELLABLE, FINAL, LIVE, RETRYABLE, JobState, Reason
from millrace.store import Store

__all__ = ["ERROR", "HOUR", "RACES", "Notes", "Part", "new_row"]

HOUR = 3600 * 1_000_000
ERROR = ErrorRecord("Broken", "as asked")
LOOKS = 20_000  # a racer that has looked so often in vain gives up, and the test fails by its notes

Notes = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """One racer's part: its store, which of how many it is, the barrier, and what the test told all of them."""

    store: Store
    me: int
    of: int
    meet: Callable[[], object]
    told: Mapping[str, Any]

    @property
    def chance(self) -> random.Random:
        """This racer's own order of events."""
        return random.Random(self.told["seed"] * self.of + self.me)

    @property
    def ids(self) -> list[bytes]:
        """The jobs that the test has made."""
        return [bytes.fromhex(id) for id in self.told["ids"]]


Race = Callable[[Part], Notes]


def new_row(queue: str = "default", **fields: Any) -> NewRow:
    """Make a row of the task that all races use."""
    return NewRow(id=new_id(), task="race", queue=queue, args=b"{}", **fields)


def take_keys(part: Part) -> Notes:
    """All insert a job of the same key at once; then, while it is cancelled in every other round, all try again.

    The last racer only looks how many live jobs have the key. Notes: round, go, my id, and the holder's or None; the
    looker's: the most that it ever saw.
    """
    store, me, meet = part.store, part.me, part.meet
    if me == part.of - 1:
        return _look_at_keys(part)
    notes: Notes = []
    for turn in range(part.told["rounds"]):
        key = f"key-{turn}"
        for go in (0, 1):
            row = new_row(unique_key=key)
            meet()
            if go and not me and turn % 2:
                holder, _ = store.select(JobFilter(unique_key=key, states=LIVE), limit=2)
                store.cancel(holder, CANCELLABLE, retention=None)
            answer = store.insert([row])
            there = answer.existing.get(0)
            notes.append([turn, go, row.id.hex(), there and there.row.id.hex()])
            meet()
    return notes


def _look_at_keys(part: Part) -> Notes:
    store, meet = part.store, part.meet
    most = 0
    for turn in range(part.told["rounds"]):
        where = JobFilter(unique_key=f"key-{turn}", states=LIVE)
        for _ in (0, 1):
            meet()
            most = max(most, *(len(store.select(where, limit=9)[0]) for _ in range(8)))
            meet()
    return [[most]]


def claim_all(part: Part) -> Notes:
    """Claim and finish until nothing is left, in steps of changing size. Notes: job, claim, queue, place."""
    store, me, chance = part.store, part.me, part.chance
    notes: Notes = []
    held: list[JobRow] = []
    part.meet()
    while True:
        ends = [Outcome.completed(row, None, retention=None) for row in held]
        answer = store.step(me + 1, ends, [ClaimRequest(chance.randrange(1, 12), lease=HOUR)])
        assert not answer.lost
        held = list(answer.claimed)
        if not held:
            return notes
        notes += [[row.id.hex(), row.claim, row.queue, [-row.priority, row.due, row.id.hex()]] for row in held]


def cancel_all(part: Part) -> Notes:
    """The even claim a few and finish them, every third with a failure; the odd cancel all jobs, each in its order.

    Notes: "ended", job, claim, what was asked, what came of it; "cancel", job, the state it then had.
    """
    store, me, ids = part.store, part.me, part.ids
    notes: Notes = []
    part.chance.shuffle(ids)
    part.meet()
    if me % 2:
        for n in range(0, len(ids), 3):
            for changed in store.cancel(ids[n : n + 3], CANCELLABLE, retention=None):
                if changed.changed and changed.row is not None:
                    notes.append(["cancel", changed.row.id.hex(), changed.row.state.value])
        return notes
    while True:
        rows = store.step(me + 1, (), [ClaimRequest(4, lease=HOUR)]).claimed
        if not rows:
            return notes
        ends = [
            Outcome.failed(row, ERROR, delay=HOUR, retention=None)
            if int.from_bytes(row.id, "big") % 3 == 0
            else Outcome.completed(row, None, retention=None)
            for row in rows
        ]
        answer = store.step(me + 1, ends, ())
        for n, end in enumerate(ends):
            got = "lost" if n in answer.lost else answer.resulting.get(n, end.state).value
            notes.append(["ended", end.id.hex(), end.claim, end.state.value, got])


def rescue_all(part: Part) -> Notes:
    """Every job's lease has passed. The even finish their own jobs a few at a time, the odd rescue a few at a time.

    Notes: "ended" or "lost", job, claim; "rescued", job, claim.
    """
    store, me = part.store, part.me
    notes: Notes = []
    rows: list[JobRow] = []
    if me % 2 == 0:
        rows = list(store.step(me + 1, (), [ClaimRequest(part.told["each"], lease=0)]).claimed)
    part.meet()
    if me % 2:
        while True:
            rescued = store.rescue(retention=None, dead_retention=None, limit=5)
            if not rescued and len(store.select(JobFilter(states=frozenset({JobState.RUNNING})), limit=1)[0]) == 0:
                return notes
            notes += [["rescued", each.id.hex(), each.claim] for each in rescued]
    for n in range(0, len(rows), 3):
        ends = [Outcome.completed(row, None, retention=None) for row in rows[n : n + 3]]
        lost = store.step(me + 1, ends, ()).lost
        notes += [["lost" if n in lost else "ended", end.id.hex(), end.claim] for n, end in enumerate(ends)]
    return notes


def retry_all(part: Part) -> Notes:
    """The first claims all and lets them die a few at a time; the others retry all, each in its order, till all are.

    Two jobs each have the same key, so that only one of a pair can come back. Notes: "died", job; "retried", job.
    """
    store, ids = part.store, part.ids
    notes: Notes = []
    if part.me == 0:
        rows = list(store.step(1, (), [ClaimRequest(len(ids), lease=HOUR)]).claimed)
        part.meet()
        for n in range(0, len(rows), 3):
            ends = [Outcome.dead(row, ERROR, reason=Reason.EXHAUSTED, retention=None) for row in rows[n : n + 3]]
            assert not store.step(1, ends, ()).lost
            notes += [["died", end.id.hex()] for end in ends]
        return notes
    part.chance.shuffle(ids)
    part.meet()
    for _ in range(LOOKS):
        for n in range(0, len(ids), 7):
            changed = store.retry(ids[n : n + 7], RETRYABLE)
            notes += [["retried", each.row.id.hex()] for each in changed if each.changed and each.row is not None]
        if not store.select(JobFilter(states=frozenset({JobState.RUNNING})), limit=1)[0]:
            # whatever died after our look was seen by nobody: once more
            changed = store.retry(ids, RETRYABLE)
            return notes + [["retried", each.row.id.hex()] for each in changed if each.changed and each.row is not None]
    return notes


def expire_all(part: Part) -> Notes:
    """All jobs have ended and their time has passed. The even delete them bit by bit, the odd read all the while.

    Notes: "deleted", how many; "odd", what a reader saw that cannot be.
    """
    store, me, ids = part.store, part.me, part.ids
    notes: Notes = []
    part.meet()
    if me % 2 == 0:
        while True:
            number = store.expire(limit=7) if me % 4 else store.purge(store.now() + HOUR, FINAL, limit=7)
            if not number:
                return notes
            notes.append(["deleted", number])
    there = set(ids)
    last = len(ids)
    for _ in range(LOOKS):
        here = {row.id for row in store.get(ids) if row is not None}
        if here - there:
            notes.append(["odd", f"{len(here - there)} jobs came back"])
        there = here
        notes += _read_pages(store, ids)
        number = sum(store.counts().values())
        if number > last:
            notes.append(["odd", f"{last} jobs became {number}"])
        last = number
        if not number:
            return notes
    return [*notes, ["odd", "the jobs are never gone"]]


def _read_pages(store: Store, ids: list[bytes]) -> Notes:
    notes: Notes = []
    seen: list[JobRow] = []
    cursor: str | None = None
    while True:
        rows, cursor = store.page(JobFilter(), limit=10, cursor=cursor)
        seen += rows
        for row in rows:
            if (row.state, row.tags, row.result) != (JobState.COMPLETED, ("raced",), b"1"):
                notes.append(["odd", f"a torn row: {row.state} {row.tags} {row.result!r}"])
        if cursor is None:
            break
    if len({row.id for row in seen}) != len(seen) or {row.id for row in seen} - set(ids):
        notes.append(["odd", "a page repeats jobs"])
    attempts = store.attempts(seen[-1].id) if seen else ()
    if len(attempts) > 1:
        notes.append(["odd", f"{len(attempts)} attempts of one"])
    return notes


RACES: Mapping[str, Race] = {
    "keys": take_keys,
    "claim": claim_all,
    "cancel": cancel_all,
    "rescue": rescue_all,
    "retry": retry_all,
    "expire": expire_all,
}
