"""A store that writes down what it was asked and what it answered, for the history checker.

Each event is one JSON line, written by one O_APPEND write into a file of this process, so that a SIGKILL loses at most
the events that were never written. What has no event is therefore unknown, never wrong.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millrace.messages import ClaimRequest, InsertAnswer, NewRow, Rescued, StepAnswer
from millrace.outcome import Outcome
from millrace.store import Store


class Journal:
    """One process's events."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = os.open(folder / f"{name}-{os.getpid()}.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def write(self, event: str, **facts: Any) -> None:
        """Append an event with its time."""
        self.write_all([(event, facts)])

    def write_all(self, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Append several events by one write."""
        at = time.monotonic_ns()
        text = "".join(json.dumps({"e": event, "t": at, **facts}) + "\n" for event, facts in events)
        if text:
            os.write(self._file, text.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class RecordedStore:
    """A store's verbs, handed on; insert, step and rescue leave events."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert, and write down what was tried and what was acknowledged."""
        self._journal.write_all([("asked", {"job": row.id.hex()}) for row in rows])
        answer = self._store.insert(rows, now=now)
        fresh = [row for n, row in enumerate(rows) if n not in answer.existing]
        self._journal.write_all([("enqueued", {"job": row.id.hex()}) for row in fresh])
        return answer

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Step, and write down which outcomes held, which were lost, and what was claimed."""
        answer = self._store.step(worker, outcomes, claims, now=now)
        events: list[tuple[str, dict[str, Any]]] = []
        for n, outcome in enumerate(outcomes):
            state = answer.resulting.get(n, outcome.state).value
            facts = {"job": outcome.id.hex(), "claim": outcome.claim, "worker": worker, "state": state}
            events.append(("refused" if n in answer.lost else "ended", facts))
        for row in answer.claimed:
            facts = {"job": row.id.hex(), "claim": row.claim, "worker": worker, "rev": row.rev, "attempt": row.attempt}
            events.append(("claimed", facts))
        self._journal.write_all(events)
        return answer

    def rescue(self, **options: Any) -> list[Rescued]:
        """Rescue, and write down what was taken back."""
        rescued = self._store.rescue(**options)
        self._journal.write_all(
            [("rescued", {"job": each.id.hex(), "claim": each.claim, "state": each.state.value}) for each in rescued]
        )
        return rescued


def read_journals(folder: Path) -> list[dict[str, Any]]:
    """Read every event of every process, by time; a line cut off by a kill is passed over."""
    events: list[dict[str, Any]] = []
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
    return sorted(events, key=lambda event: event["t"])
