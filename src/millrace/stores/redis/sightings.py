"""In which queue a job was last seen. Owns how much of it is remembered, as ids do not tell it.

It is what this process has inserted, claimed or read of late. What is forgotten, or was deleted since, costs a question
to every queue, and no more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Sightings"]

_ENOUGH = 20_000  # jobs in one generation: more than a process works at, as a rule


class Sightings:
    """The queue of each job that was seen not long ago.

    Two generations: once the young one is full, the old one is forgotten. Each step is one on a dict, so that threads
    need no lock, and a forked child inherits none.

    >>> seen = Sightings()
    >>> seen.note("mail", [b"1", b"2"])
    >>> seen.queue_of(b"1")
    'mail'
    >>> seen.by_queue([b"2", b"3"])
    ({'mail': [0]}, [1])
    """

    __slots__ = ("_enough", "_old", "_young")

    def __init__(self, enough: int = _ENOUGH) -> None:
        self._enough = enough
        self._young: dict[bytes, str] = {}
        self._old: dict[bytes, str] = {}

    def note(self, queue: str, ids: Iterable[bytes]) -> None:
        """Remember that jobs are in a queue."""
        if len(self._young) >= self._enough:
            self._old, self._young = self._young, {}
        self._young.update(dict.fromkeys(ids, queue))

    def queue_of(self, id: bytes) -> str | None:
        """Return the queue of a job, None where it is not remembered."""
        queue = self._young.get(id)
        if queue is None:
            queue = self._old.get(id)
            if queue is not None:
                self.note(queue, (id,))  # it is still of use
        return queue

    def by_queue(self, ids: Sequence[bytes]) -> tuple[dict[str, list[int]], list[int]]:
        """Sort the places of ids by queue; those that are not remembered stand apart."""
        known: dict[str, list[int]] = {}
        unknown: list[int] = []
        for place, id in enumerate(ids):
            queue = self.queue_of(id)
            if queue is None:
                unknown.append(place)
            else:
                known.setdefault(queue, []).append(place)
        return known, unknown
