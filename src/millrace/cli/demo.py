"""`millrace demo`: the command around the play. Owns its options and the exit code."""

from __future__ import annotations

import os
from pathlib import Path

import click

from millrace.cli.command import command, json_option
from millrace.cli.output import say, say_json, width

__all__ = ["demo"]

_MOST_WORKERS = 4
_PIPE_COLUMNS = 100  # errors are long; whole ones are a command away


def _default_workers() -> int:
    return max(2, min(os.cpu_count() or 2, _MOST_WORKERS))


@command(
    "demo",
    examples="""\
millrace demo
millrace demo --workers 4 --files 500""",
)
@click.option(
    "--workers",
    type=click.IntRange(2, 16),
    default=_default_workers,
    help="Worker processes; by default one a core, 2 to 4.",
)
@click.option("--files", type=click.IntRange(min=100), metavar="N", help="At most so many files; by default all.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="PATH",
    help="Keep everything here; by default in a new temporary folder.",
)
@json_option
def demo(workers: int, files: int | None, folder: Path | None, *, as_json: bool) -> int:
    """Watch real jobs run, fail, survive a kill and finish, on an SQLite file and with no server.

    The input is the source of Python's own standard library: each file is parsed by one job. Some of its files are
    broken on purpose and fail for real. On the way one worker is killed, and its jobs are seen to come back. In the end
    every job is accounted for; exit 1 where one was lost.
    """
    from tempfile import mkdtemp

    from millrace import Millrace
    from millrace.demo.library import find_input
    from millrace.demo.play import Play
    from millrace.demo.screen import SilentScreen, make_screen
    from millrace.demo.told import beginning, ending, record
    from millrace.demo.troupe import Troupe

    place = _made(folder) if folder is not None else Path(mkdtemp(prefix="millrace-demo-"))
    url = f"sqlite:///{place / 'jobs.db'}"
    input = find_input(limit=files)
    if not as_json:
        for line in beginning(input, url):
            say(line)
    with Millrace(url) as app, Troupe(url, place, concurrency=4) as troupe:
        with SilentScreen() if as_json else make_screen() as screen:
            result = Play(app, input, place, troupe, screen).run(workers)
        if as_json:
            say_json(record(result, url))
        else:
            for line in ending(result, url, place, width() or _PIPE_COLUMNS):
                say(line)
    return int(bool(result.verdict.complaints))


def _made(folder: Path) -> Path:
    """Make the folder, which must not have a demo in it already."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "jobs.db").exists():
        raise click.UsageError(f"{folder / 'jobs.db'} is there already; name another folder")
    return folder.resolve()
