"""A line of jobs in the order of some rank. Owns the heap; knows nothing of states.

Leaving a line costs nothing at once: what the heap still holds of it is passed over when it comes to the front, and
cleared out when it is more than half of all. So every step is O(log n) on average, however many wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from millrace.stores.memory.entry import Entry

__all__ = ["Line"]

K = TypeVar("K", int, tuple[int, int, bytes])

_SLACK = 64  #: abandoned places that a heap may hold whatever its size


class Line(Generic[K]):
    """Jobs by rank, lowest first; a job stands in it once.

    >>> line = Line[int]()
    >>> line.first is None, len(line)
    (True, 0)
    """

    __slots__ = ("_heap", "_places")

    def __init__(self) -> None:
        self._heap: list[tuple[K, int]] = []
        self._places: dict[int, tuple[K, Entry]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Entry]:
        """Yield all jobs, in no order."""
        return (entry for _, entry in self._places.values())

    def put(self, rank: K, entry: Entry) -> None:
        """Add a job, or move it to another rank."""
        self._places[entry.ref] = rank, entry
        heappush(self._heap, (rank, entry.ref))
        self._tidy()

    def drop(self, entry: Entry) -> None:
        """Take a job out, wherever it stands; one that is not in the line is no error."""
        self._places.pop(entry.ref, None)
        self._tidy()

    @property
    def size(self) -> int:
        """How many places the heap holds, those that were left included: what the line costs in memory."""
        return len(self._heap)

    @property
    def first(self) -> tuple[K, Entry] | None:
        """The lowest rank and its job, None where the line is empty."""
        heap, places = self._heap, self._places
        while heap:
            rank, ref = heap[0]
            place: tuple[Any, Entry] | None = places.get(ref)
            if place is not None and place[0] == rank:
                return rank, place[1]
            heappop(heap)
        return None

    def until(self, rank: K) -> Iterator[Entry]:
        """Yield the jobs up to a rank, that rank included, in no order; looks at no others."""
        heap, seen, ahead = self._heap, set[int](), [0]
        while ahead:
            place = ahead.pop()
            if place >= len(heap) or heap[place][0] > rank:
                continue
            own, ref = heap[place]
            there: tuple[Any, Entry] | None = self._places.get(ref)
            if there is not None and there[0] == own and ref not in seen:
                seen.add(ref)
                yield there[1]
            ahead += (2 * place + 1, 2 * place + 2)

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._places) + _SLACK:
            self._heap = [(rank, ref) for ref, (rank, _) in self._places.items()]
            heapify(self._heap)
