"""Claiming from queues with limits of keys or a rate. Owns their statements; the choice is `turnstile.py`'s.

Such a queue has a `concurrency` below 0, which keeps every other claim from it. Its jobs are read first, those of each
group by an index of their own, then chosen, then marked by their ids: under the lock that queues with a limit have,
so that nobody else counts or takes tokens meanwhile. Jobs without a group stand in `job_ready` among those that have
one, of which there may be a million: they are looked for in windows, each claim where the last one ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from millrace.groups import Bucket, Pace, bucket_name, counter_name, read_group
from millrace.job import JobRow
from millrace.messages import ClaimRequest
from millrace.stores.postgres.arrays import Bigints, Strings, Uuid
from millrace.stores.postgres.session import Session
from millrace.stores.turnstile import Rank, Rules, Stream, Turnstile

__all__ = ["BUCKETS", "GROUPS", "LIMITED_LOCK", "OPEN", "PLAIN", "RUNNING", "SPEND", "Limited", "QueueNow"]

# Until the end of the transaction, in one order for all, as `claim.LOCK`.
LIMITED_LOCK: Final = """select pg_advisory_xact_lock(hashtextextended('{s} ' || q.name, 1)) from (
 select name from {s}.queue where concurrency is not null and not paused
 and (%(queues)b::text[] is null or name = any(%(queues)b::text[])) order by name offset 0) q"""
# The queues that have pending jobs, by a skip scan of job_ready, with their settings; none while a job is due and not
# promoted. job_lease for what runs, only where that is limited.
OPEN: Final = """with recursive live(name) as (
  (select queue from {s}.job where state = 1 and %(queues)b::text[] is null order by queue limit 1)
  union all select (select queue from {s}.job where state = 1 and queue > live.name order by queue limit 1)
  from live where live.name is not null)
select n.name, coalesce(q.priority, 0), coalesce(q.concurrency, 0) < 0, q.at_once - case when q.at_once is not null then
  (select count(*) from {s}.job where state in (2, 3) and queue = n.name) else 0 end, q.rate_count, q.rate_per, {now}
from (select name from live where name is not null union select unnest(%(queues)b::text[])) n
left join {s}.queue q on q.name = n.name
where not coalesce(q.paused, false) and (%(bold)b or not exists (
  select from {s}.job where state in (0, 4) and due <= (select {now}) and due >= %(since)b))
order by 2 desc, 1"""
# A loose scan of job_group, which alone has these words: two looks a group, then its first jobs in order.
GROUPS: Final = """with recursive live(grp) as (
  (select grp from {s}.job where state + 0 = 1 and grp is not null and queue = %(queue)b order by grp limit 1)
  union all select (select grp from {s}.job where state + 0 = 1 and grp is not null and queue = %(queue)b
   and grp > live.grp order by grp limit 1) from live where live.grp is not null),
 known as (select grp from live where grp is not null)
select k.grp, x.* from known k
cross join lateral (select task, -(priority::integer), due, uuid_send(id) from {s}.job
 where state + 0 = 1 and grp is not null and queue = %(queue)b and grp = k.grp
 and (%(tasks)b::text[] is null or task = any(%(tasks)b::text[]))
 order by priority desc, due, id limit %(most)b / (select count(*) from known) + 1) x"""
# More of one: job_group (queue=, grp=), in order
MORE: Final = """select -(priority::integer), due, uuid_send(id) from {s}.job
where state + 0 = 1 and grp is not null and queue = %(queue)b and grp = %(group)b and task = %(task)b
order by priority desc, due, id offset %(seen)b limit %(most)b"""
# A window of a queue, behind a place: job_ready (queue=, priority=, (due, id)>), then (queue=, priority<), in order
PLAIN: Final = """(select task, -(priority::integer), due, uuid_send(id), grp is null from {s}.job
 where state = 1 and queue = %(queue)b and priority = %(priority)b::smallint
  and (due, id) > (%(due)b::bigint, %(id)b::uuid)
 order by due, id limit %(most)b)
