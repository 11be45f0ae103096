"""Queues with limits of keys or a rate, as a claim takes from them. Owns the lanes of keys and the table `buckets`.

A group has a lane of its own. Such lanes are not in the table of an epoch, as there may be many: a claim finds those
with pending jobs in the index, and what they are is read once. That there are any, the lane of their queue and task
without a group tells, which every claim knows. The choice is `turnstile.py`'s.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from millrace.groups import Bucket, Pace, bucket_name, counter_name, read_group
from millrace.stores.sqlite.lanes import LaneTable
from millrace.stores.sqlite.session import Session
from millrace.stores.turnstile import Rank, Rules, Stream, Turnstile

__all__ = ["COLUMNS", "LIVE", "open_turnstiles", "read_chosen", "write_buckets"]

#: What a claim reads of a job.
COLUMNS = """id, uid, lane, priority, due, created, attempt+1, max_attempts, claim+1, crashes, max_crashes, rev+1,
 unique_key, tags, options, args, claim>0 OR args IS NULL OR options IS NOT NULL"""

# A skip scan of jobs_pending, one look a lane that has pending jobs: 8 us for one, 266 us for a hundred.
LIVE = """WITH RECURSIVE live(lane) AS (
 SELECT min(lane) FROM {p}jobs WHERE state=2
 UNION ALL SELECT (SELECT min(lane) FROM {p}jobs WHERE state=2 AND lane>live.lane) FROM live WHERE lane IS NOT NULL)
 SELECT lane FROM live WHERE lane IS NOT NULL"""
# The first jobs of each lane: the list, jobs_pending (lane=?) in order, then INTEGER PRIMARY KEY. Where there are
# many lanes this costs a third of a statement for each.
FIRSTS = """SELECT lane, priority, due, uid, id FROM (VALUES {rows}) AS wanted
 CROSS JOIN {p}jobs AS jobs ON jobs.id IN (
  SELECT id FROM {p}jobs WHERE state=2 AND lane=wanted.column1 ORDER BY priority DESC, due, uid LIMIT ?)"""
# SEARCH jobs USING INDEX jobs_pending (lane=?), in its order
NEXT = """SELECT lane, priority, due, uid, id FROM {p}jobs
 WHERE state=2 AND lane=? ORDER BY priority DESC, due, uid LIMIT ? OFFSET ?"""
# SEARCH jobs USING INTEGER PRIMARY KEY
CHOSEN = "SELECT {columns} FROM {p}jobs WHERE id IN ({ids})".replace("{columns}", COLUMNS)
KEYED = "SELECT id, queue, task, key FROM {p}lanes WHERE id IN ({ids})"  # SEARCH lanes USING INTEGER PRIMARY KEY
# SEARCH jobs USING COVERING INDEX jobs_lease (lease>?): the running jobs only.
RUNNING = "SELECT lane, count(*) FROM {p}jobs WHERE lease>=0 GROUP BY lane"

# By the primary key of `buckets`, all but the last, which goes by buckets_full (full<?).
BUCKETS = "SELECT name, debt, at FROM {p}buckets WHERE name IN ({ids})"
WRITE = """INSERT INTO {p}buckets(name, debt, at, full) SELECT column1, column2, column3, column4
 FROM (VALUES {rows}) WHERE column1 IS NOT NULL
 ON CONFLICT(name) DO UPDATE SET debt=excluded.debt, at=excluded.at, full=excluded.full"""
FORGET = """DELETE FROM {p}buckets WHERE name IN (
 SELECT name FROM {p}buckets WHERE full<? ORDER BY full LIMIT 100)"""

_MORE = 2  #: jobs that are read of a lane beyond its even part of the claim
_AT_LEAST = 16  #: that are read when these are used up; then four times as many each time
_MOST_READ = 256


def open_turnstiles(
    session: Session,
    table: LaneTable,
    wanted: Mapping[str, tuple[int | None, Pace | None, Sequence[int]]],
    last: Mapping[str, str],
    limit: int,
) -> dict[str, tuple[Rules, Turnstile]]:
    """Return the choice among the jobs of each queue with limits that has pending ones.

    Args:
        session: Within one read, or the transaction of the claim.
        table: What is known of lanes.
        wanted: By queue its concurrency, its rate, and its lanes without a group that are asked for.
        last: The party that each queue has served last.
        limit: How many jobs are asked for.
    """
    running = dict[int, int](session.rows(RUNNING))
    pending = [lane for (lane,) in session.rows(LIVE)]
    learn(session, table, {*running, *pending})
    live = _live(table, running)
    asked = {queue: {table.tasks[lane] for lane in lanes} for queue, (_, _, lanes) in wanted.items()}
    lanes = [
        lane
        for lane in pending
        if table.tasks[lane] in asked.get(table.queues[lane], ()) and _has_room(table, lane, live)
    ]
    opened: dict[str, tuple[Rules, Turnstile]] = {}
    for queue, streams in _read_streams(session, table, lanes, limit).items():
        concurrency, pace, _ = wanted[queue]
        room = limit
        if concurrency is not None:
            room = concurrency - sum(count for lane, count in running.items() if table.queues[lane] == queue)
        if room <= 0:
            continue
        rules = Rules(
            queue,
            room=room,
            pace=pace,
            live=live.get(queue, {}),
            buckets=_read_buckets(session, queue, pace, streams),
            now=session.now,
        )
        before = last.get(queue)
        if before is None:  # anywhere, or a process that claims once would always serve the same key
            before = random.choice(streams).party
        opened[queue] = rules, Turnstile(rules, streams, before, lambda stream: _read_on(session, stream))
    return opened


def _has_room(table: LaneTable, lane: int, live: Mapping[str, Mapping[str, int]]) -> bool:
    """Tell whether the limit of a lane's key leaves room, before its jobs are read."""
    text = table.groups.get(lane)
    group = None if text is None else read_group(text)
    if group is None or group.limit is None:
        return True
    counter = counter_name(table.tasks[lane], group.limit_key)
    return live.get(table.queues[lane], {}).get(counter, 0) < group.limit


