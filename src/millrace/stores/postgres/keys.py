"""Unique keys: how long they are held, giving one up, and changing a holder that waits. Owns these statements.

A key becomes free with time, or with a claim, without anything being written: `lock_key` stays until the next who asks
for the key takes it over. Options say what is not usual; of nearly all jobs they are null, which costs nothing to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from millrace.holding import holds, scope_of
from millrace.job import HELD, JobRow
from millrace.messages import NewRow
from millrace.stores.postgres.arrays import Bigints, Strings, Uuids
from millrace.stores.postgres.rows import COLUMNS
from millrace.stores.postgres.session import Statement

__all__ = ["CHANGE", "FREE", "HELD_FOR", "HOLDERS", "KEPT_KEY", "change", "free", "stale_among"]

_LASTS = "jsonb_typeof(j.options::jsonb -> 'until') = 'number'"
# The key of a job that ends: it goes, unless it is held beyond the end.
KEPT_KEY: Final = f"case when j.lock_key is null then null when {_LASTS} then j.lock_key end"
# For how long after the enqueue a key is held beyond the end, in microseconds.
HELD_FOR: Final = f"""case when {_LASTS}
  then round((j.options::jsonb ->> 'until')::double precision * 1000000)::bigint else 0 end"""

# job_lock
HOLDERS: Final = f"""select {{now}}, {COLUMNS} from {{s}}.job j
 where j.lock_key = any(%(keys)b) and j.lock_key is not null"""
# job_pkey. Only as it was seen: a job that was retried since holds its key again.
FREE: Final = """with f as (update {s}.job j set lock_key = null from unnest(%(ids)b, %(revs)b) u(id, rev)
 where j.id = u.id and j.rev = u.rev returning 1)
select count(*) from f"""
# One that parents hold keeps its time.
# Holders that wait, in the order of their ids: the list, then job_pkey for each. One that was claimed since is left.
# `coalesce`, since a plain `is not null` lets the planner walk job_lock, which has every key that is held.
CHANGE: Final = f"""update {{s}}.job j set args = u.args, rev = j.rev + u.times,
 due = case when j.due >= {HELD} then j.due else coalesce(u.due, (select {{now}}) + u.delay, j.due) end,
 state = case when (u.due is null and u.delay is null) or j.due >= {HELD} then j.state
  when coalesce(u.due, (select {{now}}) + u.delay) <= (select {{now}}) then 1 else 0 end
from unnest(%(ids)b, %(started)b, %(args)b, %(dues)b, %(delays)b, %(times)b) u(id, started, args, due, delay, times)
where j.id = u.id and coalesce(j.lock_key, '') <> '' and j.started_at is not distinct from u.started
 and j.state + 0 in (0, 1, 4)
returning {COLUMNS}"""


def stale_among(jobs: Sequence[JobRow], now: int) -> list[JobRow]:
    """Return the jobs that may be in the index for a key which they hold no longer."""
    return [job for job in jobs if scope_of(job.options) is not None and not holds(job, now)]


def free(jobs: Sequence[JobRow]) -> Statement:
    """Return what takes their keys from jobs that hold them no longer."""
    jobs = sorted(jobs, key=lambda job: job.id)
    return FREE, {"ids": Uuids([job.id for job in jobs]), "revs": Bigints([job.rev for job in jobs])}


def change(wanted: Mapping[bytes, Sequence[NewRow]], holders: Mapping[bytes, JobRow]) -> Statement:
    """Return what changes holders.

    Args:
        wanted: By the id of the holder, the jobs that it keeps out and that change it, in order.
        holders: These as they were seen.
    """
    ids = sorted(wanted)
    moves = [next((row for row in reversed(wanted[id]) if row.on_conflict == "debounce"), None) for id in ids]
    return CHANGE, {
        "ids": Uuids(ids),
        "started": Bigints([holders[id].started for id in ids]),
        "args": Strings([wanted[id][-1].args for id in ids]),
        "dues": Bigints([None if move is None else move.due for move in moves]),
        "delays": Bigints([None if move is None or move.due is not None else move.delay for move in moves]),
        "times": Bigints([len(wanted[id]) for id in ids]),
    }
