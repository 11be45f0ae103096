"""Claiming jobs, and making due ones pending first. Owns the statements of both, and which of them a step needs.

A claim goes straight to the rows, under two guards that are looked at once a statement: nothing is due and not yet
promoted, and no queue of a limit is asked for. Where a guard fails it claims nothing; a look tells why, what is due is
promoted, limited queues are locked, and the claim runs again without its guards. So a claim is one statement in steady
flow, and what it takes is what the contract says, whatever other processes have changed meanwhile.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from millrace.job import HELD, JobRow, Progress
from millrace.messages import ClaimRequest
from millrace.states import JobState
from millrace.stores.postgres.arrays import Strings, Uuids
from millrace.stores.postgres.floor import QUEUE, Floor
from millrace.stores.postgres.rows import decode_text
from millrace.stores.postgres.ruled import TAKE_WHICH, Ruled
from millrace.stores.postgres.session import Session, Statement
from millrace.stores.postgres.sweep import Sweep

__all__ = ["FLOORED", "LOCK", "LOOK", "MANY", "ONE", "PROMOTE", "TAKE", "Claims", "next_due", "promote"]

# job_due (due<=), from what is due longest, then the rows by their places
PROMOTE: Final = """with p as (
 update {s}.job set state = 1, rev = rev + 1 where ctid = any(array(
  select ctid from {s}.job where state in (0, 4) and due <= (select {now}) and due >= %(since)b
  order by due limit %(limit)b for no key update skip locked))
 returning due)
select count(*), max(due) from p"""
NEXT_DUE = "select min(due) from {s}.job where state in (0, 4)"  # the first entry of job_due

_MARK = """update {s}.job j set state = 2, claim = claim + 1, rev = rev + 1, attempt = attempt + 1,
 worker = %(worker)b, started_at = (select {now}), reason = null,
 lease_until = (select {now}) + coalesce(round((options::jsonb ->> 'lease')::double precision * 1000000)::bigint,
   ((select %(leases)b::text::jsonb) ->> task)::bigint, %(lease)b::bigint)
