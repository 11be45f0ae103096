"""Jobs that wait for other jobs: how a hold is told, and what becomes of a held job as its parents end. Pure, no I/O.

A held job is scheduled with a due time that never comes, `HELD`; for what it waits, and what is to happen, stands in
its options. Stores keep beside it which of its parents are still open. All decisions are `judge`'s, on every store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import msgspec
from msgspec import UNSET

from millrace.clock import micros
from millrace.holding import scope_of
from millrace.job import HELD, JobRow
from millrace.messages import InsertAnswer, NewRow
from millrace.options import Hold, read_options
from millrace.states import JobState

__all__ = [
    "CallerHolds",
    "Ended",
    "Following",
    "OnParent",
    "Verdict",
    "Wanted",
    "by_child",
    "due_of",
    "first_unknown",
    "hold_of",
    "in_order",
    "is_held",
    "judge",
    "kept_until",
    "settle",
    "wanted",
]

OnParent = Literal["wait", "cancel", "run"]  #: what happens to a held job when a parent ends dead or cancelled


class Ended(NamedTuple):
    """How a parent has ended, and with what result. One that was deleted while it waited counts as cancelled.

    >>> Ended(JobState.COMPLETED, b"5").result
    b'5'
    """

    state: JobState
    result: bytes | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one held job.

    Attributes:
        counted: The parents that it waits for no longer.
        cancels: It is cancelled, with reason `parent`.
        due: It is released and due then, in microseconds; None: it stays held, unless it is cancelled.
        args: Its new arguments; None leaves them.
    """

    counted: frozenset[bytes] = frozenset()
    cancels: bool = False
    due: int | None = None
    args: bytes | None = None


class Wanted(NamedTuple):
    """One link to be written: the place of the held job in the call, its id, and the id of a parent."""

    place: int
    child: bytes
    parent: bytes


def is_held(row: NewRow | JobRow) -> bool:
    """Tell whether parents hold a job.

    >>> is_held(NewRow(bytes(16), "add", "default", b"{}", due=HELD))
    True
    """
    return row.due is not None and row.due >= HELD


def hold_of(options: bytes | None) -> Hold | None:
    """Return for what a job waits, or has waited; None for one that never was held."""
    if options is None or b'"after"' not in options:
        return None
    after = read_options(options).after
    return after if isinstance(after, Hold) else None


def wanted(rows: Sequence[NewRow], answer: InsertAnswer) -> list[Wanted]:
    """Return the links of the rows that went in, each once.

    A parent of the same call that was kept out by another job's unique key stands for that job.
    """
    stands_for = {rows[place].id: there.row.id for place, there in answer.existing.items() if there.by_key}
    made: dict[tuple[bytes, bytes], Wanted] = {}
    for place, row in enumerate(rows):
        hold = hold_of(row.options) if is_held(row) and place not in answer.existing else None
        for parent in () if hold is None else hold.ids:
            there = stands_for.get(parent, parent)
            made.setdefault((row.id, there), Wanted(place, row.id, there))
    return list(made.values())


def first_unknown(
    rows: Sequence[NewRow], links: Iterable[Wanted], there: Collection[bytes]
) -> tuple[int, bytes] | None:
    """Return the place of the first row with a parent neither `there` nor earlier in the call, and that parent."""
    first: dict[bytes, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.id, place)
    for link in links:
        if link.parent not in there and first.get(link.parent, link.place) >= link.place:
            return link.place, link.parent
    return None


def judge(child: JobRow | None, open_parents: Collection[bytes], ended: Mapping[bytes, Ended], now: int) -> Verdict:
    """Decide what becomes of a job some of whose parents have ended.

    Args:
        child: The job as it now is; None where it is gone.
        open_parents: All parents that have not been counted yet.
        ended: How some of these have ended.
        now: The time.

    >>> judge(None, [b"p"], {b"p": Ended(JobState.COMPLETED)}, 0).counted
    frozenset({b'p'})
    """
    over = [parent for parent in open_parents if parent in ended]
    hold = None if child is None else hold_of(child.options)
    if child is None or hold is None or child.state is not JobState.SCHEDULED or not is_held(child):
        return Verdict(frozenset(over))  # it waits no longer: somebody has cancelled, moved or deleted it
    counted = [parent for parent in over if ended[parent].state is JobState.COMPLETED or hold.on_parent == "run"]
    if hold.on_parent == "cancel" and len(counted) < len(over):
        return Verdict(frozenset(open_parents), cancels=True)
    args = None
    first = counted[:1] if len(hold.parents) == 1 else [parent for parent in hold.ids[:1] if parent in counted]
    if hold.into is not None and first:
        args = _with_result(child.args, hold.into, ended[first[0]].result)
    if len(counted) < len(set(open_parents)):
        return Verdict(frozenset(counted), args=args)
    return Verdict(frozenset(counted), due=due_of(child, now), args=args)


