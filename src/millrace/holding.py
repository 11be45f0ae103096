"""How long a job holds its unique key. Owns that rule, a pure function of the job and the time.

A plain key is held until the job has ended. A job under a `Unique` rule with another scope says so in its stored
options. Nothing happens at the moment at which such a key becomes free: whoever asks for it next takes it over. So a
claim and a finish cost no more than those of any other job.
"""

from __future__ import annotations

from millrace.clock import micros
from millrace.job import JobRow
from millrace.options import read_options
from millrace.states import FINAL

__all__ = ["STARTED", "Scope", "held", "holds", "scope_of"]

STARTED = -1  #: the scope of a key that is free once its holder has been claimed
_MARK = b'"until"'  # what options say that name a scope; to look for it is cheaper than to read them

#: None: until the job has ended; `STARTED`; else microseconds from its enqueue, whatever becomes of it.
Scope = int | None


def scope_of(options: bytes | None) -> Scope:
    """Return how long a job of these stored options holds its key.

    >>> scope_of(None), scope_of(b'{"until":"started"}'), scope_of(b'{"until":2.5}')
    (None, -1, 2500000)
    """
    if options is None or _MARK not in options:
        return None
    until = read_options(options).until
    if isinstance(until, str):
        return STARTED
    return micros(until) if isinstance(until, float) else None


def held(scope: Scope, *, live: bool, started: int | None, created: int, now: int) -> bool:
    """Tell whether a key is held under a scope; see `holds`.

    >>> held(STARTED, live=True, started=None, created=0, now=9), held(5, live=False, started=1, created=0, now=9)
    (True, False)
    """
    if scope is None:
        return live
    if scope == STARTED:
        return live and started is None
    return now < created + scope


def holds(row: JobRow, now: int) -> bool:
    """Tell whether a job holds its key, one that nobody has taken over meanwhile.

    Under `STARTED` it is free with the first claim for good, whatever becomes of the attempt; a retry by hand, which
    clears `started`, takes it again.

    Args:
        row: The job.
        now: The store's time in microseconds.
    """
    if row.unique_key is None:
        return False
    scope = scope_of(row.options)
    return held(scope, live=row.state not in FINAL, started=row.started, created=row.created, now=now)
