"""Inserting jobs. Owns the INSERT into `job` and `tag`, and tells which rows were there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from millrace.errors import StoreUnavailable
from millrace.holding import holds
from millrace.job import JobRow
from millrace.messages import CHANGES, Existing, InsertAnswer, NewRow
from millrace.states import RESCHEDULABLE
from millrace.stores.postgres.arrays import Bigints, Strings, Uuids
from millrace.stores.postgres.keys import change, free, stale_among
from millrace.stores.postgres.remove import BELONGINGS
from millrace.stores.postgres.rows import COLUMNS, job_row
from millrace.stores.postgres.script import Script

__all__ = ["FULL", "GROUPED", "HAS_GROUPS", "PLAIN", "THERE", "insert_script"]

# All rows by one statement: a function scan, and the indexes. `on conflict do nothing` without a target means job_pkey
# and job_lock, twins within the call included; a key that another transaction has just taken is waited for, as the
# index does by itself. Which rows went in is told only where some did not: a row of the answer a job costs more.
_COUNT = """
select {now}, c.number, case when c.number < %(number)b then (select array_agg(uuid_send(i.id)) from i) end
from (select count(*) as number from i) c"""
# Nearly all jobs: due at once, without key, tags and options.
PLAIN: Final = (
    """with i as (
 insert into {s}.job (id, due, created_at, state, priority, max_attempts, max_crashes, queue, task, args)
 select u.id, n.now, n.now, 1, u.priority, u.max_attempts, u.max_crashes, u.queue, u.task, u.args
 from unnest(%(ids)b, %(priorities)b, %(attempts)b, %(crashes)b, %(queues)b, %(tasks)b, %(args)b)
   u(id, priority, max_attempts, max_crashes, queue, task, args), (select {now} as now offset 0) n
 on conflict do nothing returning id)"""
    + _COUNT
)
# All others. The rows come in the order of their keys, so that two bulk inserts wait for each other in one order only.
FULL: Final = (
    """with i as (
 insert into {s}.job (id, due, created_at, state, priority, max_attempts, max_crashes, queue, task, args,
   unique_key, lock_key, tags, options)
 select u.id, coalesce(u.due, n.now + u.delay), n.now,
   case when coalesce(u.due, n.now + u.delay) <= n.now then 1 else 0 end,
   u.priority, u.max_attempts, u.max_crashes, u.queue, u.task, u.args, u.key, u.key,
   case when u.tags is not null then array(select jsonb_array_elements_text(u.tags::jsonb)) end, u.options
 from unnest(%(ids)b, %(priorities)b, %(attempts)b, %(crashes)b, %(queues)b, %(tasks)b, %(args)b, %(dues)b,
     %(delays)b, %(keys)b, %(tags)b, %(options)b) with ordinality
   u(id, priority, max_attempts, max_crashes, queue, task, args, due, delay, key, tags, options, place),
   (select {now} as now offset 0) n
 order by u.place
 on conflict do nothing returning id, tags),
t as (insert into {s}.tag (tag, job) select g.tag, i.id from i cross join lateral unnest(i.tags) g(tag)
 on conflict do nothing)"""
    + _COUNT
)
# Those that fall under limits; that their queue has such is noted first, and only where it is not yet.
GROUPED: Final = (
    FULL.replace("unique_key, lock_key, tags, options)", "unique_key, lock_key, tags, options, grp)")
    .replace("u.options\n from", "u.options, u.grp\n from")
    .replace("%(options)b) with ordinality", "%(options)b, %(groups)b) with ordinality")
    .replace("tags, options, place)", "tags, options, grp, place)")
)
HAS_GROUPS: Final = """with i as (
 insert into {s}.queue as q (name, concurrency, grouped) select n.name, -1, true from unnest(%(names)b) n(name)
 where not exists (select from {s}.queue k where k.name = n.name and k.grouped) order by n.name
 on conflict (name) do update set grouped = true, concurrency = -1,
  at_once = case when q.concurrency >= 0 then q.concurrency else q.at_once end
 returning 1)
select count(*) from i"""
# What stood in the way: job_pkey, and job_lock.
THERE: Final = f"""select {COLUMNS} from {{s}}.job j where j.id = any(%(ids)b)
union all
select {COLUMNS} from {{s}}.job j where j.lock_key = any(%(keys)b) and j.lock_key is not null
  and not (j.id = any(%(ids)b))"""

# What this very transaction has inserted, where one of the call rejects: job_pkey.
UNDO: Final = (
    """with gone as (delete from {s}.job j where j.id = any(%(ids)b) returning j.id, j.tags),
