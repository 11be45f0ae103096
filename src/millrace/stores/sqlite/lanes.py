"""Lanes: one small number for each queue and task. Owns their making, what is known of them, and the counters in them.

A lane number leads the index of the claim, so that jobs of other queues and tasks are never looked at. What is known is
good for one `epoch`, a text in `meta` that every new lane, pause and limit replaces by a random one: a number that
counted up could come back with another meaning after a rollback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millrace.groups import Pace
from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.rows import COMPLETED
from millrace.stores.sqlite.session import Session

__all__ = [
    "LaneTable",
    "Lanes",
    "Pair",
    "Plain",
    "QueueRules",
    "Tally",
    "count_finals",
    "lane_names",
    "new_epoch",
    "tally",
]

# The whole table, read once an epoch, but for the lanes of groups, of which there may be many: see `limited.py`.
LANES = "SELECT id, queue, task, keyed FROM {p}lanes WHERE key=''"
QUEUES = "SELECT name, priority, paused, concurrency, rate_count, rate_per FROM {p}queues"  # likewise
NEW_LANE = "INSERT INTO {p}lanes(queue, task) VALUES(?,?) ON CONFLICT DO NOTHING"
# A lane of a group, and that its queue and task have such lanes, both by the UNIQUE index of all three.
NEW_KEYED = "INSERT INTO {p}lanes(queue, task, key) VALUES(?,?,?) ON CONFLICT DO NOTHING"
KEYED = "SELECT id FROM {p}lanes WHERE queue=? AND task=? AND key=?"
HAS_KEYED = "UPDATE {p}lanes SET keyed=1 WHERE queue=? AND task=? AND key='' AND keyed=0"
LANE = "SELECT id FROM {p}lanes WHERE queue=? AND task=? AND key=''"  # by the UNIQUE index of all three
NAMES = "SELECT id, task, queue FROM {p}lanes WHERE id IN ({ids})"  # SEARCH lanes USING INTEGER PRIMARY KEY
NEW_EPOCH = "UPDATE {p}meta SET value=hex(randomblob(8)) WHERE key='epoch'"

# The counters of one lane, and of many: SEARCH lanes USING INTEGER PRIMARY KEY in both.
COUNT_ONE = "UPDATE {p}lanes SET completed=completed+?, dead=dead+?, cancelled=cancelled+? WHERE id=?"
COUNT_MANY = """UPDATE {p}lanes SET completed=completed+column2, dead=dead+column3, cancelled=cancelled+column4
 FROM (VALUES {rows}) WHERE id=column1"""

Plain = tuple[str, str]  #: queue and task
Pair = Plain | tuple[str, str, str]  #: the same, and the group where there is one
Tally = dict[int, list[int]]  #: by lane: completed, dead, cancelled


@dataclass(frozen=True, slots=True)
class QueueRules:
    """A queue's settings as the claim needs them."""

    priority: int = 0
    paused: bool = False
    concurrency: int | None = None
    pace: Pace | None = None


NO_RULES = QueueRules()


@dataclass(frozen=True, slots=True)
class LaneTable:
    """All lanes and queue settings of one epoch."""

    epoch: str
    plain: Mapping[int, Plain]  #: by lane, those without a group
    keyed: frozenset[Plain]  #: the queues and tasks that have lanes of groups
    tasks: dict[int, str]  #: by lane
    queues: dict[int, str]  #: by lane
    rules: Mapping[str, QueueRules]  #: by queue, those that have settings
    groups: dict[int, str] = field(default_factory=dict[int, str])  #: by lane, those of groups that were met
    plans: dict[Any, Any] = field(default_factory=dict[Any, Any])  #: what `turns.py` worked out for this table


class Lanes:
    """What one store knows of its lanes."""

    def __init__(self) -> None:
        self._table: LaneTable | None = None
        # Only lanes whose commit was seen, for an insert looks at no epoch; and only of the file that this connection
        # is to, for another may come to stand in its place. Lanes are never deleted.
        self._committed: dict[Pair, int] = {}
        self._connection: Connection | None = None

    def committed(self, connection: Connection) -> Mapping[Pair, int]:
        """Return the lanes known to be in the file of this connection, by queue and task."""
        if connection is not self._connection:
            self._committed, self._connection = {}, connection
        return self._committed

    def learn(self, connection: Connection, lanes: Mapping[Pair, int]) -> None:
        """Remember lanes, after their commit on this connection."""
        if connection is self._connection:
            self._committed.update(lanes)

    @staticmethod
    def make(session: Session, wanted: Iterable[Pair]) -> dict[Pair, int]:
        """Return the lanes for some pairs of queue and task, making those that are not there yet.

        Writes before it reads, so that a transaction of the caller's that has only read takes its lock here.
        """
        made = 0
        found: dict[Pair, int] = {}
        for pair in wanted:
            plain = pair[:2]
            made += session.execute(NEW_LANE, plain)
            if pair == plain:
                ((found[pair],),) = session.rows(LANE, pair)
            else:
                session.execute(NEW_KEYED, pair)
                ((found[pair],),) = session.rows(KEYED, pair)
                made += session.execute(HAS_KEYED, plain)
        if made:
            new_epoch(session)
        return found

    def table(self, session: Session, epoch: str) -> LaneTable:
        """Return the table of an epoch that was read in this session."""
        table = self._table
        if table is None or table.epoch != epoch:
            lanes = session.rows(LANES)
            table = self._table = LaneTable(
                epoch,
                {lane: (queue, task) for lane, queue, task, _ in lanes},
                frozenset((queue, task) for _, queue, task, keyed in lanes if keyed),
                {lane: task for lane, _, task, _ in lanes},
                {lane: queue for lane, queue, _, _ in lanes},
                {
                    name: QueueRules(priority, bool(paused), concurrency, None if count is None else Pace(count, per))
                    for name, priority, paused, concurrency, count, per in session.rows(QUEUES)
                },
            )
        return table


def lane_names(session: Session, lanes: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Read task and queue of lanes."""
    return {lane: (task, queue) for lane, task, queue in session.list_rows(NAMES, list(lanes))}


def new_epoch(session: Session) -> None:
    """Make every process read lanes and queues again."""
    session.execute(NEW_EPOCH)


def tally(changes: Iterable[tuple[int, int]], sign: int = 1) -> Tally:
    """Add up (lane, state) of jobs that came to a final state, or with -1 left one; other states count nothing.

    >>> tally([(1, 5), (1, 5), (2, 6), (2, 2)])
    {1: [2, 0, 0], 2: [0, 1, 0]}
    """
    counts: Tally = {}  # the numbers of the three final states follow one another in the order of the counters
    for lane, state in changes:
        if state >= COMPLETED:
            counts.setdefault(lane, [0, 0, 0])[state - COMPLETED] += sign
    return counts


def count_finals(session: Session, counts: Tally) -> None:
    """Add to the counters of final states, in one statement."""
    if len(counts) == 1:
        ((lane, three),) = counts.items()
        session.execute(COUNT_ONE, (*three, lane))
    elif counts:
        session.values_execute(COUNT_MANY, [(lane, *three) for lane, three in counts.items()])
