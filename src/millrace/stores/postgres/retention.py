"""Deleting what has been kept long enough. Owns the choice of what goes; what goes with it stands in `remove.py`."""

from __future__ import annotations

from typing import Final

from millrace.states import FINAL, JobState
from millrace.stores.postgres.arrays import Bigints
from millrace.stores.postgres.remove import BELONGINGS
from millrace.stores.postgres.rows import numbers
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.sweep import Sweep

__all__ = ["EXPIRE", "PURGE", "expire", "purge"]

# job_expire, from what expired first, then the row by its place.
EXPIRE: Final = (
    """with gone as (delete from {s}.job where ctid = any(array(
  select ctid from {s}.job where state in (5, 6, 7) and expire_at < (select {now})
   and expire_at >= %(since)b order by expire_at limit %(limit)b for update skip locked))
 returning id, tags, expire_at),
"""
    + BELONGINGS
    + "\nselect count(*), max(expire_at) from gone"
)
# The same index, all of it: what expires first has, state by state, finished first, so a purge seldom looks far; the
# entries of what it has deleted are marked dead by the next one that meets them.
PURGE: Final = (
    """with gone as (delete from {s}.job where ctid = any(array(
  select ctid from {s}.job where state in (5, 6, 7) and state + 0 = any(%(states)b) and finished_at < %(before)b
  order by expire_at limit %(limit)b for update skip locked))
 returning id, tags),
"""
    + BELONGINGS
    + "\nselect count(*) from gone"
)


def expire(session: Session, sweep: Sweep, now: int, limit: int) -> int:
    """Delete jobs whose retention has passed; return how many."""
    with sweep.look(session, now, limit) as look:
        ((look.number, look.reached),) = session.rows(EXPIRE, {"limit": limit, "since": look.since})
    return look.number


def purge(session: Session, finished_before: int, states: frozenset[JobState], limit: int) -> int:
    """Delete ended jobs that finished before a time; return how many."""
    wanted = Bigints(numbers(states & FINAL))
    ((number,),) = session.rows(PURGE, {"states": wanted, "before": finished_before, "limit": limit})
    return int(number)
