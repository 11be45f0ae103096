"""The demo's own proof: in the end every job is accounted for. Owns the questions; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millrace.states import JobState, OutcomeKind, Reason

if TYPE_CHECKING:
    from uuid import UUID

    from millrace import Job, Millrace

__all__ = ["Verdict", "audit"]


@dataclass(frozen=True)
class Verdict:
    """What the audit found.

    Attributes:
        counts: Jobs by state, as read one by one.
        dead: The dead letters.
        orphans: The jobs that the killed worker held, as they ended.
        complaints: What must not be; empty where nothing was lost.
    """

    counts: Mapping[JobState, int]
    dead: tuple[Job[Any], ...]
    orphans: tuple[Job[Any], ...]
    complaints: tuple[str, ...]


def audit(app: Millrace, stored: set[UUID], orphans: set[UUID], killed: str) -> Verdict:
    """Account for every job.

    Args:
        app: On the demo's store.
        stored: The ids of all jobs that were enqueued.
        orphans: Those that the killed worker held.
        killed: The killed worker's id.
    """
    jobs = {job.id: job for job in app.iter()}
    held = tuple(jobs[id] for id in sorted(orphans) if id in jobs)
    complaints = [
        *_lost(stored, jobs),
        *_unfinished(jobs),
        *(complaint for job in held for complaint in _of_orphan(app, job, killed)),
    ]
    counts = dict.fromkeys(JobState, 0)
    for job in jobs.values():
        counts[job.state] += 1
    dead = tuple(job for job in jobs.values() if job.state is JobState.DEAD)
    return Verdict(counts, dead, held, tuple(complaints))


def _lost(stored: set[UUID], jobs: Mapping[UUID, Job[Any]]) -> Iterator[str]:
    if missing := len(stored - jobs.keys()):
        yield f"{missing} of {len(stored)} stored jobs are gone"
    if strangers := len(jobs.keys() - stored):
        yield f"{strangers} jobs are there that nobody stored"


def _unfinished(jobs: Mapping[UUID, Job[Any]]) -> Iterator[str]:
    for job in jobs.values():
        if job.state not in (JobState.COMPLETED, JobState.DEAD):
            yield f"job {job.id} is {job.state}"
        elif job.state is JobState.DEAD and job.reason is not Reason.EXHAUSTED:
            yield f"job {job.id} is dead because of {job.reason}, not because its file is broken"
        elif job.state is JobState.COMPLETED and job.result is None:
            yield f"job {job.id} is completed and has no result"


def _of_orphan(app: Millrace, job: Job[Any], killed: str) -> Iterator[str]:
    """Look at a job that lost its worker: it must have ended once, in other hands."""
    outcomes = [attempt.outcome for attempt in app.attempts(job)]
    if OutcomeKind.LEASE_LOST not in outcomes:
        yield f"job {job.id} lost its worker, and its history does not say so"
    if job.worker == killed:
        yield f"job {job.id} ended in the hands of the worker that was dead"
    if outcomes.count(OutcomeKind.COMPLETED) > 1:
        yield f"job {job.id} completed more than once"