where {light} and ctid = any(array("""
_TOLD = """))
returning -(priority::integer), due, uuid_send(id), queue, task, args, created_at, attempt, max_attempts, claim,
 crashes, max_crashes, rev, lease_until, started_at, unique_key, tags, options, progress, progress_message, result,
 error, (select date_part('epoch', clock_timestamp() - statement_timestamp()))"""
_LEVELS = ", (select json_object_agg(name, priority)::text from {s}.queue where priority <> 0)"
_TASKS = "(%(tasks)b::text[] is null or task = any(%(tasks)b::text[]))"
_NOTHING_DUE = """(%(bold)b or not exists (
 select from {s}.job where state in (0, 4) and due <= (select {now}) and due >= %(since)b))"""
# One queue: job_ready (queue=), whose order is that of the claim; it stops at the limit, and only what it takes is
# locked. Then the rows by their places: `= any(array(…))` is worked out once, where a sub-select may be run again.
# `lone`: only while no other queue has pending jobs, two looks beside the queue's own part of job_ready, which is full
# of dead entries of the jobs claimed last.
ONE: Final = f"""{_MARK}
 select ctid from {{s}}.job where state = 1 and queue = %(queue)b and {_TASKS} and {_NOTHING_DUE}
  and not exists (select from {{s}}.queue where name = %(queue)b and (paused or concurrency is not null))
  and (not %(lone)b or not exists (select from {{s}}.job where state = 1 and queue < %(queue)b)
   and not exists (select from {{s}}.job where state = 1 and queue > %(queue)b))
 order by priority desc, due, id limit %(limit)b for no key update skip locked{_TOLD}"""
# Several, or whichever have pending jobs, which a skip scan of job_ready tells, two looks a queue. The higher queue
# priority first; equal ones share what is asked for, beginning behind the one served last, and what some leave of
# their part goes to the others in a second round, behind the first. Queues with a limit only where they are locked.
# Each is read as above, and the outer LIMIT stops it all.
MANY: Final = f"""{_MARK}
 with recursive live(name) as (
  (select queue from {{s}}.job where state = 1 and %(queues)b::text[] is null order by queue limit 1)
  union all select (select queue from {{s}}.job where state = 1 and queue > live.name order by queue limit 1)
  from live where live.name is not null),
 named as (select name from live where name is not null union select unnest(%(queues)b::text[])),
 open as (select n.name, coalesce(q.priority, 0) as priority,
   case when q.concurrency is null then %(limit)b else q.concurrency - (
    select count(*) from {{s}}.job where state in (2, 3) and queue = n.name) end as room
  from named n left join {{s}}.queue q on q.name = n.name
  where not coalesce(q.paused, false) and {_NOTHING_DUE} and (%(limited)b or not exists (
   select from {{s}}.queue where concurrency is not null and not paused
   and (%(queues)b::text[] is null or name = any(%(queues)b::text[]))))),
 turns as (select name, priority, least(room, %(limit)b) as room,
   least(room, (%(limit)b + count(*) over w - 1) / count(*) over w) as share,
   case when %(last)b::text::jsonb ? priority::text then (name <= (%(last)b::text::jsonb ->> priority::text))::text
    else md5(name || %(seed)b) end as turn
  from open where room > 0 window w as (partition by priority))
 select x.place from (select name, 0 as round, priority, turn, 0::bigint as skip, share as take from turns
   union all select name, 1, priority, turn, share, room - share from turns where room > share
   order by 3 desc, 2, 4, 1) t
 cross join lateral (select ctid as place from {{s}}.job where state = 1 and queue = t.name and {_TASKS}
  order by priority desc, due, id offset t.skip limit t.take for no key update skip locked) x
 limit %(limit)b{_TOLD}{_LEVELS}"""
# From the floors on, see `floor.py`: job_ready (queue=, priority=, due>=), the higher priority first.
FLOORED: Final = f"""{_MARK}
 select x.place from unnest(%(names)b, %(priorities)b, %(floors)b) with ordinality t(name, priority, floor, turn)
 cross join lateral (select ctid as place from {{s}}.job where state = 1 and queue = t.name
  and priority = t.priority::smallint and due >= t.floor and {_TASKS}
  order by due, id limit %(limit)b for no key update skip locked) x
 where not exists (select from {{s}}.queue q where q.name = t.name and (q.paused or q.concurrency is not null))
 limit %(limit)b{_TOLD}{_LEVELS}"""
# Jobs that were chosen beforehand, see `limited.py`.
TAKE: Final = f"{_MARK}{TAKE_WHICH}{_TOLD}"
# The first entries of job_due and job_ready, and the small table of queues.
LOOK: Final = """select exists (select from {s}.job where state in (0, 4) and due <= {now} and due >= %(since)b),
 (select array_agg(name) from {s}.queue where concurrency is not null and not paused),
 (select array_agg(name) from {s}.queue where concurrency < 0 and not paused),
 %(whole)b and exists (select from {s}.job where state = 1), {now}"""
# Until the end of the transaction, in one order for all: queue_pkey. Counting and claiming is one whole for those who
# keep to it, and only queues with a limit pay.
LOCK: Final = """select pg_advisory_xact_lock(hashtextextended('{s} ' || q.name, 1)) from (
 select name from {s}.queue where concurrency is not null and not paused
 and (%(queues)b::text[] is null or name = any(%(queues)b::text[])) order by name offset 0) q"""

_STALE = 1.0  # seconds
MOST_PROMOTED = 2_000  #: due jobs made pending in one statement

_RUNNING = JobState.RUNNING
_encode = msgspec.json.encode
_levels = msgspec.json.Decoder(dict[str, int]).decode


def promote(session: Session, sweep: Sweep, now: int, limit: int) -> int:
    """Make due jobs pending, those due longest first; return how many."""
    with sweep.look(session, now, limit) as look:
        ((look.number, look.reached),) = session.rows(PROMOTE, {"limit": limit, "since": look.since})
    return look.number


def next_due(session: Session) -> int | None:
    """Return when the next waiting job is due."""
    due: int | None
    ((due,),) = session.rows(NEXT_DUE)
    return None if due is None or due >= HELD else due


class Claims:
    """The claims of one store, and whose turn it is."""

    def __init__(self) -> None:
        self._last: dict[int, str] = {}  #: by queue priority, the queue served last
        self._seed = str(random.random())
        self._lone: str | None = None  #: the only queue with pending jobs, as far as the last claim of all can tell
        self.floor = Floor()
        self.due = Sweep()
        self.flowing = False  #: the last step has claimed something, so the next probably will
        self.limited: frozenset[str] = frozenset()  #: the queues with a limit when they were last looked at
        self.ruled: frozenset[str] = frozenset()  #: those of them that `limited.py` claims from
        self.looked_at = 0.0  #: when that was, by the monotonic clock
        self.by_rules = Ruled(self)

    def hindered(self, request: ClaimRequest) -> bool:
        """Tell whether a request is, as far as is known, for queues with a limit too."""
        limited, queues = self.limited, request.queues
        return bool(limited) and (queues is None or not limited.isdisjoint(queues))

    def look(self, session: Session, *, whole: bool) -> tuple[bool, bool, int]:
        """Learn which queues have limits; tell whether a job is due, whether any is pending, and the time.

        Args:
            session: For reading.
            whole: Whether to look for pending jobs.
        """
        args = {"since": self.due.since, "whole": whole}
        ((due, limited, ruled, pending, now),) = session.rows(LOOK, args)
        self.limited, self.ruled = frozenset(limited or ()), frozenset(ruled or ())
        self.looked_at = time.monotonic()
        return due, pending, now

    def stale(self, requests: Sequence[ClaimRequest]) -> bool:
        """Tell whether it is time to learn anew what limits queues have, where a claim is for such."""
        return time.monotonic() - self.looked_at > _STALE and any(map(self.hindered, requests))

    def room_left(self) -> int | None:
        """Tell once when a job may be claimed that only a rate has held back since the last call."""
        limited = self.by_rules.limited
        room_at, limited.room_at = limited.room_at, None
        return room_at

    def is_ruled(self, request: ClaimRequest) -> bool:
        """Tell whether a request is, as far as is known, for queues with limits of keys or a rate too."""
        ruled, queues = self.ruled, request.queues
        return bool(ruled) and (queues is None or not ruled.isdisjoint(queues))

    def mark(self, session: Session, worker: int, request: ClaimRequest, ids: Sequence[bytes]) -> Sequence[JobRow]:
        """Claim jobs that were chosen, as far as nobody else has changed them."""
        args = self._marking(worker, request)
        del args["tasks"]
        return _jobs(session.rows(TAKE, args | {"ids": Uuids(ids)}), worker)

    def claim_others(
        self, session: Session, worker: int, request: ClaimRequest, queues: Sequence[str], limit: int
    ) -> list[JobRow]:
        """Claim from queues without such limits, which are locked where they have another."""
        asked = replace(request, queues=tuple(queues))
        template, args = self.statement(worker, asked, limit, bold=True, limited=True)
        rows = session.rows(template, args)
        return self._in_turns(rows, worker) if rows else []

    def lock(self, requests: Sequence[ClaimRequest]) -> Statement:
        """Return what locks the queues with a limit that some requests ask for."""
        queues: set[str] | None = set()
        for request in requests:
            queues = None if queues is None or request.queues is None else queues | set(request.queues)
        return LOCK, {"queues": None if queues is None else Strings(sorted(queues))}

    def read(
        self, worker: int, request: ClaimRequest, statement: Statement, rows: list[Any], seconds: float
    ) -> list[JobRow]:
        """Make jobs, in order, of what a claim has told, and learn from it and from how long it took."""
        template, args = statement
        self.floor.note(request, rows, args["depth"] if template is FLOORED else None, seconds)
        if not rows:
            return []
        if template is ONE:
            rows.sort()
            return _jobs(rows, worker)
        return self._in_turns(rows, worker)

    def statement(
        self,
        worker: int,
        request: ClaimRequest,
        limit: int,
        *,
        bold: bool = False,
        limited: bool = False,
        full: bool = False,
    ) -> Statement:
        """Return the claim of a request.

        Args:
            worker: For whom.
            request: What is asked for.
            limit: How many jobs.
            bold: Without the guard against due jobs.
            limited: Queues with a limit are locked, and take part.
            full: From the front, whatever floors there are.
        """
        args = self._marking(worker, request) | {"limit": limit}
        queues = request.queues
        floors = None if limited or full else self.floor.places(queues)
        if floors is not None:
            return FLOORED, args | floors[0] | {"depth": floors[1]}  # which the text has no place for
        args["bold"] = bold
        args["since"] = self.due.since
        if queues is not None and len(queues) == 1 and not limited:
            return ONE, args | {"queue": queues[0], "lone": False}
        if queues is None and self._lone is not None and not (bold or limited or self.floor.on):
            return ONE, args | {"queue": self._lone, "lone": True}
        args["queues"] = None if queues is None else Strings(queues)
        args["limited"] = limited
        args["last"] = _encode(self._last).decode()
        args["seed"] = self._seed
        return MANY, args

    @staticmethod
    def _marking(worker: int, request: ClaimRequest) -> dict[str, Any]:
        return {
            "worker": worker,
            "lease": request.lease,
            "leases": _encode(request.leases).decode() if request.leases else None,
            "tasks": None if request.tasks is None else Strings(list(request.tasks)),
        }

    def _in_turns(self, rows: list[Any], worker: int) -> list[JobRow]:
        """Put the queues of a higher priority first and let equal ones alternate; note whose turn is over.

        Where all are of one queue, that is the one which claims go to while it is alone.
        """
        told = rows[0][-1]
        levels = {} if told is None else _levels(told)
        queues: dict[str, list[Any]] = {}
        for row in rows:
            queues.setdefault(row[QUEUE], []).append(row[:-1])
        self._lone = rows[0][QUEUE] if len(queues) == 1 else None
        if len(queues) == 1 and not levels:
            (name,) = queues
            self._last[0] = name
            queues[name].sort()
            return _jobs(queues[name], worker)
        jobs: list[JobRow] = []
        for level in sorted({levels.get(name, 0) for name in queues}, reverse=True):
            last = self._last.get(level, "")
            names = sorted(
                (name for name in queues if levels.get(name, 0) == level), key=lambda name: (name <= last, name)
            )
            self._last[level] = names[-1]
            shares = [_jobs(sorted(queues[name]), worker) for name in names]
            jobs += [job for turn in zip_longest(*shares) for job in turn if job is not None]
        return jobs


def _jobs(rows: Sequence[Any], worker: int) -> list[JobRow]:
    """Build the records of claimed jobs, by position: about a microsecond each."""
    return [
        JobRow(
            0, id, task, queue, args.encode(), _RUNNING, -priority, due, created, attempt, max_attempts, claim, crashes,
            max_crashes, rev, worker, lease, started, None, None, None, key, () if tags is None else tuple(tags),
            None if options is None else options.encode(),
            None if fraction is None else Progress(fraction, None if message is None else decode_text(message)),
            None if result is None else result.encode(), None if error is None else decode_text(error),
        )
        for (
            priority, due, id, queue, task, args, created, attempt, max_attempts, claim, crashes, max_crashes, rev,
            lease, started, key, tags, options, fraction, message, result, error, _,
        ) in rows
    ]  # fmt: skip
