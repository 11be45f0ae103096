"""`millrace copy`: all jobs of one store into another. Owns its words and progress bar; copying is `copying.py`'s."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Self

import click

from millrace.cli.command import command, json_option
from millrace.cli.copying import (
    Copied,
    copy_jobs,
    copy_queues,
    copy_schedules,
    refuse_absent,
    refuse_same,
    refuse_strangers,
    transferable,
)
from millrace.cli.output import plural, say, say_json
from millrace.cli.workers import living_workers
from millrace.store import Store
from millrace.stores import open_store

__all__ = ["copy", "copy_lines"]

_SHOWN = 5  #: ids or names in one line


@command(
    "copy",
    examples="""\
millrace copy sqlite:///jobs.db postgresql://app@db.example/app
millrace copy sqlite:///old.db sqlite:///new.db --json""",
)
@click.argument("from_url")
@click.argument("to_url")
@click.option("--merge", is_flag=True, help="Copy beside jobs that the source does not have.")
@json_option
def copy(from_url: str, to_url: str, *, merge: bool, as_json: bool) -> int:
    """Copy all jobs of one store into another, with their history, logs, results and the settings of queues.

    Stop the workers first. What is in the target already is left as it is, so a copy that was cut short is ended by
    running it again. Running jobs arrive as pending, with their try given back. The source is not changed. Exit 1 where
    jobs were left out.
    """
    with closing(open_store(from_url)) as source, closing(open_store(to_url)) as target:
        giver, taker = transferable(source), transferable(target)
        refuse_absent(giver, source.url)
        refuse_same(source, target)
        if not merge:
            refuse_strangers(source, target)
        living = _warn_of_workers(source, target)
        copied = Copied()
        copy_queues(source, target, copied)
        with _progress(sum(source.counts().values())) as bar:
            seen = 0
            for _ in copy_jobs(giver, taker, copied):
                bar.update(copied.seen - seen)
                seen = copied.seen
        copy_schedules(source, target, copied)
        if as_json:
            say_json({"from": source.url, "to": target.url, **_record(copied), "source_workers": living})
        else:
            for line in copy_lines(copied, source.url, target.url):
                say(line)
        return int(bool(copied.held))


def _warn_of_workers(source: Store, target: Store) -> int:
    """Warn of workers that are alive on either side; return how many the source has."""
    living = len(living_workers(source))
    if living:
        say(
            f"warning: {plural(living, 'worker')} {_are(living)} alive on {source.url}; what they do to a job after it "
            "was copied is not copied, and it may run twice: stop them, and copy into an empty store",
            to_stderr=True,
        )
    if number := len(living_workers(target)):
        say(
            f"warning: {plural(number, 'worker')} {_are(number)} alive on {target.url}; jobs start as they arrive",
            to_stderr=True,
        )
    return living


def _progress(total: int) -> Any:
    """Return a progress bar on the terminal, or what stands for one where nobody looks."""
    if sys.stderr.isatty() and total:
        return click.progressbar(length=total, label="copying", show_pos=True, file=sys.stderr)
    return _Silence()


class _Silence:
    """A progress bar that shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def update(self, _: int) -> None:
        """Show nothing."""


def copy_lines(copied: Copied, source: str, target: str) -> Iterator[str]:
    """Say what was done, a line each.

    >>> list(copy_lines(Copied(), "sqlite:///a.db", "sqlite:///b.db"))
    ['nothing to copy: sqlite:///a.db has no jobs']
    """
    if not copied.seen:
        yield f"nothing to copy: {source} has no jobs"
    elif not copied.jobs:
        yield f"nothing to copy: {target} has all jobs of {source} that it can take"
    else:
        states = ", ".join(f"{number} {state}" for state, number in sorted(copied.states.items()))
        yield f"copied {plural(copied.jobs, 'job')} from {source} to {target}: {states}"
    if copied.there and copied.jobs:
        yield f"{plural(copied.there, 'job')} {_were(copied.there)} there already and {_are(copied.there)} left so"
    if copied.returned:
        yield (
            f"{plural(copied.returned, 'job')} ran in the source and {_are(copied.returned)} pending in the target, "
            "the try given back"
        )
    if copied.cancelling:
        yield f"{copied.cancelling} of them had been asked to cancel; ask again in the target: millrace cancel"
    if copied.queues:
        yield f"settings copied of {_several('queue', copied.queues)}"
    if copied.schedules:
        yield f"copied {_several('schedule', copied.schedules)}"
    if copied.kept:
        yield f"settings in the target differ and stay, of {_several('queue', copied.kept)}"
    if copied.held:
        yield (
            f"{plural(len(copied.held), 'job')} left out, for live jobs of the target hold their unique keys: "
            f"{_few([str(id) for id in copied.held])}"
        )


def _record(copied: Copied) -> dict[str, Any]:
    return {
        "copied": copied.jobs,
        "states": dict(copied.states),
        "there": copied.there,
        "returned": copied.returned,
        "cancelling": copied.cancelling,
        "held": copied.held,
        "queues": copied.queues,
        "queues_kept": copied.kept,
        "schedules": copied.schedules,
    }


def _several(noun: str, names: list[str]) -> str:
    return f"{plural(len(names), noun)}: {_few(names)}"


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
