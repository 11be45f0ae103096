"""What an insert has brought about, for those who wait for work. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.messages import CHANGES, InsertAnswer, NewRow

__all__ = ["queues_touched"]


def queues_touched(rows: Sequence[NewRow], answer: InsertAnswer) -> set[str]:
    """Return the queues that got a job, or in which one was changed that held a key.

    >>> row = NewRow(id=bytes(16), task="add", queue="mail", args=b"{}")
    >>> queues_touched([row], InsertAnswer(0))
    {'mail'}
    """
    if answer.refused is not None:
        return set()
    existing = answer.existing
    queues: set[str] = set()
    for place, row in enumerate(rows):
        there = existing.get(place)
        if there is None:
            queues.add(row.queue)
        elif row.on_conflict in CHANGES and there.by_key:
            queues.add(there.row.queue)
    return queues