def _read_streams(session: Session, table: LaneTable, lanes: Sequence[int], limit: int) -> dict[str, list[Stream]]:
    """Read the first jobs of lanes, as many of each as a claim probably takes and one more; by queue."""
    if not lanes:
        return {}
    groups = {lane: None if (text := table.groups.get(lane)) is None else read_group(text) for lane in lanes}
    alone = all(group is not None and group.fair is not None for group in groups.values())  # nothing to be merged
    most = min(limit // len(lanes) + (1 if alone else _MORE), _MOST_READ)
    found: dict[int, list[tuple[Rank, int]]] = {lane: [] for lane in lanes}
    for lane, priority, due, uid, id in session.values_rows(FIRSTS, [(lane,) for lane in lanes], after=(most,)):
        found[lane].append(((-priority, due, uid), id))
    by_queue: dict[str, list[Stream]] = {}
    for lane, some in found.items():
        if not some:  # outside of a transaction: another process has claimed them since the lanes were read
            continue
        some.sort()
        stream = Stream(
            table.tasks[lane],
            groups[lane],
            [rank for rank, _ in some],
            [id for _, id in some],
            whole=len(some) < most,
            handle=lane,
        )
        by_queue.setdefault(table.queues[lane], []).append(stream)
    return by_queue


def learn(session: Session, table: LaneTable, lanes: Iterable[int]) -> None:
    """Read what some lanes are, unless the table knows it."""
    unknown = [lane for lane in lanes if lane not in table.tasks]
    for lane, queue, task, key in session.list_rows(KEYED, unknown):
        table.queues[lane], table.tasks[lane] = queue, task
        if key:
            table.groups[lane] = key


def _read_on(session: Session, stream: Stream) -> None:
    """Read on in a lane, none of whose jobs was marked yet."""
    seen = len(stream.ranks)
    number = min(max(_AT_LEAST, 4 * seen), _MOST_READ)
    rows = session.rows(NEXT, (stream.handle, number, seen))
    stream.whole = len(rows) < number
    stream.ranks = [*stream.ranks, *((-priority, due, uid) for _, priority, due, uid, _ in rows)]
    stream.jobs = [*stream.jobs, *(row[4] for row in rows)]


def read_chosen(session: Session, ids: Sequence[int]) -> list[Any]:
    """Read the columns of jobs that were chosen, in their order."""
    rows = {row[0]: row for row in session.list_rows(CHOSEN, ids)}
    return [rows[id] for id in ids]


def _live(table: LaneTable, running: Mapping[int, int]) -> dict[str, dict[str, int]]:
    """Count the running jobs of each limited key, by queue."""
    live: dict[str, dict[str, int]] = {}
    for lane, number in running.items():
        text = table.groups.get(lane)
        group = None if text is None else read_group(text)
        if group is not None and group.limit is not None:
            counts = live.setdefault(table.queues[lane], {})
            counter = counter_name(table.tasks[lane], group.limit_key)
            counts[counter] = counts.get(counter, 0) + number
    return live


def _read_buckets(session: Session, queue: str, pace: Pace | None, streams: Sequence[Stream]) -> dict[str, Bucket]:
    names = {
        bucket_name(queue, stream.group.rate, stream.task, stream.group.rate_key)
        for stream in streams
        if stream.group.rate is not None
    }
    if pace is not None:
        names.add(bucket_name(queue, pace))
    return {name: Bucket(debt, at) for name, debt, at in session.list_rows(BUCKETS, list(names))}


def write_buckets(session: Session, rules: Rules) -> None:
    """Write what was taken, within the transaction of the claim; forget some buckets that are full again."""
    rules.settle()
    rows = [
        (name, rules.buckets[name].debt, rules.buckets[name].at, rules.buckets[name].full_at(pace))
        for name, pace in rules.spent.items()
    ]
    if rows:
        session.values_execute(WRITE, rows)
        session.execute(FORGET, (session.now,))
