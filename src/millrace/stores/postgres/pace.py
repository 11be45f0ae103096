"""How often something may be done that takes its time: no sooner than twenty times what it took last."""

from __future__ import annotations

from typing import Final

__all__ = ["TIMES", "Pace"]

TIMES: Final = 20  #: so it takes 5 % of the time at most


class Pace:
    """When the next one of a kind may begin, in seconds of the caller's clock.

    Args:
        least: Seconds between two, at least.

    Attributes:
        next: When it may.

    >>> pace = Pace()
    >>> pace.took(0.5, now=100.0)
    >>> pace.next
    110.0
    """

    def __init__(self, least: float = 0.0) -> None:
        self.next = 0.0
        self._least = least
        self._took = 0.0  # by the last one

    def took(self, seconds: float, now: float) -> None:
        """Note how long one took that came back now."""
        self._took = seconds
        self.begin(now)

    def begin(self, now: float) -> None:
        """Note that one begins: others need not do the same meanwhile."""
        self.next = now + max(self._least, TIMES * self._took)
