"""`millrace job`: one job with all that is known of it. Owns the page's layout; reads nothing but that job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from logging import getLevelName
from typing import Any
from uuid import UUID

import click
import msgspec

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.output import Column, clip, flat, fold, in_colour, say, say_json, table, width
from millrace.cli.record import job_record, plain
from millrace.cli.target import job_id, opened, split_words
from millrace.cli.times import ago, seconds_text, stamp, until
from millrace.clock import to_datetime
from millrace.followups import Following
from millrace.job import Job
from millrace.records import Attempt, LogLine
from millrace.states import ACTIVE, WAITING, OutcomeKind

__all__ = ["job", "job_lines"]

_LOG_LINES = 20
_LABEL = 12
_ATTEMPTS = (
    Column("TRY", right=True),
    Column("OUTCOME"),
    Column("STARTED", rank=1),
    Column("TOOK", right=True),
    Column("WORKER", rank=2),
    Column("ERROR", rank=3, least=12),
)


@command(
    "job",
    examples="""\
millrace job tasks:app 01a20f03-ba98-71c8-bf2d-fe9bd6462754
millrace job --url sqlite:///jobs.db 01a20f03-ba98-71c8-bf2d-fe9bd6462754 --logs
millrace job tasks:app 01a20f03-ba98-71c8-bf2d-fe9bd6462754 --json""",
)
@words("[APP] ID")
@url_option
@click.option("--logs", "all_logs", is_flag=True, help=f"Show the whole log, not only its last {_LOG_LINES} lines.")
@json_option
def job(words: tuple[str, ...], url: str | None, *, all_logs: bool, as_json: bool) -> None:
    """Show one job: its state, arguments, result, attempts with their errors, and what it logged."""
    where, (id,) = split_words(words, url, least=1, most=1)
    job_id(id)
    with opened(where, url) as app:
        found, attempts, logs = app.get(id), app.attempts(id), app.logs(id)
        if as_json:
            say_json(
                job_record(found) | {"attempts": [plain(each) for each in attempts], "logs": [plain(e) for e in logs]}
            )
            return
        now = to_datetime(app.store.now())
        followers = app.store.followers([found.row.id])[0] if isinstance(app.store, Following) else ()
        for line in job_lines(found, attempts, logs if all_logs else logs[-_LOG_LINES:], now, width()):
            say(line)
        for follower in followers:
            say(f"{'followers':<{_LABEL}}{UUID(bytes=follower)}")
        if not all_logs and len(logs) > _LOG_LINES:
            say(f"{len(logs) - _LOG_LINES} earlier log lines; --logs shows them", to_stderr=True)


def job_lines(
    found: Job[Any], attempts: list[Attempt], logs: list[LogLine], now: datetime, room: int | None
) -> Iterator[str]:
    """Give the page of a job, line by line.

    >>> from datetime import UTC
    >>> from millrace.job import JobRow
    >>> added = Job(JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b'{"a":2}'))
    >>> lines = list(job_lines(added, [], [], datetime(1970, 1, 1, tzinfo=UTC), 80))
    >>> lines[2]
    'state       pending'
    """
    for label, text in _facts(found, now):
        yield f"{label:<{_LABEL}}{text}"
    yield from _value("args", found.row.args, room)
    if found.row.result is not None:
        yield from _value("result", found.row.result, room)
    if found.error is not None:
        yield f"{'error':<{_LABEL}}{click.style(flat(found.error), fg='red')}"
    if attempts:
        yield ""
        yield from table(_ATTEMPTS, [_attempt(each) for each in attempts], room)
    traced = next((each for each in reversed(attempts) if each.traceback), None)
    if traced is not None:
        yield ""
        yield f"traceback of try {traced.attempt}:"
        yield fold((traced.traceback or "").rstrip("\n"), "  ")
    if logs:
        yield ""
        yield from (_log_line(line) for line in logs)


def _facts(found: Job[Any], now: datetime) -> Iterator[tuple[str, str]]:
    state = found.state.value
    reason = f" ({found.reason})" if found.reason is not None and found.reason != state else ""
    yield "job", str(found.id)
    yield "task", flat(found.task)
    yield "state", in_colour(state) + reason
    yield "queue", f"{flat(found.queue)}{f', priority {found.priority}' if found.priority else ''}"
    crashes = f", {found.crashes} of {found.max_crashes} crashes" if found.crashes else ""
    yield "tries", f"{found.attempt} of {found.max_attempts}{crashes}"
    yield "created", f"{stamp(found.created_at)}, {ago(found.created_at, now)} ago"
    if found.state in WAITING:
        held = found.scheduled_at is None
        yield (
            "due",
            "when its parents have completed"
            if held
            else (f"{stamp(found.scheduled_at)}, {until(found.scheduled_at, now)}"),
        )
    if found.after:
        yield "after", ", ".join(map(str, found.after))
    if found.started_at is not None:
        yield "started", f"{stamp(found.started_at)}, {ago(found.started_at, now)} ago"
    if found.state in ACTIVE:
        yield "lease until", f"{stamp(found.lease_expires_at)}, {until(found.lease_expires_at, now)}"
    if found.finished_at is not None:
        took = "" if found.started_at is None else f", took {_took(found.started_at, found.finished_at)}"
        yield "finished", f"{stamp(found.finished_at)}{took}"
    if found.worker is not None:
        yield "worker", found.worker
    if found.unique_key is not None:
        yield "unique key", flat(found.unique_key)
    if found.tags:
        yield "tags", flat(", ".join(found.tags))
    if found.progress is not None:
        message = f" {flat(found.progress.message)}" if found.progress.message else ""
        yield "progress", f"{found.progress.fraction:.0%}{message}"


def _value(label: str, data: bytes, room: int | None) -> Iterator[str]:
    """Show JSON on the label's line where it fits there, else below it."""
    text = flat(data.decode())
    if _LABEL + len(text) <= (room or 100):
        yield f"{label:<{_LABEL}}{text}"
        return
    yield label
    yield fold(msgspec.json.format(data, indent=2).decode(), "  ")


def _took(started: datetime, ended: datetime) -> str:
    return seconds_text(max((ended - started).total_seconds(), 0.0))


def _attempt(each: Attempt) -> tuple[str, ...]:
    took = "" if each.started_at is None or each.outcome is OutcomeKind.LEASE_LOST else _took(
        each.started_at, each.finished_at
    )  # fmt: skip
    return (
        str(each.attempt),
        each.outcome.value,
        stamp(each.started_at),
        took,
        each.worker or "",
        each.error or "",
    )


def _log_line(line: LogLine) -> str:
    data = "".join(f" {key}={msgspec.json.encode(value).decode()}" for key, value in line.data.items())
    return (
        f"{stamp(line.at)} {getLevelName(line.level):<7} {clip(f'try {line.attempt}', 7)}  {flat(line.message + data)}"
    )
