"""`cancel`, `retry` and `delete`: by ids, or all that match. Owns what must be said before many are changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from millrace.cli.command import command, json_option, url_option
from millrace.cli.completing import complete_queue
from millrace.cli.kinds import OBJECT, STATE
from millrace.cli.output import complain, plural, say, say_json
from millrace.cli.progress import counted
from millrace.cli.record import job_record
from millrace.cli.target import is_dotted, is_id, job_id, looks_like_app, opened
from millrace.errors import DuplicateJob, InvalidTransition, JobNotFound, MillraceError
from millrace.job import Job
from millrace.reader import read_states
from millrace.states import CANCELLABLE, DELETABLE, RETRYABLE, JobState

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["cancel", "delete", "retry"]

F = TypeVar("F", bound=Callable[..., Any])
Filters = dict[str, Any]


def _filters(function: F) -> F:
    """Add `--all`, the filters that go with it, and what every command here takes."""
    for option in (
        json_option,
        click.option("--error", metavar="CLASS", help="With --all: only where the last error is of this class."),
        click.option("--tag", metavar="NAME", help="With --all: only jobs with this tag."),
        click.option("--task", metavar="NAME", help="With --all: only jobs of this task."),
        click.option(
            "--queue", metavar="NAME", shell_complete=complete_queue, help="With --all: only jobs of this queue."
        ),
        click.option(
            "--state", "states", type=STATE, multiple=True, help="With --all: only jobs in this state (repeatable)."
        ),
        click.option("--all", "every", is_flag=True, help="All jobs that match every filter given."),
        url_option,
        click.argument("words", nargs=-1, metavar="[APP] [ID]..."),
    ):
        function = option(function)
    return function


@command(
    "cancel",
    examples="""\
millrace cancel tasks:app 01a20f03-ba98-71c8-bf2d-fe9bd6462754
millrace cancel tasks:app --all --queue mail""",
)
@_filters
def cancel(words: tuple[str, ...], url: str | None, *, every: bool, as_json: bool, **filters: Any) -> int:
    """Cancel jobs. A waiting job is cancelled at once; a running one is told, and is `cancelling` until it ends."""
    where, ids = _chosen(words, url, filters, every=every)
    with opened(where, url) as app:
        if every:
            chosen = _given(filters)
            with counted(app, "cancel", "cancelling", _number(app, chosen, CANCELLABLE), shown=not as_json):
                number = app.cancel_all(**chosen)
            return _told_number("cancelled", number, as_json=as_json)
        return _one_by_one(app.cancel, ids, as_json=as_json)


@command(
    "retry",
    examples="""\
millrace retry tasks:app 01a20f03-ba98-71c8-bf2d-fe9bd6462754
millrace retry tasks:app 01a20f03-ba98-71c8-bf2d-fe9bd6462754 --args '{"a": 2, "b": 4}'
millrace retry tasks:app --all --error TimeoutError
millrace retry tasks:app --all --task mail.send --args '{"server": "backup"}'
millrace retry tasks:app --all --state cancelled --queue mail""",
)
@_filters
@click.option(
    "--args",
    type=OBJECT,
    metavar="JSON",
    help="New arguments in place of the old. With --all: new values for these, the others stay.",
)
def retry(
    words: tuple[str, ...],
    url: str | None,
    *,
    every: bool,
    as_json: bool,
    args: dict[str, Any] | None,
    **filters: Any,
) -> int:
    """Run jobs again that have ended or failed: due now, with all their tries before them.

    With --all and no --state, it takes the dead ones.
    """
    where, ids = _chosen(words, url, filters, every=every)
    if args is not None and not every and len(ids) != 1:
        raise click.UsageError("--args is for one job, or for all that match; give one ID, or --all")
    with opened(where, url) as app:
        if every:
            chosen: Filters = {"state": "dead", **_given(filters)}
            with counted(app, "retry", "retrying", _number(app, chosen, RETRYABLE), shown=not as_json):
                number = app.retry_all(**chosen, args=args)
            return _told_number("retried", number, as_json=as_json)
        return _one_by_one(lambda each: app.retry(each, args), ids, as_json=as_json)


@command(
    "delete",
    examples="""\
