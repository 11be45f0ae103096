"""From which lanes a claim takes, in which order, and how many. Owns the turns between queues; marks nothing.

A queue of a higher priority comes first. Queues of the same priority share what is asked for, and where there are
fewer places than queues they take turns, so that none starves. Within a queue the index keeps the order.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from millrace.groups import Pace
from millrace.messages import ClaimRequest
from millrace.store import MAX_CLAIM
from millrace.stores.sqlite.lanes import NO_RULES, LaneTable
from millrace.stores.sqlite.limited import COLUMNS, LIVE, open_turnstiles, read_chosen, write_buckets
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.sql import MAX_LIST
from millrace.stores.turnstile import Rules, Turnstile

__all__ = ["Plan", "Turns", "plan_for"]

# SEARCH jobs USING INDEX jobs_pending (lane=?), and a sort for two lanes or more. SQLite leaves a lane as soon as a
# row sorts behind the LIMIT best, so the sort stays small: merging lanes in Python or SQL was 2 to 100 times slower.
HEADS = """SELECT {columns}
 FROM {p}jobs WHERE state=2 AND lane IN ({ids}) ORDER BY priority DESC, due, uid LIMIT ?""".replace(
    "{columns}", COLUMNS
)

ANY = "SELECT 1 FROM {p}jobs WHERE state=2 AND lane IN ({ids}) LIMIT 1"  # jobs_pending, its first entry of any lane

# SEARCH jobs USING COVERING INDEX jobs_lease (lease>?): the running jobs only.
ACTIVE = "SELECT lane, count(*) FROM {p}jobs WHERE lease>=0 GROUP BY lane"

_FEW_LANES = 32  #: up to so many lanes are cheaper to look at than to sort out first
_FEW_QUEUES = 2
_MOST_PLANS = 256

Levels = list[tuple[int, list["_Open"]]]
Opened = Mapping[str, tuple[Rules, Turnstile]]  #: by queue with limits


@dataclass(frozen=True, slots=True)
class Share:
    """One queue's part in a plan."""

    queue: str
    lanes: tuple[int, ...]  #: those asked for
    limit: int | None  #: the queue's concurrency
    counted: tuple[int, ...]  #: all lanes of the queue, which the limit counts together
    pace: Pace | None  #: the queue's rate
    ruled: bool  #: it has a rate, or lanes of groups: see `limited.py`


@dataclass(frozen=True, slots=True)
class Plan:
    """The queues that a claim may take from, best first; queues of one priority, by name, on one level."""

    levels: tuple[tuple[int, tuple[Share, ...]], ...]
    lanes: tuple[int, ...]
    limited: bool
    ruled: Mapping[
        str, tuple[int | None, Pace | None, Sequence[int]]
    ]  #: the queues that are, as `limited.py` wants them
    plain: bool  #: one queue, few lanes and no limit: nearly always
    wide: bool  #: it pays to sort out the lanes without pending jobs first


@dataclass(slots=True)
class _Open:
    """A queue that may be taken from now, and what was taken."""

    queue: str
    lanes: Sequence[int]
    room: int
    rows: list[Any]
    turnstile: Turnstile | None = None


def plan_for(table: LaneTable, request: ClaimRequest) -> Plan:
    """Return the plan of a request, worked out once an epoch."""
    key = (request.queues, request.tasks)
    plan: Plan | None = table.plans.get(key)
    if plan is None:
        if len(table.plans) >= _MOST_PLANS:
            table.plans.clear()
        plan = table.plans[key] = _work_out(table, request)
    return plan


def _work_out(table: LaneTable, request: ClaimRequest) -> Plan:
    queues = None if request.queues is None else frozenset(request.queues)
    lanes_of: dict[str, list[int]] = {}
    all_of: dict[str, list[int]] = {}
    for lane, (queue, task) in table.plain.items():
        all_of.setdefault(queue, []).append(lane)
        wanted = (queues is None or queue in queues) and (request.tasks is None or task in request.tasks)
        if wanted and not table.rules.get(queue, NO_RULES).paused:
            lanes_of.setdefault(queue, []).append(lane)

    def priority(share: Share) -> int:
        return table.rules.get(share.queue, NO_RULES).priority

    shares = [_share(table, queue, lanes, all_of[queue]) for queue, lanes in lanes_of.items()]
    shares.sort(key=lambda share: (-priority(share), share.queue))
    lanes = tuple(lane for share in shares for lane in share.lanes)
    limited = any(share.limit is not None and not share.ruled for share in shares)
    ruled = {share.queue: (share.limit, share.pace, share.lanes) for share in shares if share.ruled}
    return Plan(
        levels=tuple((level, tuple(group)) for level, group in groupby(shares, key=priority)),
        lanes=lanes,
        limited=limited,
        ruled=ruled,
        plain=len(shares) == 1 and len(lanes) <= _FEW_LANES and not limited and not ruled,
        wide=len(lanes) > _FEW_LANES or len(shares) > _FEW_QUEUES,
    )


def _share(table: LaneTable, queue: str, lanes: Sequence[int], counted: Sequence[int]) -> Share:
    rules = table.rules.get(queue, NO_RULES)
    ruled = rules.pace is not None or any(table.plain[lane] in table.keyed for lane in counted)
    return Share(queue, tuple(lanes), rules.concurrency, tuple(counted), rules.pace, ruled)


