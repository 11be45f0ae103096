"""`millrace schedules`: what ticks, and when. Owns the list's columns; what the verbs do is the app's."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.output import Column, say, say_json, table, width
from millrace.cli.record import plain
from millrace.cli.target import opened, split_words
from millrace.cli.times import ago, stamp, until
from millrace.clock import to_datetime
from millrace.schedule import Schedule

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["schedules", "schedules_table"]

_COLUMNS = (
    Column("SCHEDULE", least=8),
    Column("STATUS", least=6),
    Column("NEXT", least=6),
    Column("LAST", rank=1),
    Column("WHEN", least=12),
    Column("TASK", rank=2, least=12),
    Column("QUEUE", rank=3),
)


@command(
    "schedules",
    examples="""\
millrace schedules tasks:app
millrace schedules tasks:app --run-now report
millrace schedules --url sqlite:///jobs.db --pause report
millrace schedules --url sqlite:///jobs.db --json""",
)
@words("[APP]")
@url_option
@click.option("--pause", metavar="NAME", help="Let a schedule tick no more.")
@click.option("--resume", metavar="NAME", help="Let it tick again; what it has missed is not made up for.")
@click.option("--run-now", metavar="NAME", help="Enqueue its job now; its ticks come as before.")
@click.option("--delete", metavar="NAME", help="Delete it; jobs that it has made stay.")
@json_option
def schedules(
    words: tuple[str, ...],
    url: str | None,
    *,
    pause: str | None,
    resume: str | None,
    run_now: str | None,
    delete: str | None,
    as_json: bool,
) -> None:
    """List the schedules, or change one of them.

    LAST is when one has last made a job, NEXT when it makes the next.
    """
    where, _ = split_words(words, url, least=0, most=0)
    asked = {"--pause": pause, "--resume": resume, "--run-now": run_now, "--delete": delete}
    given = [(option, name) for option, name in asked.items() if name is not None]
    if len(given) > 1:
        raise click.UsageError(f"{given[0][0]} and {given[1][0]} are two changes; make one at a time")
    with opened(where, url) as app:
        if given:
            _change(app, *given[0], as_json=as_json)
        else:
            _show(app, as_json=as_json)


def _change(app: Millrace, option: str, name: str, *, as_json: bool) -> None:
    if option == "--run-now":
        job = app.schedules.run_now(name)
        told, sentence = {"name": name, "job": job.id}, f"schedule {name} has made job {job.id}"
    elif option == "--delete":
        app.schedules.delete(name)
        told, sentence = {"name": name, "deleted": True}, f"schedule {name} is deleted"
    elif option == "--pause":
        told, sentence = plain(app.schedules.pause(name)), f"schedule {name} is paused"
    else:
        made = app.schedules.resume(name)
        told, sentence = plain(made), f"schedule {name} ticks next at {stamp(made.next_at)}"
    if as_json:
        say_json(told)
    else:
        say(sentence)


def _show(app: Millrace, *, as_json: bool) -> None:
    found = app.schedules.list()
    if as_json:
        say_json([plain(each) for each in found])
    elif not found:
        say(f"no schedules in {app.store.url}")
    else:
        for line in schedules_table(found, to_datetime(app.store.now()), width()):
            say(line)


def schedules_table(found: list[Schedule], now: datetime, room: int | None) -> list[str]:
    """Lay out schedules, in `room` cells where that is given.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> made = app.schedules.put("tidy", every=60, job=app.task(name="tidy_up")(lambda: None).job())
    >>> schedules_table([made], to_datetime(app.store.now()), None)[1].split()[:2]
    ['tidy', 'ticks']
    """
    return table(_COLUMNS, [_cells(each, now) for each in found], room)


def _cells(schedule: Schedule, now: datetime) -> tuple[str, ...]:
    over = schedule.next_at is None and not schedule.paused
    return (
        schedule.name,
        "paused" if schedule.paused else "over" if over else "ticks",
        until(schedule.next_at, now) or "-",
        "-" if schedule.last_at is None else f"{ago(schedule.last_at, now)} ago",
        schedule.words,
        schedule.task,
        schedule.queue,
    )