millrace delete tasks:app 01a20f03-ba98-71c8-bf2d-fe9bd6462754
millrace delete tasks:app --all --state dead --task tasks.add
millrace delete tasks:app --all --queue old --yes""",
)
@_filters
@click.option("--yes", is_flag=True, help="With --all and no --state: in whatever state they are.")
def delete(words: tuple[str, ...], url: str | None, *, every: bool, as_json: bool, yes: bool, **filters: Any) -> int:
    """Delete jobs with all that belongs to them. Running ones stay.

    With --all it wants to know which: name the states with --state, or say --yes.
    """
    where, ids = _chosen(words, url, filters, every=every)
    if every and not filters["states"] and not yes:
        raise click.UsageError("delete --all needs --state, or --yes for jobs in whatever state")
    with opened(where, url) as app:
        if every:
            chosen: Filters = {"state": DELETABLE, **_given(filters)}
            with counted(app, "delete", "deleting", _number(app, chosen, DELETABLE), shown=not as_json):
                number = app.delete_all(**chosen)
            return _told_number("deleted", number, as_json=as_json)
        return _one_by_one(app.delete, ids, as_json=as_json, verb="deleted")


def _chosen(
    words: tuple[str, ...], url: str | None, filters: Filters, *, every: bool
) -> tuple[str | None, tuple[str, ...]]:
    """Split the words, and refuse what is neither ids nor --all, or both."""
    # the ids tell themselves: the first word is APP unless it is one
    has_app = bool(words) and url is None and not is_id(words[0])
    where, ids = (words[0], words[1:]) if has_app else (None, words)
    if ids and url is not None and looks_like_app(ids[0]):
        raise click.UsageError(f"APP {ids[0]!r} and --url exclude each other")
    if where is not None and not (looks_like_app(where) or is_dotted(where)):
        ids = (where, *ids)
    for id in ids:
        job_id(id)
    if every and ids:
        raise click.UsageError(f"IDs and --all exclude each other; {ids[0]!r} was given")
    if not every and any(filters.values()):
        raise click.UsageError("filters are for many jobs; add --all")
    if not every and not ids:
        raise click.UsageError("no job is named; give IDs, or --all with filters")
    return where, ids


def _given(filters: Filters) -> Filters:
    """Give the filters by the names that the app's verbs have for them."""
    named = {"state": filters["states"] or None, **{key: filters[key] for key in ("queue", "task", "tag", "error")}}
    return {key: value for key, value in named.items() if value is not None}


def _number(app: Millrace, chosen: Filters, states: frozenset[JobState]) -> int | None:
    """Count what will be looked at, where counting by state and queue tells that and somebody looks."""
    if not sys.stderr.isatty() or any(chosen.get(name) for name in ("task", "tag", "error")):
        return None
    wanted = read_states(chosen.get("state")) or states
    return sum(number for state, number in app.counts(chosen.get("queue")).items() if state in wanted & states)


def _told_number(verb: str, number: int, *, as_json: bool) -> int:
    if as_json:
        say_json({"changed": number})
    else:
        say(f"{verb} {plural(number, 'job')}")
    return 0


def _one_by_one(
    change: Callable[[str], Job[Any]], ids: tuple[str, ...], *, as_json: bool, verb: str | None = None
) -> int:
    """Change jobs one after another; one that cannot be changed does not stop the others, and counts in the end."""
    changed: list[Job[Any]] = []
    errors: list[MillraceError] = []
    for id in ids:
        try:
            job = change(id)
        except (DuplicateJob, InvalidTransition, JobNotFound) as error:
            errors.append(error)
            continue
        changed.append(job)
        if not as_json:
            say(f"{job.id}  {verb or job.state.value}  {job.task}")
    if as_json:
        say_json([job_record(job) for job in changed])
    for each in errors[:-1]:
        complain(str(each))
    if errors:
        raise errors[-1]
    return 0