class Turns:
    """Takes heads by plans, and remembers whose turn it is."""

    def __init__(self) -> None:
        self._last: dict[int, str] = {}  #: by queue priority, the queue served last
        self._served: dict[str, str] = {}  #: by queue with limits, the party served last
        self._rooms: list[int] = []  #: when jobs may be claimed that only a rate holds back

    def heads(self, session: Session, table: LaneTable, plan: Plan, limit: int) -> list[Any]:
        """Return the rows of `HEADS` to claim, at most `limit`, in order."""
        if plan.plain:
            return self._take(session, plan.lanes, limit)
        heads: list[Any] = []
        opened = open_turnstiles(session, table, plan.ruled, self._served, limit) if plan.ruled else {}
        for level, shares in self._open(session, plan, opened):
            heads += self._share_out(session, level, shares, limit - len(heads))
            if len(heads) >= limit:
                break
        for queue, (rules, turnstile) in opened.items():
            write_buckets(session, rules)
            self._served[queue] = turnstile.last
        self._note_rates(opened)
        return heads

    def told_room(self) -> int | None:
        """Tell once when the first job may be claimed that only a rate has held back since the last call."""
        rooms, self._rooms = self._rooms, []
        return min(rooms, default=None)

    def _note_rates(self, opened: Opened) -> None:
        self._rooms += [rules.room_at for rules, _ in opened.values() if rules.room_at is not None]

    def any(self, session: Session, table: LaneTable, plan: Plan) -> bool:
        """Tell whether a claim by this plan would find something now."""
        if plan.plain:
            lanes: Sequence[int] = plan.lanes
        else:
            opened = open_turnstiles(session, table, plan.ruled, self._served, 1) if plan.ruled else {}
            if any(turnstile.ready() for _, turnstile in opened.values()):
                return True
            self._note_rates(opened)
            levels = self._open(session, plan, {})
            lanes = [lane for _, shares in levels for share in shares for lane in share.lanes]
        return bool(session.list_rows(ANY, lanes))

    def _open(self, session: Session, plan: Plan, opened: Opened) -> Levels:
        """Leave out what cannot be served: lanes without pending jobs, and queues that run all they may."""
        live = {lane for (lane,) in session.rows(LIVE)} if plan.wide else None
        active = dict[int, int](session.rows(ACTIVE)) if plan.limited else {}
        levels: Levels = []
        for level, shares in plan.levels:
            some: list[_Open] = []
            for share in shares:
                if share.ruled:
                    if share.queue in opened:
                        some.append(_Open(share.queue, share.lanes, MAX_CLAIM, [], opened[share.queue][1]))
                    continue
                lanes = share.lanes if live is None else [lane for lane in share.lanes if lane in live]
                room = MAX_CLAIM
                if share.limit is not None:
                    room = share.limit - sum(active.get(lane, 0) for lane in share.counted)
                if lanes and room > 0:
                    some.append(_Open(share.queue, lanes, room, []))
            if some:
                levels.append((level, some))
        return levels

    def _share_out(self, session: Session, level: int, shares: list[_Open], limit: int) -> list[Any]:
        """Serve the queues of one level, beginning behind the one served last."""
        shares = self._rotated(level, shares)
        left = limit
        for place, share in enumerate(shares):
            asked = min(-(-left // (len(shares) - place)), share.room)
            share.rows = self._take_of(session, share, asked)
            left -= len(share.rows)
            if share.rows:
                self._last[level] = share.queue
            if len(share.rows) < asked:
                share.room = 0  # it has no more
            if not left:
                break
        for share in shares:
            more = min(left, share.room - len(share.rows))
            if more > 0:  # others left of their part: none of these rows is marked yet, so it is asked anew
                had = len(share.rows)
                share.rows = self._take_of(session, share, had + more)
                left -= len(share.rows) - had
        return [row for rows in zip_longest(*(share.rows for share in shares)) for row in rows if row is not None]

    def _take_of(self, session: Session, share: _Open, number: int) -> list[Any]:
        """Return the first jobs of a queue, those included that it was asked for before."""
        if share.turnstile is None:
            return self._take(session, share.lanes, number)
        chosen = share.turnstile.take(number - len(share.rows))
        return share.rows + read_chosen(session, [id for _, id in chosen])

    def _rotated(self, level: int, shares: list[_Open]) -> list[_Open]:
        if len(shares) == 1:
            return shares
        last = self._last.get(level)
        if last is None:  # anywhere, or a process that claims once would always serve the same queue
            first = random.randrange(len(shares))
        else:
            first = next((place for place, share in enumerate(shares) if share.queue > last), 0)
        return shares[first:] + shares[:first]

    def _take(self, session: Session, lanes: Sequence[int], limit: int) -> list[Any]:
        rows = session.list_rows(HEADS, lanes, after=(limit,))
        if len(lanes) <= MAX_LIST:
            return rows
        # several statements, each in order: merged here
        rows.sort(key=lambda row: (-row[3], row[4], row[1]))
        return rows[:limit]
