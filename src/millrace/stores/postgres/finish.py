"""Ending attempts. Owns the fenced statements that write outcomes, and what follows from them beside the job's row.

The fence is in the statements: id, claim, worker, and a state that still runs. `state + 0` keeps the planner off the
partial index of leases, on job_pkey.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.store import MAX_ATTEMPT_ROWS
from millrace.stores.postgres.arrays import Bigints, Booleans, Strings, Uuids
from millrace.stores.postgres.attempts import TRIM
from millrace.stores.postgres.keys import KEPT_KEY
from millrace.stores.postgres.remove import BELONGINGS, REMOVE
from millrace.stores.postgres.rows import (
    CANCELLED,
    COMPLETED,
    FAILED,
    NUMBERS,
    PENDING,
    SCHEDULED,
    STATES,
    encode_text,
)
from millrace.stores.postgres.script import Script
from millrace.stores.postgres.session import Statement

__all__ = ["AWAY", "COMPLETE", "DONE", "END", "NOTHING_ODD", "Ending", "finish_script"]

Ending = tuple[frozenset[int], dict[int, JobState]]  #: by index: those refused, and what ended otherwise than asked

NOTHING_ODD: Ending = (frozenset(), {})  #: all were written as asked

_FENCE = """j.id = u.id and j.claim = u.claim and j.worker = %(worker)b and j.state + 0 in (2, 3)"""
_TELL = """
select {now}, c.number, case when c.number < %(number)b then (select array_agg(uuid_send(f.id)) from f) end
from (select count(*) as number from f) c"""

# Two UPDATEs of one statement lock one after the other, not all in the order of ids: with a cancel of the same jobs in
# bulk that may deadlock, once in a long while, and is then repeated.
_SUCCEED = f"""update {{s}}.job j set state = 5, rev = j.rev + 1, lease_until = null, finished_at = (select {{now}}),
   expire_at = (select {{now}}) + KEPT, lock_key = {KEPT_KEY}, result = coalesce(u.result, j.result),
   error_type = null, error = null
 from unnest(LISTS) u(NAMES) where {_FENCE}"""
# Successes that are kept alike, nearly all there are: the list, then job_pkey for each. A job that was asked to cancel
# completes all the same: its effects are there. Which were refused is told only where some were.
COMPLETE: Final = (
    "with f as ("
    + _SUCCEED.replace("KEPT", "%(retention)b::bigint")
    .replace("LISTS", "%(ids)b, %(claims)b, %(results)b")
    .replace("NAMES", "id, claim, result")
    + " returning j.id)"
    + _TELL
)
# Successes that are not kept.
AWAY: Final = (
    f"""with f as (
 delete from {{s}}.job j using unnest(%(ids)b, %(claims)b) u(id, claim)
 where {_FENCE} returning j.id, j.tags),
gone as (select f.id, f.tags from f),
{BELONGINGS}"""
    + _TELL
)

# All outcomes mixed: successes as above, and the others, which need more said of each. A cancel that was asked for in
# between (state 3) wins over retry, snooze and release, which would wait (0, 1, 4). What ends for good and is not kept
# is deleted, the rest updated: an outcome goes only one of the two ways, whatever the job's state is when its lock is
# had. All rows are told where some were refused, else only those that ended otherwise or went back to their queue.
_WINS = "j.state = 3 and u.state in (0, 1, 4)"
END: Final = f"""with n as materialized (select {{now}} as now),
d as ({
    _SUCCEED.replace("KEPT", "u.kept")
    .replace("LISTS", "%(done)b, %(done_claims)b, %(results)b, %(done_kept)b")
    .replace("NAMES", "id, claim, result, kept")
} returning j.id, j.claim),
u as materialized (select * from unnest(%(ids)b, %(claims)b, %(states)b, %(delays)b, %(back)b, %(kept)b,
   %(kept_cancelled)b, %(reasons)b, %(types)b, %(errors)b, %(traces)b, %(kinds)b, %(away)b)
   u(id, claim, state, delay, back, kept, kept_cancelled, reason, type, error, trace, kind, away)),
gone as (delete from {{s}}.job j using u where u.away and {_FENCE} returning j.id, j.tags, j.claim, u.state),
f as (
 update {{s}}.job j set rev = j.rev + 1, lease_until = null,
   state = case when {_WINS} then 7 else u.state end,
   finished_at = case when j.state = 3 or u.state >= 5 then n.now end,
   expire_at = n.now + case when {_WINS} then u.kept_cancelled else u.kept end,
   reason = case when {_WINS} then 'cancelled' else u.reason end,
   lock_key = case when j.state = 3 or u.state >= 5 then {KEPT_KEY} else j.lock_key end,
   due = coalesce(n.now + u.delay, j.due), attempt = j.attempt - u.back,
   error_type = coalesce(u.type, j.error_type), error = coalesce(u.error, j.error)
 from u, n where not u.away and {_FENCE}
 returning j.id, j.claim, j.state, j.attempt + u.back as attempt, j.started_at, j.queue, u.state as asked, u.kind,
   u.error, u.trace),
