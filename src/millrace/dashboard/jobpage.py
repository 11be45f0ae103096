"""The page of one job. Owns how its attempts and its log lines are put together, and which buttons its state allows."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import UUID

from starlette.responses import Response

from millrace.dashboard.trouble import Trouble
from millrace.dashboard.visit import Visit
from millrace.followups import Following
from millrace.job import Job
from millrace.records import Attempt, LogLine
from millrace.states import ACTIVE, CANCELLABLE, DELETABLE, FINAL, RETRYABLE, WAITING

__all__ = ["Button", "Kin", "Run", "buttons", "job_id", "page"]

_LOG_LINES = 200
_EDITABLE = 100_000  # bytes of arguments
_MOST_KIN = 50  # parents, or followers, that are shown


class Button(NamedTuple):
    """What can be done to a job: the verb in the address, and the word on the button."""

    verb: str
    word: str


class Kin(NamedTuple):
    """A job that another one waits for, or that waits for it: as it is now, None where it is gone."""

    id: UUID
    job: Job[Any] | None
    waits: bool  #: whether the one still waits for the other


class Run(NamedTuple):
    """One run of a job: how it ended, or None while it goes on, and what it logged."""

    number: int
    attempt: Attempt | None
    lines: Sequence[LogLine]


def page(visit: Visit) -> Response:
    """Show a job with all that is known of it."""
    id = job_id(visit)
    job, attempts, lines = visit.app.get(id), visit.app.attempts(id), visit.app.logs(id)
    shown = lines if visit.query.one("log") == "all" else lines[-_LOG_LINES:]
    return visit.page(
        "job.html",
        job=job,
        runs=list(_runs(job, attempts, shown)),
        left_out=len(lines) - len(shown),
        buttons=buttons(job),
        parents=list(_parents(visit, job)),
        followers=list(_followers(visit, job)),
        ended=job.state in FINAL,
        active=job.state in ACTIVE,
        waits=job.state in WAITING,
        editable=job.state in RETRYABLE and visit.visitor.sees_values and len(job.row.args) <= _EDITABLE,
        has_result=job.row.result is not None,
    )


def job_id(visit: Visit) -> UUID:
    """Return the id of the job in the address.

    Raises:
        Trouble: It is no id.
    """
    text = visit.parameters["id"]
    try:
        return UUID(text)
    except ValueError:
        raise Trouble(HTTPStatus.NOT_FOUND, f"no job: {text!r} is not an id") from None


def buttons(job: Job[Any]) -> list[Button]:
    """Return what a job's state allows, in the order of the page.

    >>> from millrace.job import JobRow
    >>> job = Job(JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b"{}"))
    >>> [button.word for button in buttons(job)]
    ['Cancel', 'Delete']
    """
    each = (
        (Button("retry", "Retry"), RETRYABLE),
        (Button("cancel", "Cancel"), CANCELLABLE),
        (Button("run", "Run now"), WAITING),
        (Button("delete", "Delete"), DELETABLE),
    )
    return [button for button, states in each if job.state in states]


def _parents(visit: Visit, job: Job[Any]) -> Iterator[Kin]:
    """Give the jobs for which it waits, or has waited."""
    store: object = visit.app.store
    if job.after and isinstance(store, Following):
        waits = set(store.open_parents([job.id.bytes])[0])
        yield from _kin(visit, [each.bytes for each in job.after], waits)


def _followers(visit: Visit, job: Job[Any]) -> Iterator[Kin]:
    """Give the jobs that wait for it still."""
    store: object = visit.app.store
    if isinstance(store, Following):
        waits = store.followers([job.id.bytes])[0]
        yield from _kin(visit, waits, set(waits))


def _kin(visit: Visit, ids: Sequence[bytes], waits: Container[bytes]) -> Iterator[Kin]:
    for id, row in zip(ids, visit.app.store.get(ids[:_MOST_KIN]), strict=False):
        yield Kin(UUID(bytes=id), None if row is None else visit.app.view(row), id in waits)


def _runs(job: Job[Any], attempts: Sequence[Attempt], lines: Sequence[LogLine]) -> Iterator[Run]:
    """Give the runs, newest first: a log line belongs to the claim that wrote it."""
    by_claim: dict[int, list[LogLine]] = {}
    for line in lines:
        by_claim.setdefault(line.claim, []).append(line)
    known = {each.claim: each for each in attempts}
    claims = {*known, *by_claim, *({job.claim} if job.state in ACTIVE else ())}
    for claim in sorted(claims, reverse=True):
        attempt, said = known.get(claim), by_claim.get(claim, [])
        number = attempt.attempt if attempt is not None else said[0].attempt if said else job.attempt
        yield Run(number, attempt, said)
