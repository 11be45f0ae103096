"""What the demo says at its beginning and its end. Owns these words; finds nothing out itself."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from millrace.cli.output import Column, table
from millrace.demo.library import Input
from millrace.demo.play import Result
from millrace.demo.tasks import LEASE_SECONDS
from millrace.states import JobState

__all__ = ["beginning", "ending", "record"]

_FAILURES_SHOWN = 20


def beginning(input: Input, url: str) -> Iterator[str]:
    """Say what will happen."""
    yield "Millrace demo: real jobs on an SQLite file"
    yield f"  input  {len(input.paths):,} source files of Python {platform.python_version()}'s library, one job each"
    if input.stand_ins:
        yield f"         (it ships no test tree, so {input.stand_ins} compiled modules stand in for broken source)"
    yield f"  store  {url}"
    yield f"  lease  {LEASE_SECONDS:.0f} s, so that the jobs of a killed worker soon come back (default 30 s)"
    yield ""


def ending(result: Result, url: str, folder: Path, room: int | None) -> Iterator[str]:
    """Say what has happened, and how to look at it."""
    verdict = result.verdict
    yield ""
    yield from table(
        (Column("STATE"), Column("JOBS", right=True)),
        [(state.value, f"{verdict.counts[state]:,}") for state in JobState if verdict.counts[state]],
        None,
    )
    yield ""
    yield from _dead_letters(result, room)
    yield f"{result.jobs:,} jobs in {result.seconds:.1f} s: {result.jobs / result.seconds:,.0f} a second"
    totals: dict[str, int] | None = result.report.result
    if totals is not None:
        yield f"report: {totals['lines']:,} lines and {totals['functions']:,} functions in {totals['files']:,} files"
    yield ""
    yield from _judgement(result)
    yield ""
    yield "All of it is kept; look at it, then remove the folder:"
    yield f"  cat {folder / 'report.txt'}"
    yield f"  millrace jobs --state dead --url {url}"
    yield f"  millrace stats --url {url}"
    yield f"  rm -r {folder}"


def _dead_letters(result: Result, room: int | None) -> Iterator[str]:
    dead = sorted(result.verdict.dead, key=lambda job: str(job.args.get("path")))
    if not dead:
        yield "no dead letters"
    else:
        yield f"dead letters, after {dead[0].attempt} tries each:"
        rows = [(str(job.args.get("path")), job.error or "") for job in dead[:_FAILURES_SHOWN]]
        yield from table((Column("FILE", least=24), Column("ERROR", least=24)), rows, room)
    if len(dead) > _FAILURES_SHOWN:
        yield f"and {len(dead) - _FAILURES_SHOWN} more"
    yield ""


def _judgement(result: Result) -> Iterator[str]:
    verdict = result.verdict
    if verdict.complaints:
        yield click.style("SOMETHING IS WRONG:", fg="red", bold=True)
        yield from (f"  {complaint}" for complaint in verdict.complaints)
        return
    completed, dead = verdict.counts[JobState.COMPLETED], verdict.counts[JobState.DEAD]
    text = f"Nothing was lost: of {result.jobs:,} jobs {completed:,} completed and {dead:,} are dead letters."
    yield click.style(text, fg="green")
    yield f"The {len(verdict.orphans)} jobs of the killed worker ended in other hands, once each."


def record(result: Result, url: str) -> dict[str, Any]:
    """Give the same for `--json`."""
    verdict = result.verdict
    return {
        "store": url,
        "counts": verdict.counts,
        "jobs": result.jobs,
        "seconds": result.seconds,
        "jobs_per_second": result.jobs / result.seconds,
        "dead": [{"id": job.id, "args": job.args, "error": job.error} for job in verdict.dead],
        "jobs_of_killed_worker": len(verdict.orphans),
        "seconds_until_they_were_back": result.back_seconds,
        "report": result.report.result,
        "complaints": verdict.complaints,
    }
