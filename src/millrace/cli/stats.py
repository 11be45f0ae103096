"""`millrace stats`: how many jobs of which state, by queue. Owns the two tables; counting is the store's."""

from __future__ import annotations

from collections.abc import Mapping

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.output import Column, plural, say, say_json, table, width
from millrace.cli.target import opened, split_words
from millrace.cli.times import seconds_text
from millrace.cli.workers import living_workers
from millrace.clock import SECOND
from millrace.messages import Waiting
from millrace.records import QueueInfo
from millrace.states import JobState

__all__ = ["queue_table", "stats"]

# rare states go first where the terminal is narrow
_RANKS = {JobState.CANCELLING: 4, JobState.CANCELLED: 3, JobState.SCHEDULED: 2, JobState.FAILED: 1}


@command(
    "stats",
    examples="""\
millrace stats tasks:app
millrace stats --url sqlite:///jobs.db --json""",
)
@words("[APP]")
@url_option
@json_option
def stats(words: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Count the jobs of the store by state, and of each queue."""
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        counts, waiting, queues, workers = app.counts(), app.depth(), app.queues(), living_workers(app.store)
        if as_json:
            say_json(
                {
                    "counts": counts,
                    "depth": waiting,
                    "workers": len(workers),
                    "queues": {each.name: each.counts for each in queues},
                }
            )
            return
        say(f"{app.store.url}: {plural(sum(counts.values()), 'job')}, {plural(len(workers), 'worker')} alive")
        say(f"{_waiting(app.store.waiting(), app.store.now())}")
        for line in _states(counts):
            say(line)
        if len(queues) > 1:
            say()
            for line in queue_table(queues, width()):
                say(line)


def _waiting(waiting: list[Waiting], now: int) -> str:
    """Say how many are due, and for how long the oldest has been."""
    number = sum(each.number for each in waiting)
    if not number:
        return "nothing waits for a worker"
    span = max(now - min(each.since for each in waiting), 0) / SECOND
    return f"{number} {'waits' if number == 1 else 'wait'} for a worker, the oldest for {seconds_text(span)}"


def _states(counts: Mapping[JobState, int]) -> list[str]:
    columns = (Column("STATE"), Column("JOBS", right=True))
    return table(columns, [(state.value, str(counts[state])) for state in JobState], None)


def queue_table(queues: list[QueueInfo], room: int | None) -> list[str]:
    """Lay out queues with their counts, in `room` cells where that is given.

    >>> queue_table([QueueInfo("mail", counts={JobState.PENDING: 2})], None)[1].split()[:3]
    ['mail', '0', '2']
    """
    columns = (
        Column("QUEUE", least=8),
        *(Column(state.value.upper(), rank=_RANKS.get(state, 0), right=True) for state in JobState),
    )
    rows = [(each.name, *(str(each.counts.get(state, 0)) for state in JobState)) for each in queues]
    return table(columns, rows, room)