"""
    + BELONGINGS
    + "\nselect count(*) from gone"
)

_ROUNDS = 20  # a holder that ends between two statements leaves its key to us, or to somebody else who ends as soon
_encode = msgspec.json.encode


def insert_script(rows: Sequence[NewRow]) -> Script[InsertAnswer]:
    """Insert jobs, and tell which were there already; one statement where none was.

    Where some of several reject, run it in a transaction: what was written for a call that is refused is undone in it.
    """
    queues = {row.queue for row in rows if row.group is not None}
    if queues:
        yield HAS_GROUPS, {"names": Strings(sorted(queues))}
    left = list(range(len(rows)))
    existing: dict[int, Existing] = {}
    at: int | None = None
    for _ in range(_ROUNDS):
        now, there, left = yield from _round(rows, left)
        at = now if at is None else at
        existing |= there
        refused = next(
            (place for place, each in there.items() if each.by_key and rows[place].on_conflict == "reject"), None
        )
        if refused is not None:
            went_in = [rows[place].id for place in range(len(rows)) if place not in existing and place not in left]
            yield UNDO, {"ids": Uuids(sorted(set(went_in)))}
            return InsertAnswer(at, {refused: existing[refused]}, refused)
        if not left:
            return InsertAnswer(at, existing)
    raise StoreUnavailable(
        f"the unique key {rows[left[0]].unique_key!r} was taken and given up again and again while a job was being "
        "inserted; try again"
    )


def _round(rows: Sequence[NewRow], places: Sequence[int]) -> Script[tuple[int, dict[int, Existing], list[int]]]:
    """Insert the rows of some places; return the time, what stood in the way of some, and what must be tried again."""
    firsts: dict[bytes, int] = {}
    for place in places:
        firsts.setdefault(rows[place].id, place)
    batch = list(firsts.values())
    template, args = _statement([rows[place] for place in batch])
    ((now, number, inserted),) = yield template, args
    if number == len(places):
        return now, {}, []
    went_in: set[bytes] = set(firsts) if number == len(batch) else set(inserted or ())
    out = [place for place in places if rows[place].id not in went_in or firsts[rows[place].id] != place]
    keys = {key for place in out if (key := rows[place].unique_key) is not None}
    found = yield THERE, {"ids": Uuids(list({rows[place].id for place in out})), "keys": Strings(list(keys))}
    existing = yield from _kept_out(rows, out, [job_row(columns) for columns in found], now)
    return now, existing, [place for place in out if place not in existing]


def _kept_out(
    rows: Sequence[NewRow], places: Sequence[int], jobs: Sequence[JobRow], now: int
) -> Script[dict[int, Existing]]:
    """Tell what keeps rows out, changed as they ask for it; take keys from jobs that hold them no longer."""
    keys = {rows[place].unique_key for place in places}
    keyed = [job for job in jobs if job.unique_key is not None and job.unique_key in keys]
    by_id = {job.id: job for job in jobs}
    by_key = {job.unique_key: job for job in keyed if holds(job, now)}
    stale = stale_among(keyed, now)
    if stale:
        yield free(stale)
    existing: dict[int, Existing] = {}
    refuses = False
    wanted: dict[bytes, list[NewRow]] = {}
    for place in places:
        row = rows[place]
        holder = by_key.get(row.unique_key)
        if row.id in by_id:
            existing[place] = Existing(by_id[row.id], by_key=False)
        elif holder is not None:
            existing[place] = Existing(holder, by_key=True)
            refuses = refuses or row.on_conflict == "reject"
            if row.on_conflict in CHANGES and holder.state in RESCHEDULABLE:
                wanted.setdefault(holder.id, []).append(row)
    if refuses or not wanted:
        return existing
    told = yield change(wanted, by_id)
    changed = {job.id: job for job in map(job_row, told)}
    missed = wanted.keys() - changed.keys()  # they were claimed meanwhile, or have ended: looked at again
    return {
        place: Existing(changed.get(each.row.id, each.row), each.by_key)
        for place, each in existing.items()
        if each.row.id not in missed
    }


def _statement(rows: list[NewRow]) -> tuple[str, dict[str, Any]]:
    plain = True
    for row in rows:
        if (
            row.unique_key is not None
            or row.tags
            or row.options is not None
            or row.delay
            or row.due is not None
            or row.group
        ):
            plain = False
            rows = sorted(rows, key=lambda row: row.unique_key or "")
            break
    args: dict[str, Any] = {
        "number": len(rows),
        "ids": Uuids([row.id for row in rows]),
        "priorities": Bigints([row.priority for row in rows]),
        "attempts": Bigints([row.max_attempts for row in rows]),
        "crashes": Bigints([row.max_crashes for row in rows]),
        "queues": Strings([row.queue for row in rows]),
        "tasks": Strings([row.task for row in rows]),
        "args": Strings([row.args for row in rows]),
    }
    if plain:
        return PLAIN, args
    args["dues"] = Bigints([row.due for row in rows])
    args["delays"] = Bigints([row.delay for row in rows])
    args["keys"] = Strings([row.unique_key for row in rows])
    args["tags"] = Strings([_encode(row.tags) if row.tags else None for row in rows])
    args["options"] = Strings([row.options for row in rows])
    if any(row.group is not None for row in rows):
        args["groups"] = Strings([row.group for row in rows])
        return GROUPED, args
    return FULL, args
