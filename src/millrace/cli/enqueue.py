"""`millrace enqueue`: one job by hand. Owns how arguments are typed; checking them is the app's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import click

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.kinds import ARGUMENT, DURATION, MOMENT, json_object
from millrace.cli.near import did_you_mean
from millrace.cli.output import say, say_json
from millrace.cli.record import job_record
from millrace.cli.target import looks_like_app, names_app, opened
from millrace.cli.times import stamp
from millrace.errors import UnknownTask
from millrace.states import WAITING

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["enqueue"]

_MOST_WORDS = 3


@command(
    "enqueue",
    examples="""\
millrace enqueue tasks:app tasks.add '{"a": 2, "b": 3}'
millrace enqueue tasks:app tasks.add --arg a=2 --arg b=3 --priority 5
millrace enqueue tasks:app tasks.report --delay 90s --unique-key daily
millrace enqueue --url sqlite:///jobs.db tasks.add '{"a": 2, "b": 3}'""",
)
@words("[APP] NAME [JSON]")
@url_option
@click.option("--arg", "pairs", type=ARGUMENT, multiple=True, metavar="NAME=VALUE", help="One argument (repeatable).")
@click.option("--queue", metavar="NAME", help="In this queue, not the task's own.")
@click.option("--priority", type=int, metavar="N", help="Higher runs sooner; -32768 to 32767.")
@click.option("--delay", type=DURATION, metavar="DURATION", help="Not before so long from now: 90, 90s, 5m, 2h, 1d.")
@click.option("--run-at", type=MOMENT, metavar="TIME", help="Not before this time, in ISO 8601 with its timezone.")
@click.option("--max-attempts", type=int, metavar="N", help="Tries before the job is dead.")
@click.option("--unique-key", metavar="KEY", help="Only if no live job has this key; else that one is shown.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="A tag (repeatable).")
@json_option
def enqueue(
    words: tuple[str, ...],
    url: str | None,
    *,
    pairs: tuple[tuple[str, Any], ...],
    tags: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Store one job of the task NAME, its arguments given as a JSON object or by --arg.

    VALUE is JSON where it is JSON, else text. With an APP the name and the arguments are checked; with --url alone
    any name is taken, for a worker that knows it.
    """
    from millrace import NewJob

    where, name, args = _read(words, url)
    args |= dict(pairs)
    if options["delay"] is not None and options["run_at"] is not None:
        raise click.UsageError("--delay and --run-at exclude each other")
    chosen = {key: value for key, value in options.items() if value is not None}
    if tags:
        chosen["tags"] = tags
    with opened(where, url) as app:
        if names_app(where, url):
            _refuse_unknown(app, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name that nobody here knows is what --url alone is for
            job = app.enqueue(NewJob(name, args, **chosen))
        if as_json:
            say_json(job_record(job) | {"duplicate": job.duplicate})
            return
        due = f", due {stamp(job.scheduled_at)}" if job.state in WAITING and job.scheduled_at is not None else ""
        held = f" (holds the key {job.unique_key!r} already; nothing was stored)" if job.duplicate else ""
        say(f"{job.id}  {job.state.value}  {job.task} in queue {job.queue}{due}{held}")


def _read(words: tuple[str, ...], url: str | None) -> tuple[str | None, str, dict[str, Any]]:
    """Read [APP] NAME [JSON]: the last word is JSON where it is the third, or begins like an object."""
    if url is not None and words and looks_like_app(words[0]):
        raise click.UsageError(f"APP {words[0]!r} and --url exclude each other")
    rest = list(words)
    args: dict[str, Any] = {}
    if len(rest) == _MOST_WORDS or (len(rest) > 1 and (url is not None or rest[-1].lstrip()[:1] in "{[")):
        try:
            args = json_object(rest.pop())
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    if not rest:
        raise click.UsageError("no task is named; write millrace enqueue APP NAME '{…}'")
    most = 1 if url is not None else 2
    if len(rest) > most:
        raise click.UsageError(f"{rest[most]!r} is one word too many")
    if looks_like_app(rest[-1]):
        raise click.UsageError(f"no task follows APP {rest[-1]!r}")
    return (rest[0] if len(rest) == most == 2 else None), rest[-1], args  # noqa: PLR2004 - APP and NAME


def _refuse_unknown(app: Millrace, name: str) -> None:
    """Refuse a task that the app does not know."""
    known = app.registry.names
    if name in known:
        return
    has = f"; it has {', '.join(sorted(known)[:5])}" if known else ", nor any other; name its modules in imports=[…]"
    raise UnknownTask(f"the app has no task {name!r}{did_you_mean(name, known) or has}")