def due_of(row: JobRow | None, now: int) -> int:
    """Return when a held job is due that is released at `now`.

    >>> due_of(None, 7)
    7
    """
    hold = None if row is None else hold_of(row.options)
    if row is None or hold is None:
        return now
    return max(now, row.created + hold.delay if hold.due is None else hold.due)


def _with_result(args: bytes, name: str, result: bytes | None) -> bytes:
    """Put a parent's result in front of arguments, as the parameter of that name."""
    first = b"{" + msgspec.json.encode(name) + b":" + (result or b"null")
    rest = args.lstrip()[1:].lstrip()
    return first + (rest if rest.startswith(b"}") else b"," + rest)


def kept_until(row: JobRow, now: int) -> int | None:
    """Return until when a job is kept that a parent cancels at `now`; None is for ever. `now`: it is not kept at all.

    >>> kept_until(JobRow(1, bytes(16), "add", "default", b"{}", options=b'{"retention":2.0}'), 5)
    2000005
    """
    hold, own = hold_of(row.options), UNSET if row.options is None else read_options(row.options).retention
    kept = (None if hold is None else hold.kept) if own is UNSET else None if own is None else micros(own)
    scope = scope_of(row.options)
    return None if kept is None else now + max(kept, scope if isinstance(scope, int) else 0)


def by_child(links: Iterable[tuple[bytes, bytes]]) -> dict[bytes, set[bytes]]:
    """Gather links, told as (child, parent), by the child.

    >>> by_child([(b"c", b"p"), (b"c", b"q")])[b"c"] == {b"p", b"q"}
    True
    """
    found: dict[bytes, set[bytes]] = {}
    for child, parent in links:
        found.setdefault(child, set()).add(parent)
    return found


def in_order(found: Mapping[bytes, Iterable[bytes]], ids: Iterable[bytes]) -> list[tuple[bytes, ...]]:
    """Return for each job those that were found for it, in the order of their ids.

    >>> in_order({b"c": {b"q", b"p"}}, [b"c", b"d"])
    [(b'p', b'q'), ()]
    """
    return [tuple(sorted(found.get(id, ()))) for id in ids]


@runtime_checkable
class Following(Protocol):
    """Capability: hold jobs until others have ended. All stores of Millrace have it.

    Links follow the states of their jobs: whatever ends a parent, by whichever verb or process, `settle` finds it, and
    finds it again where somebody died in between. The verbs that end jobs settle by themselves where this process knows
    of links; workers settle each second, so that it is done in any case.
    """

    def hold(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs as `Store.insert` does, some of which are held: due at `HELD`, with a `Hold` in their options.

        In one transaction with their links. Where a parent is neither in the store nor earlier in the call, nothing is
        written, and the answer's `unknown` names it. Parents that have ended already act at once.
        """
        ...

    def settle(self, *, limit: int = 100, now: int | None = None) -> int:
        """Let parents that have ended act on the jobs that they hold; return how many parents did.

        Nothing that was cancelled in the course of it is left unsettled. Costs one look where no job is held.
        """
        ...

    def open_parents(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the parents that it waits for still, in the order of their ids."""
        ...

    def followers(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the jobs that wait for it still, in the order of their ids."""
        ...


@runtime_checkable
class CallerHolds(Protocol):
    """Capability: hold jobs within the caller's own transaction. Parents that had ended act once it is committed."""

    def hold_on(self, connection: object, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert as `Following.hold` does, on the caller's connection; where `unknown` is told nothing was written."""
        ...

    async def ahold_on(self, connection: object, rows: Sequence[NewRow]) -> InsertAnswer:
        """Do so from async code, on a connection that is awaited or not."""
        ...


def settle(store: object) -> int:
    """Let the parents that have ended act, on a store that holds jobs; return how many did.

    >>> settle(object())
    0
    """
    return store.settle() if isinstance(store, Following) else 0
