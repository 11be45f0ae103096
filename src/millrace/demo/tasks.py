"""The tasks of the demo, as a user would write them. Owns what is done with one file, and the report at the end.

The store is the one that MILLRACE_URL names.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from millrace import Backoff, JobContext, JobState, Millrace, Snooze
from millrace.states import LIVE

__all__ = ["FILES", "LEASE_SECONDS", "REPORT", "Measures", "app", "measure", "report"]

FILES, REPORT = "files", "report"  # queues

# Short, so that the jobs of a killed worker are seen to come back soon; the default is 30 s.
LEASE_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.25
_LONGEST_SHOWN = 10

app = Millrace(retention=None, dead_retention=None)

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Measures:
    """What is worked out for one file."""

    lines: int
    functions: int
    classes: int
    longest: str  #: the function with the most lines
    longest_lines: int


@app.task(queue=FILES, lease=LEASE_SECONDS, max_attempts=2, retry=Backoff.fixed(1.0))
def measure(path: str) -> Measures:
    """Parse one source file and count what is in it; a file that is no Python fails."""
    source = (Path(sysconfig.get_path("stdlib")) / path).read_bytes()
    nodes = list(ast.walk(ast.parse(source, path)))
    functions = [node for node in nodes if isinstance(node, Definition)]
    longest = max(functions, key=_length, default=None)
    return Measures(
        lines=len(source.splitlines()),
        functions=len(functions),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        longest="" if longest is None else longest.name,
        longest_lines=0 if longest is None else _length(longest),
    )


def _length(function: Definition) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


@app.task(queue=REPORT, lease=LEASE_SECONDS)
def report(context: JobContext, path: str) -> dict[str, int]:
    """Write the report once every file has been dealt with; until then, come back later.

    A snooze puts the job back into the store and costs none of its tries, so the report survives any worker too.
    """
    counts = app.counts(FILES)
    left = sum(counts[state] for state in LIVE)
    if left:
        raise Snooze(_LOOK_AGAIN_SECONDS)
    context.log.info("all files have been dealt with", completed=counts[JobState.COMPLETED], dead=counts[JobState.DEAD])
    measured = list(_measured())
    Path(path).write_text("\n".join(_lines(measured)) + "\n", encoding="utf-8")
    return {
        "files": len(measured),
        "lines": sum(each.lines for _, each in measured),
        "functions": sum(each.functions for _, each in measured),
    }


def _measured() -> Iterator[tuple[str, Measures]]:
    for job in app.iter(queue=FILES, state=JobState.COMPLETED):
        yield str(job.args["path"]), Measures(**job.result)


def _lines(measured: list[tuple[str, Measures]]) -> Iterator[str]:
    yield f"{len(measured):,} files of the standard library"
    yield f"{sum(each.lines for _, each in measured):,} lines"
    yield f"{sum(each.functions for _, each in measured):,} functions"
    yield f"{sum(each.classes for _, each in measured):,} classes"
    yield ""
    yield "the longest functions:"
    for path, each in sorted(measured, key=lambda pair: -pair[1].longest_lines)[:_LONGEST_SHOWN]:
        yield f"{each.longest_lines:6,} lines  {each.longest} in {path}"
    yield ""
    yield "files that could not be parsed:"
    for job in app.iter(queue=FILES, state=JobState.DEAD):
        yield f"{job.args['path']}: {job.error}"
