"""Reading jobs and counting them. Owns filters, pages and their cursors; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from millrace.errors import ConfigurationError
from millrace.messages import JobFilter, Waiting, empty_counts
from millrace.records import QueueInfo
from millrace.states import JobState
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.rules import NO_RULES, QueueRules
from millrace.stores.memory.shelf import Shelf

__all__ = [
    "count_by_state",
    "count_waiting",
    "find_page",
    "read_cursor",
    "read_queues",
    "tell_waiting",
    "write_cursor",
]

_CURSOR = "memory-"
_MOST_DIGITS = 19


def find_page(shelf: Shelf, where: JobFilter, limit: int, cursor: str | None) -> tuple[list[Entry], str | None]:
    """Find the jobs of one page, newest first, and the cursor of the next: made of the handle of the last job.

    Raises:
        ConfigurationError: The cursor is not one of ours.
    """
    below = None if cursor is None else read_cursor(cursor)
    found = list(islice(_matching(shelf, where, below), limit + 1))
    if len(found) <= limit:
        return found, None
    return found[:limit], write_cursor(found[limit - 1])


def write_cursor(last: Entry) -> str:
    """Make the cursor of the page after one that ends with this job."""
    return f"{_CURSOR}{last.ref}"


def read_cursor(cursor: str) -> int:
    """Read a cursor: the handle of the last job of the page before.

    Raises:
        ConfigurationError: It is not one of ours.
    """
    digits = cursor.removeprefix(_CURSOR)
    if digits == cursor or not (digits.isascii() and digits.isdigit()) or len(digits) > _MOST_DIGITS:
        raise ConfigurationError(f"cursor {cursor!r} is not one that this store gave; begin again without a cursor")
    return int(digits)


def _matching(shelf: Shelf, where: JobFilter, below: int | None) -> Iterator[Entry]:
    for entry in shelf.newest_first(below):
        if (
            (where.states is None or entry.state in where.states)
            and (where.queue is None or entry.queue == where.queue)
            and (where.task is None or entry.task == where.task)
            and (where.tag is None or where.tag in entry.tags)
            and (where.unique_key is None or entry.unique_key == where.unique_key)
            and (where.error is None or entry.error_type == where.error)
        ):
            yield entry


def count_by_state(shelf: Shelf, queue: str | None) -> dict[JobState, int]:
    """Count jobs by state, all eight named."""
    counts = empty_counts()
    for each in shelf.counts.values() if queue is None else [shelf.counts.get(queue, {})]:
        for state, number in each.items():
            counts[state] += number
    return counts


def count_waiting(shelf: Shelf, queue: str | None, now: int) -> int:
    """Count pending jobs, and due ones that are not promoted yet."""
    due = sum(queue is None or entry.queue == queue for entry in shelf.waiting.until(now))
    return due + count_by_state(shelf, queue)[JobState.PENDING]


def tell_waiting(shelf: Shelf, now: int) -> list[Waiting]:
    """Tell the same by queue and task, with the earliest due time of each."""
    due: dict[tuple[str, str], list[int]] = {}
    for entry in (*shelf.waiting.until(now), *shelf.pending()):
        due.setdefault((entry.queue, entry.task), []).append(entry.due)
    return [Waiting(*lane, len(times), min(times)) for lane, times in sorted(due.items())]


def read_queues(shelf: Shelf, rules: Mapping[str, QueueRules]) -> list[QueueInfo]:
    """Describe every queue that has settings or jobs, by name."""
    infos: list[QueueInfo] = []
    for name in sorted(rules.keys() | shelf.counts.keys()):
        rule = rules.get(name, NO_RULES)
        counts = count_by_state(shelf, name)
        infos.append(QueueInfo(name, rule.priority, rule.paused, rule.concurrency, counts, rule.pace))
    return infos
