"""`millrace health`: whether jobs get done. Owns the questions and their sentences; looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.kinds import DURATION
from millrace.cli.output import flat, say, say_json
from millrace.cli.target import opened, split_words
from millrace.cli.times import seconds_text
from millrace.cli.workers import living_workers
from millrace.clock import SECOND, micros
from millrace.errors import MillraceError, StoreUnavailable
from millrace.messages import JobFilter, Waiting
from millrace.scheduling import Scheduling
from millrace.states import ACTIVE

if TYPE_CHECKING:
    from millrace import Millrace
    from millrace.records import QueueInfo
    from millrace.store import Store

__all__ = ["LATE_SECONDS", "Problem", "find_problems", "health"]

#: A lease past for so long should have been taken back where a worker lives, and a tick fired: each looks every second.
LATE_SECONDS = 3.0
_PAGE = 500
_NAMED = 3


class Problem(msgspec.Struct, frozen=True):
    """One reason why jobs do not get done: what about, and the sentence.

    >>> Problem("workers", "no worker is alive").about
    'workers'
    """

    about: str
    text: str


@command(
    "health",
    examples="""\
millrace health tasks:app
millrace health tasks:app --max-wait 5m
millrace health --url sqlite:///jobs.db --json""",
)
@words("[APP]")
@url_option
@click.option(
    "--max-wait",
    type=DURATION,
    default="60",
    show_default=True,
    metavar="DURATION",
    help="How long a due job may wait for a worker: seconds, or 5m, 1h.",
)
@json_option
def health(words: tuple[str, ...], url: str | None, *, max_wait: float, as_json: bool) -> int:
    """Tell whether jobs get done, and exit 1 with a sentence for each reason why not.

    The store is out of reach or refuses; jobs are past their lease, and nobody is alive to take them back or has done
    so within 3 s; a due job has waited longer than --max-wait; jobs wait for a task that nobody knows; no worker is
    alive.
    """
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        try:
            problems = list(find_problems(app, max_wait))
            state = f"{_jobs(app.depth())} for a worker in {app.store.url}"
        except MillraceError as error:  # whatever keeps this app from its store is news, not a mistake of the caller
            problems, state = [Problem("store", f"the store {app.store.url} {_kept_from(error)}: {error}")], ""
    if as_json:
        say_json({"healthy": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            say(flat(problem.text))
    else:
        say(f"healthy: {state}")
    return int(bool(problems))


def _kept_from(error: MillraceError) -> str:
    """Say what keeps us from a store: one that refuses has been reached."""
    return "is out of reach" if isinstance(error, StoreUnavailable) else "cannot be used"


def find_problems(
    app: Millrace,
    max_wait: float,
    *,
    waiting: Sequence[Waiting] | None = None,
    queues: Sequence[QueueInfo] | None = None,
) -> Iterator[Problem]:
    """Look for each trouble in turn.

    Args:
        app: Whose store is looked at; its tasks are known tasks.
        max_wait: Seconds that a due job may wait.
        waiting: What waits, where that was just read.
        queues: The queues, likewise.

    >>> from millrace import Millrace
    >>> [problem.text for problem in find_problems(Millrace("memory://"), 60)]
    ['no worker is alive; start one with millrace worker APP']
    """
    store = app.store
    now = store.now()
    alive = living_workers(store)
    waiting = store.waiting(now=now) if waiting is None else waiting
    paused = {each.name for each in (store.queues() if queues is None else queues) if each.paused}
    yield from _past_lease(store, now - (micros(LATE_SECONDS) if alive else 0), now)
    yield from _waited(waiting, now, max_wait, paused)
    yield from _unknown(waiting, app.registry.names.union(*(each.tasks for each in alive)))
    yield from _overdue(store, now)
    if not alive:
        yield Problem("workers", "no worker is alive; start one with millrace worker APP")


def _past_lease(store: Store, before: int, now: int) -> Iterator[Problem]:
    late, oldest, cursor = 0, now, None
    while True:  # as many as workers have slots, never the whole store
        rows, cursor = store.page(JobFilter(states=ACTIVE), limit=_PAGE, cursor=cursor)
        for row in rows:
            if row.lease is not None and row.lease < before:
                late, oldest = late + 1, min(oldest, row.lease)
        if cursor is None:
            break
    if late:
        verb = "job is" if late == 1 else "jobs are"
        yield Problem(
            "leases",
            f"{late} {verb} past the lease, the oldest for {_seconds(now - oldest)}; no worker takes them back",
        )


def _waited(waiting: Sequence[Waiting], now: int, max_wait: float, paused: set[str]) -> Iterator[Problem]:
    late = [each for each in waiting if now - each.since > micros(max_wait)]
    for each in sorted(late, key=lambda each: each.since)[:_NAMED]:
        why = "; the queue is paused, see millrace resume" if each.queue in paused else ""
        yield Problem(
            "waiting",
            f"a due job of {each.task} has waited {_seconds(now - each.since)} in queue {each.queue}, "
            f"longer than {seconds_text(max_wait)}{why}",
        )
    if len(late) > _NAMED:
        yield Problem("waiting", f"so has one in {len(late) - _NAMED} other queues or tasks; see millrace stats")


def _overdue(store: object, now: int) -> Iterator[Problem]:
    due = store.due_schedules(now=now - micros(LATE_SECONDS)) if isinstance(store, Scheduling) else []
    for row in due[:_NAMED]:
        if row.next is not None:
            yield Problem(
                "schedules", f"schedule {row.name} is overdue by {_seconds(now - row.next)}; no worker fires it"
            )
    if len(due) > _NAMED:
        yield Problem("schedules", f"so are {len(due) - _NAMED} other schedules; see millrace schedules")


def _unknown(waiting: Sequence[Waiting], known: Iterable[str]) -> Iterator[Problem]:
    tasks: dict[str, int] = {}
    for each in waiting:
        if each.task not in known:
            tasks[each.task] = tasks.get(each.task, 0) + each.number
    if tasks:
        names = ", ".join(f"{name!r}" for name in sorted(tasks)[:_NAMED])
        more = f" and {len(tasks) - _NAMED} more" if len(tasks) > _NAMED else ""
        yield Problem("tasks", f"{_jobs(sum(tasks.values()))} for a task that nobody knows: {names}{more}")


def _jobs(number: int) -> str:
    return f"{number} job waits" if number == 1 else f"{number} jobs wait"


def _seconds(span: int) -> str:
    return seconds_text(span / SECOND)
