"""How fast jobs end. Owns the measure by which a worker claims ahead; knows neither store nor runners."""

from __future__ import annotations

__all__ = ["AHEAD_SECONDS", "MOST_AHEAD", "Pace"]

AHEAD_SECONDS = 0.1  #: ahead is claimed only what will begin within so long
MOST_AHEAD = 2000  #: jobs; with 1,000 two steps at once drained a twelfth slower, and more is more to give back

_SPAN = 0.02  # of the marks between which it is measured, at least, in seconds


class Pace:
    """Ends a second over the last moments. It falls by itself while nothing ends, because time goes on.

    >>> pace = Pace(0.0)
    >>> pace.mark(0, 0.0)
    >>> pace.rate(50, 0.05)
    1000.0
    """

    __slots__ = ("_newer", "_older")

    def __init__(self, now: float) -> None:
        self._older = self._newer = (0, now)

    def mark(self, ended: int, now: float) -> None:
        """Note how many have ended by now."""
        if now - self._newer[1] >= _SPAN:
            self._older = self._newer
            self._newer = (ended, now)

    def restart(self, ended: int, now: float) -> None:
        """Begin anew: there was nothing to do, which says nothing of the pace."""
        self._older = self._newer = (ended, now)

    def rate(self, ended: int, now: float) -> float:
        """Return the ends a second."""
        before, since = self._older
        return (ended - before) / (now - since) if now > since else 0.0

    def ahead(self, ended: int, now: float) -> int:
        """Return how many jobs may be claimed beyond the free slots."""
        return min(int(self.rate(ended, now) * AHEAD_SECONDS), MOST_AHEAD)
