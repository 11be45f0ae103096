"""Leases: extending them, with what comes in a beat, and taking them back. Owns their changes between claim and end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from millrace.messages import Beat, Rescued
from millrace.outcome import lost_lease
from millrace.states import JobState
from millrace.stores.beats import attempt_of, merged
from millrace.stores.postgres.arrays import Bigints, Doubles, Strings, Uuids
from millrace.stores.postgres.keys import HELD_FOR, KEPT_KEY
from millrace.stores.postgres.remove import remove_ended
from millrace.stores.postgres.rows import STATES, encode_text
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.sweep import Look

__all__ = ["EXTEND", "HELD", "KEPT_BY_ITSELF", "RESCUE", "extend", "read_cancelling", "rescue"]

# The list, job_pkey for each, then the row by its place. It never waits for a row that is just being finished, and
# takes no two rows in another order than a finish does: with SKIP LOCKED there is nothing to wait for.
EXTEND: Final = """with x as materialized (
 select j.place, u.lease, u.fraction, u.message, u.result
 from unnest(%(ids)b, %(claims)b, %(leases)b, %(fractions)b, %(messages)b, %(results)b)
   u(id, claim, lease, fraction, message, result)
 cross join lateral (select ctid as place from {s}.job where id = u.id and claim = u.claim and worker = %(worker)b
   and state + 0 in (2, 3) for no key update skip locked) j
 where {light})
update {s}.job j set lease_until = coalesce((select {now}) + x.lease, j.lease_until),
 rev = j.rev + case when x.lease is null then 0 else 1 end,
 progress = coalesce(x.fraction, j.progress),
 progress_message = case when x.fraction is null then j.progress_message else x.message end,
 result = coalesce(x.result, j.result)
from x where j.ctid = x.place
returning uuid_send(j.id), j.claim, j.state"""
# What was not answered is lost, or is just being finished, or was changed meanwhile: looked at once more. job_pkey.
HELD: Final = """select uuid_send(j.id), j.claim, j.state from unnest(%(ids)b, %(claims)b) u(id, claim)
cross join lateral (select id, claim, state from {s}.job where id = u.id and claim = u.claim and worker = %(worker)b
  and state + 0 in (2, 3) offset 0) j"""

# job_cancel, which is nearly always empty: job_lease fills with dead entries while a transaction is open
CANCELLING_ONES = """select uuid_send(id), claim from {s}.job where state = 3 and worker = %(worker)b"""

# When an ended job expires by its own word, else by the caller's, which null makes for ever; and not while its key is
# held beyond its end.
_OWN = """case when j.options::jsonb ? 'retention'
  then round((j.options::jsonb ->> 'retention')::double precision * 1000000)::bigint
  else %(retention)b::bigint end"""
_KEPT = f"(select {{now}}) + case when (RETENTION) is not null then greatest(RETENTION, {HELD_FOR}) end"
KEPT_BY_ITSELF: Final = _KEPT.replace("RETENTION", _OWN)

# The error of a job whose lease was lost, as a JSON string; it holds nothing that JSON would escape.
_LOST: Final = lost_lease("' || (j.crashes + 1) || '", "' || j.max_crashes || '")

# One conditional statement over the current state: job_lease, from the lease that passed first, then the row by its
# place. Due and ties are kept, so that a rescued job runs next.
RESCUE: Final = f"""with r as (
 update {{s}}.job j set crashes = j.crashes + 1, rev = j.rev + 1, lease_until = null,
  attempt = greatest(j.attempt - 1, 0),
  state = case when j.state = 3 then 7 when j.crashes + 1 >= j.max_crashes then 6 else 1 end,
  reason = case when j.state = 3 then 'cancelled' when j.crashes + 1 >= j.max_crashes then 'crashed'
    else 'lease-lost' end,
  error_type = '{_LOST.type}', error = '"{_LOST.text}"',
  finished_at = case when j.state = 3 or j.crashes + 1 >= j.max_crashes then (select {{now}}) end,
  expire_at = case when j.state = 3 then {KEPT_BY_ITSELF}
    when j.crashes + 1 >= j.max_crashes then {_KEPT.replace("RETENTION", "%(dead_retention)b::bigint")} end,
  lock_key = case when j.state = 3 or j.crashes + 1 >= j.max_crashes then {KEPT_KEY} else j.lock_key end
 where j.ctid = any(array(select ctid from {{s}}.job where state in (2, 3) and lease_until < (select {{now}})
   and lease_until >= %(since)b order by lease_until limit %(limit)b for no key update skip locked))
 returning j.id, j.task, j.queue, j.claim, j.worker, j.state, j.crashes, j.attempt, j.started_at, j.error,
   coalesce(j.expire_at <= j.finished_at, false) as gone),
e as (insert into {{s}}.attempt (job, claim, attempt, worker, started_at, finished_at, outcome, error)
 select r.id, r.claim, r.attempt + 1, r.worker, r.started_at, (select {{now}}), 'lease-lost', r.error from r)
select uuid_send(id), task, queue, claim, worker, state, crashes, gone from r"""


def extend(session: Session, worker: int, beats: Sequence[Beat]) -> list[JobState | None]:
    """Write beats; return each job's state, None where the claim is lost."""
    some = merged(beats)
    held: dict[tuple[bytes, int], JobState] = {}
    for template in (EXTEND, EXTEND, HELD):  # a row that was changed meanwhile is seen by the next statement
        held |= {(id, claim): STATES[state] for id, claim, state in session.rows(template, _told(worker, some))}
        some = [beat for beat in some if attempt_of(beat) not in held]
        if not some:
            break
    return [held.get(attempt_of(beat)) for beat in beats]


def _told(worker: int, beats: Sequence[Beat]) -> dict[str, Any]:
    return {
        "worker": worker,
        "ids": Uuids([beat.id for beat in beats]),
        "claims": Bigints([beat.claim for beat in beats]),
        "leases": Bigints([beat.lease for beat in beats]),
        "fractions": Doubles([None if beat.progress is None else beat.progress.fraction for beat in beats]),
        "messages": Strings([_message(beat) for beat in beats]),
        "results": Strings([beat.result for beat in beats]),
    }


def _message(beat: Beat) -> bytes | None:
    progress = beat.progress
    return None if progress is None or progress.message is None else encode_text(progress.message)


def read_cancelling(session: Session, worker: int) -> list[tuple[bytes, int]]:
    """Return (id, claim) of the worker's jobs that were asked to cancel."""
    return session.rows(CANCELLING_ONES, {"worker": worker})


def rescue(
    session: Session, look: Look, retention: int | None, dead_retention: int | None, limit: int
) -> list[Rescued]:
    """Take back leases that have passed."""
    args = {"retention": retention, "dead_retention": dead_retention, "limit": limit, "since": look.since}
    rows = session.rows(RESCUE, args)
    look.number = len(rows)
    remove_ended(session, [row[0] for row in rows if row[7]])
    return [
        Rescued(id, task, queue, claim, worker, STATES[state], crashes)
        for id, task, queue, claim, worker, state, crashes, _ in rows
    ]
