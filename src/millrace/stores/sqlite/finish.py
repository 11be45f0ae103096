"""Ending attempts. Owns the fenced statements that write outcomes, and what follows from them beside the job's row.

The fence is in the statements: number, claim, worker, and a lease that is still there. The `+` before a column keeps
the planner on the primary key; without it a joined UPDATE walked all running jobs for each id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.sqlite.attempts import add_attempts, add_errors, add_results, clear_errors
from millrace.stores.sqlite.lanes import Tally, count_finals
from millrace.stores.sqlite.remove import remove_children, remove_jobs
from millrace.stores.sqlite.rows import COMPLETED, ID_MASK, LANE_SHIFT, NUMBERS, STATES
from millrace.stores.sqlite.session import Session

__all__ = ["NOTHING_ODD", "Contested", "Ending", "finish"]

# Successes of one claim number and one end of retention, nearly all there are: SEARCH jobs USING INTEGER PRIMARY KEY.
# A job that was asked to cancel completes all the same: its effects are there.
COMPLETE = """UPDATE {p}jobs SET state=5, finished=?, expires=?, lease=NULL, rev=rev+1
 WHERE id IN ({ids}) AND +worker=? AND +claim=? AND +lease IS NOT NULL"""
# The same, telling which held. It costs 1.1 us a job more, so it runs only where some did not.
COMPLETE_CAREFULLY = COMPLETE + " RETURNING id"
# Successes that are not kept.
COMPLETE_AWAY = """DELETE FROM {p}jobs
 WHERE id IN ({ids}) AND +worker=? AND +claim=? AND +lease IS NOT NULL RETURNING id, tags"""

# All other outcomes: the list, then SEARCH jobs USING INTEGER PRIMARY KEY. A cancel that was asked for in between
# (state 4) wins over retry, snooze and release, which would wait (0, 1, 2). The columns of the list: 1 id, 2 claim,
# 3 state, 4 due or null, 5 tries given back, 6 end of retention if the cancel wins, 7 if not, 8 reason.
END = """UPDATE {p}jobs SET
 state=CASE WHEN state=4 AND column3<=2 THEN 7 ELSE column3 END,
 finished=CASE WHEN state=4 OR column3>=5 THEN ? END,
 expires=CASE WHEN state=4 AND column3<=2 THEN column6 ELSE column7 END,
 reason=CASE WHEN state=4 AND column3<=2 THEN 'cancelled' ELSE column8 END,
 due=coalesce(column4, due), attempt=attempt-column5, lease=NULL, rev=rev+1
 FROM (VALUES {rows}) WHERE id=column1 AND +claim=column2 AND +worker=? AND +lease IS NOT NULL
 RETURNING id, claim, lane, state, attempt, started, tags"""

_DONE = JobState.COMPLETED  # a name of its own: reading a member of an enumeration costs 0.1 us

_FEW_LANES = 8

Groups = Mapping[tuple[int, int | None], Sequence[Outcome]]  #: successes by claim number and retention
Claimed = tuple[int, int]  #: an attempt: the job's handle and the claim
Ending = tuple[frozenset[int], dict[int, JobState]]  #: by index: those refused, and what ended otherwise than asked

NOTHING_ODD: Ending = (frozenset(), {})  #: all were written as asked


class Contested(Exception):
    """Some of a group of successes were refused, and the quick form cannot tell which: roll back, begin carefully."""


def finish(session: Session, worker: int, outcomes: Sequence[Outcome], *, careful: bool) -> Ending:
    """Write outcomes within the open transaction.

    Raises:
        Contested: Some were refused, and `careful` was not asked for.
    """
    if len({outcome.ref for outcome in outcomes}) == len(outcomes):
        return _Finish(session, worker, careful=careful).write(outcomes, range(len(outcomes)))
    # an attempt ends once: what is said of it later in the list is refused
    firsts: dict[Claimed, int] = {}
    for place, outcome in enumerate(outcomes):
        firsts.setdefault((outcome.ref, outcome.claim), place)
    places = list(firsts.values())
    lost, otherwise = _Finish(session, worker, careful=careful).write([outcomes[place] for place in places], places)
    return lost | (set(range(len(outcomes))) - set(places)), otherwise


class _Finish:
    """The writing of one list of outcomes, no attempt named twice."""

    __slots__ = ("_careful", "_counts", "_otherwise", "_refused", "_session", "_worker")

    def __init__(self, session: Session, worker: int, *, careful: bool) -> None:
        self._session = session
        self._worker = worker
        self._careful = careful
        self._counts: Tally = {}
        self._refused: set[Claimed] = set()
        self._otherwise: dict[Claimed, JobState] = {}

    def write(self, outcomes: Sequence[Outcome], places: Sequence[int]) -> Ending:
        """Write successes in groups, the others in one statement, then the counters; the answer is by `places`."""
        successes, others = _sorted_out(outcomes)
        for (claim, retention), alike in successes.items():
            if retention == 0:
                self._complete_away(claim, alike)
            else:
                self._complete(claim, retention, alike)
        if others:
            self._end(others)
        count_finals(self._session, self._counts)
        if not self._refused and not self._otherwise:
            return NOTHING_ODD
        told = [(place, (outcome.ref, outcome.claim)) for place, outcome in zip(places, outcomes, strict=True)]
        lost = frozenset(place for place, claimed in told if claimed in self._refused)
        return lost, {place: self._otherwise[claimed] for place, claimed in told if claimed in self._otherwise}

    def _complete(self, claim: int, retention: int | None, group: Sequence[Outcome]) -> None:
        session = self._session
        ids = [outcome.ref & ID_MASK for outcome in group]
        before = session.now, None if retention is None else session.now + retention
        after = self._worker, claim
        if self._careful:
            held = session.list_rows(COMPLETE_CAREFULLY, ids, before=before, after=after)
            group = self._those_held(group, {id for (id,) in held})
        else:
            changed = session.list_execute(COMPLETE, ids, before=before, after=after)
            if changed < len(ids):
                if changed:
                    raise Contested
                group = self._those_held(group, ())
        for lane, number in _numbers([outcome.ref >> LANE_SHIFT for outcome in group]).items():
            self._counts.setdefault(lane, [0, 0, 0])[0] += number
        add_results(
            session, [(outcome.ref & ID_MASK, outcome.result) for outcome in group if outcome.result is not None]
        )
        if claim > 1:
            clear_errors(session, [outcome.ref & ID_MASK for outcome in group])

    def _complete_away(self, claim: int, group: Sequence[Outcome]) -> None:
        ids = [outcome.ref & ID_MASK for outcome in group]
        gone = self._session.list_rows(COMPLETE_AWAY, ids, after=(self._worker, claim))
        remove_children(self._session, gone)
        away = {id for id, _ in gone}
        left = [outcome for outcome in group if outcome.ref & ID_MASK not in away]
        if left:  # refused, or kept by the trigger because others wait for them: these go once they have acted
            before = self._careful
            self._careful = True
            self._complete(claim, 0, left)
            self._careful = before

    def _those_held(self, group: Sequence[Outcome], held: Container[int]) -> list[Outcome]:
        """Note which are refused; return the others."""
        good = [outcome for outcome in group if outcome.ref & ID_MASK in held]
        if len(good) < len(group):
            self._refused.update((each.ref, each.claim) for each in group if each.ref & ID_MASK not in held)
        return good

    def _end(self, outcomes: Sequence[Outcome]) -> None:
        """Write attempts that did not succeed, then their rows, errors and counts, and delete what is not kept."""
        now = self._session.now
        rows = self._session.values_rows(
            END, [_ending(outcome, now) for outcome in outcomes], before=(now,), after=(self._worker,)
        )
        written = {(row[2] << LANE_SHIFT | row[0], row[1]): row for row in rows}
        attempts: list[tuple[Any, ...]] = []
        errors: list[tuple[int, str, str]] = []
        gone: list[tuple[int, str | None]] = []
        for outcome in outcomes:
            claimed = outcome.ref, outcome.claim
            if claimed not in written:
                self._refused.add(claimed)
                continue
            id, _, lane, number, attempt, started, tags = written[claimed]
            retention = outcome.retention
            if STATES[number] is not outcome.state:
                self._otherwise[claimed] = STATES[number]
                retention = outcome.cancelled_retention
            if number >= COMPLETED:
                if retention == 0:
                    gone.append((id, tags))
                    continue
                self._counts.setdefault(lane, [0, 0, 0])[number - COMPLETED] += 1
            error = outcome.error
            if outcome.recorded:
                attempts.append(
                    (
                        id, outcome.claim, attempt if outcome.keeps_try else attempt + 1, self._worker, started, now,
                        outcome.kind.value, error and error.text, error and error.traceback,
                    )
                )  # fmt: skip
            if error is not None:
                errors.append((id, error.type, error.text))
        add_attempts(self._session, attempts)
        add_errors(self._session, errors)
        remove_jobs(self._session, gone)


def _sorted_out(outcomes: Sequence[Outcome]) -> tuple[Groups, Sequence[Outcome]]:
    """Return the successes by claim number and retention, and the others."""
    first = outcomes[0]
    claim, retention = first.claim, first.retention
    for outcome in outcomes:
        if outcome.state is not _DONE or outcome.claim != claim or outcome.retention != retention:
            break
    else:
        return {(claim, retention): outcomes}, ()  # nearly always; three times as fast as what follows
    groups: dict[tuple[int, int | None], list[Outcome]] = {}
    others: list[Outcome] = []
    for outcome in outcomes:
        if outcome.state is _DONE:
            groups.setdefault((outcome.claim, outcome.retention), []).append(outcome)
        else:
            others.append(outcome)
    return groups, others


def _numbers(lanes: list[int]) -> Mapping[int, int]:
    """Return how often each lane occurs; nearly always they are few, and a `Counter` costs as much as the rest."""
    some = set(lanes)
    return {lane: lanes.count(lane) for lane in some} if len(some) <= _FEW_LANES else Counter(lanes)


def _ending(outcome: Outcome, now: int) -> tuple[Any, ...]:
    """Return the columns of `END` for one outcome."""
    return (
        outcome.ref & ID_MASK,
        outcome.claim,
        NUMBERS[outcome.state],
        None if outcome.delay is None else now + outcome.delay,
        0 if outcome.keeps_try else 1,
        None if outcome.cancelled_retention is None else now + outcome.cancelled_retention,
        None if outcome.retention is None else now + outcome.retention,
        None if outcome.reason is None else outcome.reason.value,
    )
