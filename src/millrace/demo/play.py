"""The demo's play, act by act: store jobs, start workers, kill one, wait for the end. Prints nothing itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from millrace import JobState, Millrace, NewJob
from millrace.demo.audit import Verdict, audit
from millrace.demo.library import Input
from millrace.demo.screen import Screen
from millrace.demo.tasks import LEASE_SECONDS, measure, report
from millrace.demo.troupe import Troupe
from millrace.errors import MillraceError
from millrace.ids import worker_name
from millrace.job import Job
from millrace.messages import JobFilter
from millrace.states import ACTIVE, FINAL

__all__ = ["Play", "Result"]

_KILL_AFTER = 0.3  # of all jobs
_LOOK_SECONDS = 0.1
_STALLED_SECONDS = 60.0
_PAGE = 500


@dataclass(frozen=True)
class Result:
    """How the play ended.

    Attributes:
        verdict: What the audit found.
        seconds: From the first worker's start to the end of the last job.
        stored_seconds: How long storing the jobs took.
        back_seconds: From the kill until the last of the killed worker's jobs was taken back; None where none was.
        report: The job that wrote the report.
    """

    verdict: Verdict
    seconds: float
    stored_seconds: float
    back_seconds: float | None
    report: Job[Any]

    @property
    def jobs(self) -> int:
        """All jobs."""
        return sum(self.verdict.counts.values())


class Play:
    """One run of the demo.

    Args:
        app: An app on the store, without tasks.
        input: The files.
        folder: Where the report goes.
        troupe: The workers.
        screen: Where to tell how far it is.
    """

    def __init__(self, app: Millrace, input: Input, folder: Path, troupe: Troupe, screen: Screen) -> None:
        self._app = app
        self._input = input
        self._folder = folder
        self._troupe = troupe
        self._screen = screen
        self._stored: set[UUID] = set()
        self._pids: list[int] = []
        self._killed = ""
        self._killed_at = 0.0
        self._orphans: frozenset[bytes] = frozenset()
        self._back: float | None = None

    def run(self, workers: int) -> Result:
        """Play it with so many workers.

        Raises:
            MillraceError: A worker fell by itself, or nothing moved for a minute.
        """
        begin = time.monotonic()
        written_by = self._store()
        stored = time.monotonic() - begin
        self._screen.note(f"stored {len(self._stored):,} jobs in {stored:.2f} s; the last one writes the report")
        begin = time.monotonic()
        self._pids = [self._troupe.start() for _ in range(workers)]
        self._screen.note(f"started {workers} workers: {', '.join(f'pid {pid}' for pid in self._pids)}")
        self._watch()
        seconds = time.monotonic() - begin
        verdict = audit(self._app, self._stored, {UUID(bytes=id) for id in self._orphans}, self._killed)
        stopped = self._troupe.dismiss()
        self._screen.note(f"stopped the workers with SIGTERM: exit codes {', '.join(map(str, stopped))}")
        return Result(verdict, seconds, stored, self._back, self._app.get(written_by))

    def _store(self) -> UUID:
        """Store a job for each file, and one that puts itself off until these have ended; return that one's id."""
        for task in (measure, report):
            self._app.registry.add(task.spec)  # so that their queues, tries and leases count here too
        jobs = self._app.enqueue_many(
            [
                *(NewJob(measure, {"path": path}) for path in self._input.paths),
                NewJob(report, {"path": str(self._folder / "report.txt")}),
            ]
        )
        self._stored = {job.id for job in jobs}
        return jobs[-1].id

    def _watch(self) -> None:
        """Look on until every job has ended; kill a worker on the way."""
        total, last, moved = len(self._stored), -1, time.monotonic()
        while True:
            counts = self._app.counts()
            done = sum(counts[state] for state in FINAL)
            self._screen.show(done, total, _words(counts, done, total))
            if done == total:
                self._look_for_orphans()
                return
            if done != last:
                last, moved = done, time.monotonic()
            if time.monotonic() - moved > _STALLED_SECONDS:
                raise MillraceError(f"nothing has moved for {_STALLED_SECONDS:.0f} s; see the logs in {self._folder}")
            if fallen := self._troupe.fallen():
                raise MillraceError(f"worker {fallen[0]} has ended by itself; see the logs in {self._folder}")
            if not self._killed and done >= total * _KILL_AFTER:
                self._kill_one()
            self._look_for_orphans()
            time.sleep(_LOOK_SECONDS)

    def _kill_one(self) -> None:
        """Kill the first worker if it holds jobs at this moment: it is frozen while one looks."""
        pid = self._pids[0]
        self._troupe.freeze(pid)
        worker = next((each for each in self._app.store.workers() if each.name.endswith(f":{pid}")), None)
        held = [] if worker is None else self._held(worker.id)
        if worker is None or not held:
            self._troupe.thaw(pid)
            return
        self._troupe.kill(pid)
        self._killed, self._killed_at = worker_name(worker.id), time.monotonic()
        self._orphans = frozenset(held)
        self._screen.note(f"killed worker {pid} with SIGKILL while it held {len(held)} jobs")
        self._pids[0] = self._troupe.start()
        self._screen.note(f"started another in its place: pid {self._pids[0]}")

    def _held(self, worker: int) -> list[bytes]:
        rows, _ = self._app.store.page(JobFilter(states=ACTIVE), limit=_PAGE)
        return [row.id for row in rows if row.worker == worker]

    def _look_for_orphans(self) -> None:
        """See whether every job of the killed worker has been taken back."""
        if self._back is not None or not self._orphans:
            return
        rows = self._app.store.get(list(self._orphans))
        if all(row is not None and row.crashes > 0 for row in rows):
            self._back = time.monotonic() - self._killed_at
            self._screen.note(
                f"all {len(rows)} are back, {self._back:.1f} s later: their lease of {LEASE_SECONDS:.0f} s had run out"
            )


def _words(counts: dict[JobState, int], done: int, total: int) -> str:
    running = sum(counts[state] for state in ACTIVE)
    failed, dead = counts[JobState.FAILED], counts[JobState.DEAD]
    return f"{done:,} of {total:,}  {running} running  {failed} to retry  {dead} dead"
