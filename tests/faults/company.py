"""A company of worker processes on one store: how they are hired, led and lost, and what they have written down."""

from __future__ import annotations

import json
import select
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millrace import JobState, Millrace, NewJob, StoreUnavailable
from millrace.job import JobRow
from millrace.messages import JobFilter
from millrace.states import FINAL
from tests.faults.crew import make_app, recorded
from tests.faults.recording import Journal, read_journals
from tests.faults.stage import Actor, wait_for

__all__ = ["Company", "Member", "open_company"]


class Member(Actor):
    """A process of the `crew`."""

    module = "tests.faults.crew"
    ready = False

    def is_ready(self) -> bool:
        """Tell whether it has said so, without waiting."""
        assert self.process.stdout is not None
        if not self.ready and select.select([self.process.stdout], [], [], 0)[0]:
            self.wait_until_ready()
        return self.ready

    def wait_until_ready(self) -> None:
        """Wait until it has said so."""
        if not self.ready:
            assert json.loads(self.hear()) == "ready"
            self.ready = True

    def dismiss(self) -> None:
        """End it as its user would, and see that it ended well."""
        self.process.terminate()
        self.leave()


class Company:
    """One store, this process as producer, and the processes that work on it.

    Args:
        folder: Where the journals go; an SQLite file too, where no URL is given.
        url: Of the store, an empty one.
        mutant: A fault of the stores of those hired.

    Attributes:
        app: The producer's app.
        members: Those hired, the dead included.
    """

    def __init__(self, folder: Path, url: str | None = None, mutant: str | None = None) -> None:
        self.url = url or f"sqlite:///{folder / 'jobs.db'}"
        self.members: list[Member] = []
        self._folder = folder / "journals"
        self._folder.mkdir()
        self._mutant = {"mutant": mutant} if mutant else {}
        self._journal = Journal(self._folder, "producer")
        self.app: Millrace = make_app(recorded(self.url, self._journal), self._journal)

    def hire(self, part: str = "work", *, wait: bool = True, url: str | None = None, **options: Any) -> Member:
        """Start a process, on the company's store or by another way to it; wait until it is ready, unless told not to.

        Of its options `skew` is by how many seconds its clock is wrong; a worker takes all others.
        """
        member = Member(part, url or self.url, self._folder, json.dumps({**options, **self._mutant}))
        self.members.append(member)
        if wait:
            member.wait_until_ready()
        return member

    def enqueue(self, number: int, task: str = "work", *, max_crashes: int = 100, **args: Any) -> None:
        """Enqueue some jobs of one task."""
        self.app.enqueue_many([NewJob(task, args, max_crashes=max_crashes) for _ in range(number)])

    def events(self) -> list[dict[str, Any]]:
        """Read what all have written down."""
        return read_journals(self._folder)

    def rows(self) -> list[JobRow]:
        """Read every job."""
        rows: list[JobRow] = []
        cursor: str | None = None
        while True:
            page, cursor = self.app.store.page(JobFilter(), limit=1000, cursor=cursor)
            rows += page
            if cursor is None:
                return rows

    def all_ended(self) -> bool:
        """Tell whether every job has ended; of a store that has just been away nobody knows."""
        try:
            counts = self.app.counts()
        except StoreUnavailable:
            return False
        return not any(number for state, number in counts.items() if state not in FINAL)

    def wait_until_quiet(self, patience: float = 30.0) -> None:
        """Wait until every job has ended."""
        wait_for(self.all_ended, "all jobs to end", patience)

    def wait_for_state(self, state: JobState, number: int, patience: float = 30.0) -> None:
        """Wait until so many jobs are in a state."""
        wait_for(lambda: self.app.counts()[state] == number, f"{number} jobs to be {state}", patience)

    def close(self) -> None:
        """Kill whoever is left, and close the app."""
        for member in self.members:
            member.__exit__(None, None, None)
        self.app.close()
        self._journal.close()


@contextmanager
def open_company(folder: Path, url: str | None = None, mutant: str | None = None) -> Generator[Company]:
    """Open a company, and close it whatever happens."""
    company = Company(folder, url, mutant)
    try:
        yield company
    finally:
        company.close()