union all (select task, -(priority::integer), due, uuid_send(id), grp is null from {s}.job
 where state = 1 and queue = %(queue)b and priority < %(priority)b::smallint
 order by priority desc, due, id limit %(most)b)"""
# What runs by group: job_running (queue=)
RUNNING: Final = """select task, grp, count(*) from {s}.job
where state + 0 in (2, 3) and grp is not null and queue = %(queue)b group by task, grp"""
# By bucket_pkey
BUCKETS: Final = "select name, debt, at from {s}.bucket where name = any(%(names)b)"
# Beside it some buckets go that are full again: bucket_full (full_at<)
SPEND: Final = """with gone as (delete from {s}.bucket where name = any(array(select name from {s}.bucket
 where full_at < (select {now}) and not name = any(%(names)b) order by full_at limit 100 for update skip locked)))
insert into {s}.bucket (name, debt, at, full_at)
select * from unnest(%(names)b, %(debts)b, %(ats)b, %(fulls)b) order by 1
on conflict (name) do update set debt = excluded.debt, at = excluded.at, full_at = excluded.full_at"""

_FRONT = 32767, -(2**63), bytes(16)  # priority, due time and id in front of whatever is first
_WINDOW = 1000  #: jobs
_SOON = 10_000  #: microseconds after which a look goes on that has not come to the end
_MOST_PLACES = 1000
_MOST_WINDOWS = 4  #: in one claim
_AGAIN = 1.0  #: seconds after which a look through a queue begins at the front again, once it has come to the end

Mark = Callable[[Sequence[bytes]], Sequence[JobRow]]  #: marks jobs and tells those that it could


class QueueNow(msgspec.Struct, frozen=True):
    """A queue with pending jobs, as it is at one moment."""

    name: str
    priority: int
    ruled: bool  #: it has limits of keys, or a rate
    room: int | None
    pace: Pace | None
    now: int


def open_queues(session: Session, args: Mapping[str, Any]) -> list[QueueNow]:
    """Read the queues that a claim may take from, the higher priority first."""
    return [
        QueueNow(name, priority, ruled, room, None if count is None else Pace(count, per), now)
        for name, priority, ruled, room, count, per, now in session.rows(OPEN, args)
    ]


@dataclass(slots=True)
class _Place:
    """How far a queue was looked through for jobs without a group. What comes in front waits for the next time."""

    begun: float  #: by the monotonic clock
    behind: tuple[int, int, bytes] = _FRONT
    ended: bool = False


class Limited:
    """The claims of one store from such queues: whose turn it is, and where jobs without a group are looked for."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}  #: by queue, the party served last
        self._places: dict[tuple[str, frozenset[str] | None], _Place] = {}  #: by queue and tasks
        self.room_at: int | None = None  #: when a job may be claimed that only a rate has held back

    def claim(self, session: Session, queue: QueueNow, request: ClaimRequest, limit: int, mark: Mark) -> list[JobRow]:
        """Claim from one queue, which is locked."""
        if queue.room is not None and queue.room <= 0:
            return []
        tasks = None if request.tasks is None else Strings(list(request.tasks))
        streams = _groups(session, queue.name, tasks, limit) + self._plain(session, queue, request.tasks, limit)
        if not streams:
            return []
        room = 2**31 if queue.room is None else queue.room
        buckets = _read_buckets(session, queue, streams)
        live = _running(session, queue.name)
        rules = Rules(queue.name, room=room, pace=queue.pace, live=live, buckets=buckets, now=queue.now)
        last = self._last.get(queue.name)
        if last is None:  # anywhere, or a process that claims once would always serve the same key
            last = random.choice(streams).party
        turnstile = Turnstile(rules, streams, last, lambda stream: _read_on(session, queue.name, stream))
        chosen = turnstile.take(limit)
        if rules.room_at is not None:
            self._note_room(rules.room_at)
        if not chosen:
            return []
        self._last[queue.name] = turnstile.last
        jobs = {row.id: row for row in mark([id for _, id in chosen])}
        _spend(session, rules)
        return [
            row if stream.handle is None else replace(row, group=stream.handle)
            for stream, id in chosen
            if (row := jobs.get(id)) is not None
        ]

    def _note_room(self, at: int) -> None:
        self.room_at = at if self.room_at is None else min(self.room_at, at)

    def _plain(self, session: Session, queue: QueueNow, tasks: frozenset[str] | None, limit: int) -> list[Stream]:
        """Find jobs that have no group, in the first window that has some."""
        place = self._places.get((queue.name, tasks))
        if place is None or (place.ended and time.monotonic() - place.begun > _AGAIN):
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            place = self._places[queue.name, tasks] = _Place(time.monotonic())
        found: dict[str, list[tuple[Rank, bytes]]] = {}
        for _ in range(_MOST_WINDOWS):
            priority, due, id = place.behind
            args = {"queue": queue.name, "priority": priority, "due": due, "id": Uuid(id), "most": _WINDOW}
            rows = session.rows(PLAIN, args)[:_WINDOW]
            for task, *rank, plain in rows:
                if plain and (tasks is None or task in tasks):
                    found.setdefault(task, []).append(((rank[0], rank[1], rank[2]), rank[2]))
            place.ended = len(rows) < _WINDOW
            if found or place.ended:
                break
            _, priority, due, id, _ = rows[-1]
            place.behind = -priority, due, id
        if not found and not place.ended:
            self._note_room(queue.now + _SOON)
        return [
            Stream(task, None, [rank for rank, _ in some[:limit]], [id for _, id in some[:limit]], whole=True)
            for task, some in found.items()
        ]


