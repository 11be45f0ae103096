"""Deleting jobs with all that belongs to them. Owns the DELETEs; who may be deleted is its callers' business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from millrace.stores.postgres.arrays import Uuids
from millrace.stores.postgres.session import Session

__all__ = ["BELONGINGS", "remove_ended"]

# What belongs to the jobs of a CTE `gone(id, tags)`: attempt_pkey (job=), log_pkey (job=), tag_pkey (tag=, job=).
# The lateral with OFFSET 0 keeps the planner to one look by index a job, however many it thinks there are.
BELONGINGS: Final = """a as (delete from {s}.attempt where ctid = any(array(
  select x.ctid from gone g cross join lateral (select ctid from {s}.attempt where job = g.id offset 0) x))),
l as (delete from {s}.log where ctid = any(array(
  select x.ctid from gone g cross join lateral (select ctid from {s}.log where job = g.id offset 0) x))),
t as (delete from {s}.tag where ctid = any(array(
  select x.ctid from gone g cross join lateral unnest(g.tags) u(tag)
  cross join lateral (select ctid from {s}.tag where tag = u.tag and job = g.id offset 0) x)))"""

# job_pkey. A job that was retried since is no longer ended.
REMOVE = (
    """with gone as (
 delete from {s}.job j where j.id = any(%(ids)b) and j.state + 0 in (5, 6, 7) and j.expire_at <= j.finished_at
 returning j.id, j.tags),
"""
    + BELONGINGS
    + "\nselect count(*) from gone"
)


def remove_ended(session: Session, ids: Sequence[bytes]) -> None:
    """Delete jobs that have just ended and are not kept. What a crash leaves of them, `expire` takes away."""
    if ids:
        session.rows(REMOVE, {"ids": Uuids(sorted(ids))})
