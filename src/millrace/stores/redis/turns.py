"""Whose turn it is among queues that are deployments of their own. Owns the order in which a claim asks them.

Each process keeps turns of its own: where several work, each is fair. Queues of a higher priority are asked first.
Among equal ones those that gave too little when they were last asked come behind the others: most often they are empty,
and each question is a trip to a server. That is forgotten with every look at which queues there are, so that none waits
longer than until then behind others that never run dry.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Turns"]


class Turns:
    """The order of queues.

    >>> turns = Turns()
    >>> turns.served("a", dry=False)
    >>> turns.order({"a": 0, "b": 0, "c": 5})
    ['c', 'b', 'a']
    """

    __slots__ = ("_dry", "_last", "_serial")

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._serial = 0
        self._dry: set[str] = set()

    def order(self, priorities: Mapping[str, int]) -> list[str]:
        """Return queues in the order in which they are to be asked."""
        last, dry = self._last, self._dry
        return sorted(priorities, key=lambda queue: (-priorities[queue], queue in dry, last.get(queue, 0)))

    def served(self, queue: str, *, dry: bool) -> None:
        """Note that a queue has given jobs: it goes behind its equals."""
        self._serial += 1
        self._last[queue] = self._serial
        self.asked(queue, dry=dry)

    def asked(self, queue: str, *, dry: bool) -> None:
        """Note whether a queue gave less than it was asked for."""
        if dry:
            self._dry.add(queue)
        else:
            self._dry.discard(queue)

    def filled(self, queue: str) -> None:
        """Note that a queue may have got jobs."""
        self._dry.discard(queue)

    def forget(self) -> None:
        """Take it that any may have jobs."""
        self._dry = set()