def _groups(session: Session, queue: str, tasks: Strings | None, limit: int) -> list[Stream]:
    rows = session.rows(GROUPS, {"queue": queue, "tasks": tasks, "most": limit})
    by_group: dict[tuple[str, str], list[tuple[Rank, bytes]]] = {}
    for text, task, priority, due, id in rows:
        by_group.setdefault((task, text), []).append(((priority, due, id), id))
    return [
        Stream(task, read_group(text), [rank for rank, _ in some], [id for _, id in some], handle=text)
        for (task, text), some in by_group.items()
    ]


def _read_on(session: Session, queue: str, stream: Stream) -> None:
    seen = len(stream.ranks)
    most = min(max(4 * seen, 16), _WINDOW)
    args = {"queue": queue, "group": stream.handle, "task": stream.task, "seen": seen, "most": most}
    rows = session.rows(MORE, args)
    stream.whole = len(rows) < most
    stream.ranks = [*stream.ranks, *((priority, due, id) for priority, due, id in rows)]
    stream.jobs = [*stream.jobs, *(id for _, _, id in rows)]


def _running(session: Session, queue: str) -> dict[str, int]:
    live: dict[str, int] = {}
    for task, text, number in session.rows(RUNNING, {"queue": queue}):
        group = read_group(text)
        if group.limit is not None:
            counter = counter_name(task, group.limit_key)
            live[counter] = live.get(counter, 0) + number
    return live


def _read_buckets(session: Session, queue: QueueNow, streams: Sequence[Stream]) -> dict[str, Bucket]:
    names = {
        bucket_name(queue.name, stream.group.rate, stream.task, stream.group.rate_key)
        for stream in streams
        if stream.group.rate is not None
    }
    if queue.pace is not None:
        names.add(bucket_name(queue.name, queue.pace))
    if not names:
        return {}
    return {name: Bucket(debt, at) for name, debt, at in session.rows(BUCKETS, {"names": Strings(list(names))})}


def _spend(session: Session, rules: Rules) -> None:
    rules.settle()
    if not rules.spent:
        return
    spent = [(name, rules.buckets[name], pace) for name, pace in rules.spent.items()]
    args = {
        "names": Strings([name for name, _, _ in spent]),
        "debts": Bigints([bucket.debt for _, bucket, _ in spent]),
        "ats": Bigints([bucket.at for _, bucket, _ in spent]),
        "fulls": Bigints([bucket.full_at(pace) for _, bucket, pace in spent]),
    }
    session.execute(SPEND, args)
