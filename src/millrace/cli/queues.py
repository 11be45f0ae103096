"""`queues`, `pause` and `resume`. Owns the list's columns; what a pause means is the store's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.completing import complete_queue
from millrace.cli.output import Column, say, say_json, table, width
from millrace.cli.record import queue_record
from millrace.cli.target import opened, split_words
from millrace.records import QueueInfo
from millrace.states import ACTIVE, FINAL, WAITING, JobState

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["pause", "queues", "queues_table", "resume"]

_COLUMNS = (
    Column("QUEUE", least=8),
    Column("STATUS", least=6),
    Column("PRIORITY", rank=2, right=True),
    Column("LIMIT", rank=1, right=True),
    Column("RATE", rank=1, right=True),
    Column("LATER", right=True),
    Column("PENDING", right=True),
    Column("RUNNING", right=True),
    Column("ENDED", rank=3, right=True),
    Column("DEAD", right=True),
)


@command(
    "queues",
    examples="""\
millrace queues tasks:app
millrace queues --url sqlite:///jobs.db --json""",
)
@words("[APP]")
@url_option
@json_option
def queues(words: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """List the queues that have settings or jobs.

    LIMIT is how many of its jobs may run at once over all workers, RATE how many may begin in a time; LATER counts jobs
    that are not due yet, retries included.
    """
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        found = app.queues()
        if as_json:
            say_json([queue_record(each) for each in found])
        elif not found:
            say(f"no queues in {app.store.url}")
        else:
            for line in queues_table(found, width()):
                say(line)


@command(
    "pause",
    examples="""\
millrace pause tasks:app mail""",
)
@words("[APP] QUEUE", complete=complete_queue)
@url_option
@json_option
def pause(words: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Stop claims from a queue, whether it has jobs yet or not. What runs goes on, and jobs may be added."""
    where, (name,) = split_words(words, url, least=1, most=1)
    with opened(where, url) as app:
        app.pause(name)
        _tell(app, name, f"queue {name} is paused; millrace resume lets it go on", as_json=as_json)


@command(
    "resume",
    examples="""\
millrace resume tasks:app mail""",
)
@words("[APP] QUEUE", complete=complete_queue)
@url_option
@json_option
def resume(words: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Allow claims from a queue again."""
    where, (name,) = split_words(words, url, least=1, most=1)
    with opened(where, url) as app:
        app.resume(name)
        _tell(app, name, f"queue {name} is claimed from again", as_json=as_json)


def _tell(app: Millrace, name: str, sentence: str, *, as_json: bool) -> None:
    if as_json:
        say_json(
            next((queue_record(each) for each in app.queues() if each.name == name), queue_record(QueueInfo(name)))
        )
    else:
        say(sentence)


def queues_table(found: list[QueueInfo], room: int | None) -> list[str]:
    """Lay out queues with their settings, in `room` cells where that is given.

    >>> queues_table([QueueInfo("mail")], None)[1].split()
    ['mail', 'open', '0', '-', '-', '0', '0', '0', '0', '0']
    """
    return table(_COLUMNS, [_cells(each) for each in found], room)


def _cells(queue: QueueInfo) -> tuple[str, ...]:
    def number(*states: JobState) -> str:
        return str(sum(queue.counts.get(state, 0) for state in states))

    return (
        queue.name,
        "paused" if queue.paused else "open",
        str(queue.priority),
        "-" if queue.concurrency is None else str(queue.concurrency),
        queue.rate or "-",
        number(*WAITING),
        number(JobState.PENDING),
        number(*ACTIVE),
        number(*FINAL),
        number(JobState.DEAD),
    )
