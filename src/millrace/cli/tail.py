"""`millrace tail`: what happens to jobs, as it happens. Owns what is followed and when it ends; lines are others'."""

from __future__ import annotations

import sys
from contextlib import suppress

import click
import msgspec

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.completing import complete_queue
from millrace.cli.eventlines import event_line
from millrace.cli.output import flat, say
from millrace.cli.target import job_id, opened, split_words

__all__ = ["tail"]


@command(
    "tail",
    examples="""\
millrace tail tasks:app
millrace tail tasks:app --queue mail
millrace tail tasks:app --job 01a20f03-ba98-71c8-bf2d-fe9bd6462754
millrace tail --url sqlite:///jobs.db --no-follow --json""",
)
@words("[APP]")
@url_option
@click.option("--job", "job", metavar="ID", help="Only this job: all of it, from its enqueue to its end.")
@click.option("--queue", metavar="NAME", shell_complete=complete_queue, help="Only jobs of this queue.")
@click.option("--no-follow", "only_now", is_flag=True, help="End with what can be told by now.")
@json_option
def tail(
    words: tuple[str, ...], url: str | None, *, job: str | None, queue: str | None, only_now: bool, as_json: bool
) -> int:
    """Follow events and log lines of a job, of a queue or of all, in whatever process they happen.

    Of a job it tells all, and ends with it; of a queue, or of all, what happens from now on, until Ctrl-C, which ends
    it with exit code 0. With --no-follow it tells of a job what has happened so far, else the last event of each of the
    newest 1,000 jobs. With --json each event is one line.
    """
    where, _ = split_words(words, url, least=0, most=0)
    if job is not None and queue is not None:
        raise click.UsageError("--job and --queue exclude each other")
    if job is not None:
        job_id(job)
    terminal = sys.stdout.isatty()
    # Ctrl-C is how one leaves; while the app is opened or closed it is an interruption as everywhere
    with opened(where, url) as app, suppress(KeyboardInterrupt):
        events = app.events(job=job, queue=queue, follow=not only_now)
        if job is None and not (only_now or as_json):
            what = "all jobs" if queue is None else f"queue {flat(queue)}"
            say(f"following {what} in {app.store.url}; Ctrl-C ends it", to_stderr=True)
        for event in events:
            if as_json:
                click.echo(msgspec.json.encode(event))
            else:
                say(event_line(event, terminal=terminal))
    return 0
