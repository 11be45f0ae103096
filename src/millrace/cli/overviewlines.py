"""What `millrace top` shows, as lines for a width and a height. Owns the columns; reads nothing, draws nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from millrace.cli.output import Column, clip, flat, in_colour, plural, shown_width, table
from millrace.cli.overview import Failure, Overview, QueueView, Running, WorkerView
from millrace.cli.times import ago, seconds_text

__all__ = ["Section", "head_lines", "sections"]

_GAP = "   "
_QUEUES = (
    Column("QUEUE", least=8),
    Column("STATUS", rank=1),
    Column("WAITING", right=True),
    Column("OLDEST", right=True),
    Column("RUNNING", right=True),
    Column("LATER", rank=2, right=True),
    Column("DEAD", rank=1, right=True),
)
_WORKERS = (
    Column("WORKER", least=12, tail=True),
    Column("STATUS", rank=1),
    Column("BUSY", right=True),
    Column("JOBS/S", rank=1, right=True),
    Column("SEEN", rank=2, right=True),
    Column("RUNS", least=12),
)
_FAILURES = (
    Column("AGE", right=True),
    Column("STATE"),
    Column("TASK", least=8, tail=True),
    Column("QUEUE", rank=2, least=6),
    Column("ID", rank=1),
    Column("ERROR", least=12),
)
_TASKS = 3  #: of one worker that are named


class Section(NamedTuple):
    """A part with a title: the heading of its table, and its rows. Without rows the heading is a sentence."""

    title: str
    heading: str
    rows: list[str]

    def lines(self, most: int | None = None) -> list[str]:
        """Give its lines; of more rows than fit into so many lines the last ones go, and it is said how many.

        >>> Section("", "N", ["1", "2", "3"]).lines(3)
        ['N', '1', '2 more']
        """
        if most is None or len(self.rows) + 1 <= most:
            return [self.heading, *self.rows]
        shown = max(most - 2, 0)
        return [self.heading, *self.rows[:shown], f"{len(self.rows) - shown} more"][:most]


def head_lines(view: Overview, room: int | None) -> list[str]:
    """Say in a few lines how the whole store does, in `room` cells where that is given.

    >>> from millrace import Millrace
    >>> from millrace.cli.overview import read_overview
    >>> head_lines(read_overview(Millrace("memory://")), 60)[-1]
    'nothing waits; 0.0 jobs/s; no worker is alive'
    """
    counts = [in_colour(state.value) + f" {number:,}" for state, number in view.counts.items()]
    plain = [f"{state.value} {number:,}" for state, number in view.counts.items()]
    alive = [each for each in view.workers if each.alive]
    busy, slots = sum(len(each.running) for each in alive), sum(each.slots or 0 for each in alive)
    waits = "nothing waits"
    if view.oldest_seconds is not None:
        verb = "waits" if view.waiting == 1 else "wait"
        waits = f"{view.waiting:,} {verb}, the oldest for {seconds_text(view.oldest_seconds)}"
    workers = f"{plural(len(alive), 'worker')} alive, {busy} of {slots} slots busy" if alive else "no worker is alive"
    told = f"{waits}; {view.rate:,.1f} jobs/s; {workers}"
    return [*_wrapped(counts, plain, room), told if room is None else clip(told, room)]


def _wrapped(parts: Sequence[str], plain: Sequence[str], room: int | None) -> list[str]:
    """Put parts on as few lines as they fit; what they look like without colour is given beside."""
    lines: list[str] = []
    line, cells = "", 0
    for part, bare in zip(parts, plain, strict=True):
        more = len(_GAP) + shown_width(bare) if line else shown_width(bare)
        if line and room is not None and cells + more > room:
            lines.append(line)
            line, cells = part, shown_width(bare)
            continue
        line, cells = f"{line}{_GAP}{part}" if line else part, cells + more
    return [*lines, line]


def sections(view: Overview, room: int | None) -> list[Section]:
    """Lay out queues, workers and failures, in `room` cells where that is given.

    >>> from millrace import Millrace
    >>> from millrace.cli.overview import read_overview
    >>> [part.heading for part in sections(read_overview(Millrace("memory://")), 60)]
    ['no queue has jobs or settings', 'no worker reports itself', 'no job has failed']
    """
    return [
        _section("queues", "no queue has jobs or settings", _QUEUES, [_queue(each) for each in view.queues], room),
        _section("workers", "no worker reports itself", _WORKERS, [_worker(e, view.at) for e in view.workers], room),
        _section(
            "newest failures", "no job has failed", _FAILURES, [_failure(e, view.at) for e in view.failures], room
        ),
    ]


def _section(
    title: str, empty: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None
) -> Section:
    if not rows:
        return Section(title, empty if room is None else clip(empty, room), [])
    heading, *lines = table(columns, rows, room)
    return Section(title, heading, lines)


def _queue(each: QueueView) -> tuple[str, ...]:
    return (
        each.name,
        "paused" if each.paused else "open",
        f"{each.waiting:,}",
        "-" if each.oldest_seconds is None else seconds_text(each.oldest_seconds),
        f"{each.running:,}",
        f"{each.later:,}",
        f"{each.dead:,}",
    )


def _worker(each: WorkerView, now: datetime) -> tuple[str, ...]:
    return (
        each.name,
        "alive" if each.alive else "gone",
        f"{len(each.running)}/{'?' if each.slots is None else each.slots}",
        "-" if each.rate is None else f"{each.rate:,.1f}",
        ago(each.seen_at, now),
        _runs(each.running),
    )


def _runs(running: Sequence[Running]) -> str:
    """Name the tasks that run, those first that have run longest, with how often and how long."""
    numbers = Counter(each.task for each in running)
    longest: dict[str, float] = {}
    for each in running:
        longest[each.task] = max(longest.get(each.task, 0.0), each.seconds)
    named = [
        f"{f'{numbers[task]} ' if numbers[task] > 1 else ''}{flat(task)} {seconds_text(seconds)}"
        for task, seconds in longest.items()
    ]
    return ", ".join(named[:_TASKS]) + (", …" if len(named) > _TASKS else "")


def _failure(each: Failure, now: datetime) -> tuple[str, ...]:
    return (ago(each.at, now), each.state.value, each.task, each.queue, each.id, each.error or "")