e as (insert into {{s}}.attempt (job, claim, attempt, worker, started_at, finished_at, outcome, error, traceback)
 select f.id, f.claim, f.attempt, %(worker)b, f.started_at, n.now, f.kind, f.error, f.trace from f, n
 where f.kind is not null),
{BELONGINGS},
c as (select (select count(*) from d) + (select count(*) from f) + (select count(*) from gone) as number)
select n.now, c.number, x.* from n cross join c left join (
 select uuid_send(f.id), f.claim, f.state, case when f.state = 1 then f.queue end from f, c
  where c.number < %(number)b or f.state <> f.asked or f.state = 1
 union all select uuid_send(d.id), d.claim, 5, null from d, c where c.number < %(number)b
 union all select uuid_send(g.id), g.claim, g.state, null from gone g, c where c.number < %(number)b) x on true"""

# What a reply that was lost had told: how the jobs now stand, null where they are gone. The list, then job_pkey.
DONE: Final = """select uuid_send(u.id), u.claim, j.id is not null, j.claim = u.claim and j.worker = %(worker)b, j.state
from unnest(%(ids)b, %(claims)b) u(id, claim)
left join lateral (select id, claim, worker, state from {s}.job where id = u.id offset 0) j on true"""

_GIVES_WAY = frozenset({SCHEDULED, PENDING, FAILED})  #: to a cancel that was asked for
_DONE = JobState.COMPLETED  # a name of its own: reading a member of an enumeration costs 0.1 us


Claimed = tuple[bytes, int]  #: an attempt: the job's id and the claim


class Writing:
    """The writing of one list of outcomes: the first statement is known at once, the rest follows from its answer.

    Attributes:
        statement: What writes them all.
        now: When, once the answer was judged.
        freed: The queues to which jobs went back.
    """

    __slots__ = ("_again", "_outcomes", "_places", "_plain", "_worker", "freed", "now", "statement")

    def __init__(self, worker: int, outcomes: Sequence[Outcome], *, again: bool) -> None:
        self._worker, self._again = worker, again
        self.now: int | None = None
        self.freed: set[str] = set()
        self._outcomes = outcomes
        self._places = _in_order(outcomes)
        chosen = [outcomes[place] for place in self._places]
        retention = chosen[0].retention
        ids = [each.id for each in chosen]
        self._plain = all(each.state is _DONE and each.retention == retention for each in outcomes) and (
            len(set(ids)) == len(outcomes)
        )
        self.statement: Statement
        if not self._plain:
            self.statement = END, _mixed(worker, chosen)
            return
        claims = Bigints([each.claim for each in chosen])
        args: dict[str, Any] = {"worker": worker, "number": len(ids), "ids": Uuids(ids), "claims": claims}
        if retention == 0:
            self.statement = AWAY, args
        else:
            args["retention"] = retention
            args["results"] = Strings([each.result for each in chosen])
            self.statement = COMPLETE, args

    def judge(self, rows: list[Any]) -> Script[Ending]:
        """Read the answer of the statement, see to what is left, and tell which outcomes were refused or changed."""
        outcomes, places = self._outcomes, self._places
        if self._plain:
            ((self.now, number, ids),) = rows
            if number == len(outcomes):
                return NOTHING_ODD
            written = set[bytes](ids or ())
            if self.statement[0] == AWAY:
                written |= yield from self._kept([each for each in outcomes if each.id not in written])
            states = {_claimed(each): COMPLETED for each in outcomes if each.id in written}
        else:
            self.now, number = rows[0][:2]
            told = {(id, claim): state for _, _, id, claim, state, _ in rows if id is not None}
            self.freed = {queue for *_, queue in rows if queue is not None}
            all_as_asked = {_claimed(each): NUMBERS[each.state] for each in outcomes} if number == len(places) else {}
            states = all_as_asked | told
            yield from self._keep_away(states)
            yield from self._see_to_rest(states)
        if self._again:
            yield from self._recognise(states)
        held = [place for place in places if _claimed(outcomes[place]) in states]
        resulting = {
            place: state
            for place in held
            if (state := STATES[states[_claimed(outcomes[place])]]) is not outcomes[place].state
        }
        return frozenset(range(len(outcomes))).difference(held), resulting

    def _kept(self, left: Sequence[Outcome]) -> Script[set[bytes]]:
        """Write successes that are not kept and that a trigger has not let go: others wait for them, and act first."""
        left = sorted(left, key=lambda each: each.id)
        args = {
            "worker": self._worker,
            "number": len(left),
            "ids": Uuids([each.id for each in left]),
            "claims": Bigints([each.claim for each in left]),
            "retention": 0,
            "results": Strings([each.result for each in left]),
        }
        ((_, number, ids),) = yield COMPLETE, args
        return {each.id for each in left} if number == len(left) else set[bytes](ids or ())

    def _keep_away(self, states: dict[Claimed, int]) -> Script[None]:
        """Write so the other ends that are not kept, too."""
        asked = [self._outcomes[place] for place in self._places]
        left = [each for each in asked if _away(each) and _claimed(each) not in states]
        if not left:
            return
        rows = yield END, _mixed(self._worker, left, keep=True)
        number = rows[0][1]
        if number == len(left):
            states |= {_claimed(each): NUMBERS[each.state] for each in left}
        states |= {(id, claim): state for _, _, id, claim, state, _ in rows if id is not None}

    def _see_to_rest(self, states: dict[Claimed, int]) -> Script[None]:
        """Delete what a cancel ended and nobody keeps; keep of each history the newest rows."""
        gone: list[bytes] = []
        long: list[bytes] = []
        for place in self._places:
            outcome = self._outcomes[place]
            state = states.get(_claimed(outcome))
            if state is None:
                continue
            if outcome.cancelled_retention == 0 and STATES[state] is not outcome.state:
                gone.append(outcome.id)
            elif outcome.claim > MAX_ATTEMPT_ROWS and _kind(outcome) is not None:
                long.append(outcome.id)
        if gone:
            yield REMOVE, {"ids": Uuids(gone)}
        if long:
            yield TRIM, {"ids": Uuids(long), "most": MAX_ATTEMPT_ROWS}

    def _recognise(self, states: dict[Claimed, int]) -> Script[None]:
        """Add the outcomes that an earlier call wrote whose reply was lost."""
        asked = [each for place in self._places if _claimed(each := self._outcomes[place]) not in states]
        if not asked:
            return
        args = {
            "worker": self._worker,
            "ids": Uuids([each.id for each in asked]),
            "claims": Bigints([each.claim for each in asked]),
        }
        rows = yield DONE, args
        shown = {(id, claim): (there, ours, state) for id, claim, there, ours, state in rows}
        for outcome in asked:
            there, ours, state = shown[_claimed(outcome)]
            asked_for = NUMBERS[outcome.state]
            if not there and _away(outcome):
                states[_claimed(outcome)] = asked_for
            elif ours and (state == asked_for or (state == CANCELLED and asked_for in _GIVES_WAY)):
                states[_claimed(outcome)] = state


def finish_script(worker: int, outcomes: Sequence[Outcome], *, again: bool = False) -> Script[Ending]:
    """Write outcomes; tell which were refused and which ended otherwise than asked."""
    writing = Writing(worker, outcomes, again=again)
    rows = yield writing.statement
    return (yield from writing.judge(rows))


def _claimed(outcome: Outcome) -> Claimed:
    return outcome.id, outcome.claim


def _in_order(outcomes: Sequence[Outcome]) -> Sequence[int]:
    """Return which outcomes to write, in the order of ids that all writers keep; an attempt ends once, by the first."""
    firsts: dict[Claimed, int] = {}
    for place, outcome in enumerate(outcomes):
        firsts.setdefault((outcome.id, outcome.claim), place)
    return [firsts[claimed] for claimed in sorted(firsts)]


def _mixed(worker: int, outcomes: Sequence[Outcome], *, keep: bool = False) -> dict[str, Any]:
    """Return the arguments of `END`; to `keep` is not to delete at once what nobody keeps."""
    done = [each for each in outcomes if each.state is _DONE and (keep or each.retention != 0)]
    others = [each for each in outcomes if each.state is not _DONE or not (keep or each.retention != 0)]
    errors = [each.error for each in others]
    return {
        "worker": worker,
        "number": len(outcomes),
        "done": Uuids([each.id for each in done]),
        "done_claims": Bigints([each.claim for each in done]),
        "done_kept": Bigints([each.retention for each in done]),
        "results": Strings([each.result for each in done]),
        "ids": Uuids([each.id for each in others]),
        "claims": Bigints([each.claim for each in others]),
        "states": Bigints([NUMBERS[each.state] for each in others]),
        "delays": Bigints([each.delay for each in others]),
        "back": Bigints([0 if each.keeps_try else 1 for each in others]),
        "kept": Bigints([each.retention for each in others]),
        "kept_cancelled": Bigints([each.cancelled_retention for each in others]),
        "reasons": Strings([None if each.reason is None else each.reason.value for each in others]),
        "types": Strings([None if error is None else error.type for error in errors]),
        "errors": Strings([None if error is None else encode_text(error.text) for error in errors]),
        "traces": Strings(
            [None if error is None or error.traceback is None else encode_text(error.traceback) for error in errors]
        ),
        "kinds": Strings([_kind(each) for each in others]),
        "away": Booleans([not keep and _away(each) for each in others]),
    }


def _away(outcome: Outcome) -> bool:
    """Tell whether the job ends for good and is not kept."""
    return outcome.retention == 0 and NUMBERS[outcome.state] >= COMPLETED


def _kind(outcome: Outcome) -> str | None:
    """Return how the attempt's row tells the end; None where there is no row: the job tells a success itself."""
    return outcome.kind.value if outcome.recorded and outcome.state is not _DONE else None
