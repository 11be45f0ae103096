"""Where a look for what has passed begins, once the front of its index is full of dead entries.

Rescue, promotion and expiry each look at an index by time, for all that lies before now. A snapshot that somebody holds
open for long keeps the entries of all that was there, dead, and each look would walk over them. Then a look begins
shortly before where the last one has come to. What is older and came later (a late commit, a row that was locked) is
found by full looks, which come after twenty times what the last one took. While looks are fast nothing of this is in
use: each begins at the front.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from millrace.clock import SECOND
from millrace.stores.postgres.pace import Pace
from millrace.stores.postgres.session import Session

__all__ = ["DEAD", "Look", "Sweep"]

# By the server's own statistics.
DEAD: Final = "select n_dead_tup from pg_stat_all_tables where relid = '{s}.job'::regclass"

_SLOW = 0.02  # seconds of a look, beyond what it may take for what it finds
_SLOW_EACH = 0.0001  # seconds
_MANY_DEAD = 20_000
_OVERLAP = 5 * SECOND  # microseconds: what was locked a moment ago, or committed late


@dataclass(slots=True)
class Look:
    """One look.

    Attributes:
        since: Where it begins, in microseconds since 1970; 0 is the front.
        number: How much it has found.
        reached: How far it has come, where it found as much as it may and somebody knows.
    """

    since: int
    number: int = 0
    reached: int | None = None


class Sweep:
    """The looks of one kind.

    Args:
        clock: Gives seconds that never step back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = 0
        self._full = Pace()  # of looks from the front
        self._on = False

    @property
    def since(self) -> int:
        """Where a look begins now."""
        return self._since if self._on and self._clock() < self._full.next else 0

    @contextmanager
    def look(self, session: Session, now: int, limit: int) -> Generator[Look]:
        """Be at a look for the length of a `with` block, which tells what it finds; learn from how long it takes.

        Args:
            session: To ask for evidence on, where it was slow.
            now: Up to when it looks.
            limit: How much it may find.
        """
        look = Look(self.since)
        began = self._clock()
        yield look
        ended = self._clock()
        took = ended - began
        if not look.since:
            slow = took > _SLOW + _SLOW_EACH * look.number
            self._on = slow and (self._on or (session.rows(DEAD)[0][0] or 0) >= _MANY_DEAD)
            self._full.took(took, ended)
        self._since = max(now - _OVERLAP, 0) if look.number < limit else look.reached or look.since
