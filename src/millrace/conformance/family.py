"""The bench of jobs that wait for others: making them, ending their parents, and looking whether they are held."""

from __future__ import annotations

from typing import Any

from millrace.clock import SECOND
from millrace.conformance.bench import KEPT, Bench
from millrace.followups import Following, OnParent
from millrace.job import HELD
from millrace.messages import NewRow
from millrace.options import Hold, JobOptions
from millrace.states import JobState

__all__ = ["Family"]


class Family:
    """A bench with a store that holds jobs."""

    def __init__(self, bench: Bench) -> None:
        assert isinstance(bench.store, Following)
        self.bench = bench
        self.store: Following = bench.store

    def row(self, *parents: bytes, rule: OnParent = "wait", **fields: Any) -> NewRow:
        """Make a row that waits for parents."""
        hold = Hold(
            tuple(parent.hex() for parent in parents),
            rule,
            due=fields.pop("not_before", None),
            kept=fields.pop("kept", KEPT),
            into=fields.pop("into", None),
        )
        options = JobOptions(after=hold, retention=fields.pop("retention", KEPT / SECOND)).encode()
        return self.bench.row(queue="held", due=HELD, options=options, **fields)

    def hold(self, *parents: bytes, rule: OnParent = "wait", **fields: Any) -> bytes:
        """Insert a job that waits for parents."""
        row = self.row(*parents, rule=rule, **fields)
        answer = self.store.hold([row])
        assert (answer.existing, answer.unknown) == ({}, None)
        return row.id

    def end(self, id: bytes, ending: str = "completed") -> None:
        """Claim one job, the first of its queue, and end it."""
        row = self.bench.take(queues=(self.bench.job(id).queue,))
        assert row.id == id
        self.bench.end(ending, row)

    def is_held(self, id: bytes) -> bool:
        """Tell whether parents hold a job."""
        job = self.bench.job(id)
        return job.state is JobState.SCHEDULED and job.due is not None and job.due >= HELD
