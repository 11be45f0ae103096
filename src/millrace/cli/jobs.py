"""`millrace jobs`: the list. Owns its columns; filters and paging are the app's."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

import click

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.completing import complete_queue
from millrace.cli.kinds import STATE
from millrace.cli.output import Column, say, say_json, table, width
from millrace.cli.record import job_record
from millrace.cli.target import opened, split_words
from millrace.cli.times import ago, until
from millrace.clock import to_datetime
from millrace.job import Job
from millrace.states import WAITING, JobState

__all__ = ["jobs", "jobs_table"]

_COLUMNS = (
    Column("ID", tail=True),
    Column("STATE"),
    Column("TASK", least=8, tail=True),
    Column("QUEUE", rank=3, least=6),
    Column("PRIORITY", rank=6, right=True),
    Column("TRY", rank=2, right=True),
    Column("AGE", rank=1, right=True),
    Column("DUE", rank=5, right=True),
    Column("TAGS", rank=7, least=6),
    Column("ERROR", rank=4, least=16),
)


@command(
    "jobs",
    examples="""\
millrace jobs tasks:app
millrace jobs tasks:app --state dead --state failed --task tasks.add
millrace jobs --url sqlite:///jobs.db --limit 500 --json""",
)
@words("[APP]")
@url_option
@click.option("--state", "states", type=STATE, multiple=True, help="Only jobs in this state (repeatable).")
@click.option("--queue", metavar="NAME", shell_complete=complete_queue, help="Only jobs of this queue.")
@click.option("--task", metavar="NAME", help="Only jobs of this task.")
@click.option("--tag", metavar="NAME", help="Only jobs with this tag.")
@click.option("--unique-key", metavar="KEY", help="Only jobs that were given this key.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@json_option
def jobs(
    words: tuple[str, ...],
    url: str | None,
    *,
    states: tuple[str, ...],
    queue: str | None,
    task: str | None,
    tag: str | None,
    unique_key: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, newest first, that match every filter given.

    A pipe gets every column whole; a terminal gets those that fit.
    """
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        found = app.iter(state=states or None, queue=queue, task=task, tag=tag, unique_key=unique_key)
        shown = list(islice(found, limit + 1))
        more, shown = len(shown) > limit, shown[:limit]
        if as_json:
            say_json([job_record(job) for job in shown])
            return
        if not shown:
            say(f"no jobs{' match' if any((states, queue, task, tag, unique_key)) else ''} in {app.store.url}")
            return
        for line in jobs_table(shown, to_datetime(app.store.now()), width()):
            say(line)
        if more:
            say(f"the newest {limit}; there are more, see --limit", to_stderr=True)


def jobs_table(shown: list[Job[Any]], now: datetime, room: int | None) -> list[str]:
    """Lay out jobs as lines of a table, in `room` cells where that is given.

    >>> from datetime import UTC
    >>> from millrace.job import JobRow
    >>> job = Job(JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b"{}", created=0))
    >>> jobs_table([job], datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 72)[1]
    '00000000-0000-0000-0000-000000000000  pending  add   default  0/5  60s'
    """
    return table(_COLUMNS, [_cells(job, now) for job in shown], room)


def _cells(job: Job[Any], now: datetime) -> tuple[str, ...]:
    waits = job.state in WAITING or job.state is JobState.PENDING
    return (
        str(job.id),
        job.state.value,
        job.task,
        job.queue,
        str(job.priority) if job.priority else "",
        f"{job.attempt}/{job.max_attempts}",
        ago(job.created_at, now),
        until(job.scheduled_at, now) if waits and job.state is not JobState.PENDING and job.scheduled_at else "",
        ",".join(job.tags),
        job.error or "",
    )
