"""Deleting what has been kept long enough. Owns the choice of what goes; the scripts take all that belongs to it too.

A script deletes 500 jobs at most, so that nobody waits for a large sweep; a call goes on until its limit is reached.
"""

from __future__ import annotations

from typing import Final

from millrace.states import FINAL, JobState
from millrace.stores.redis.changing import AT_ONCE, digits
from millrace.stores.redis.record import NUMBERS
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Session

__all__ = ["expire", "purge"]

EXPIRE: Final = script("expire")
PURGE: Final = script("purge")

_ALL = ""  # the set of all that have ended


def expire(session: Session, limit: int) -> int:
    """Delete jobs whose retention has passed; return how many."""
    gone = 0
    more = True
    while more and gone < limit:
        number, more = session.run(EXPIRE, min(limit - gone, AT_ONCE))
        gone += number
    return gone


def purge(session: Session, finished_before: int, states: frozenset[JobState], limit: int) -> int:
    """Delete ended jobs that finished before a time; return how many.

    Those that are dead or cancelled are few and have sets of their own; those that have completed are looked for among
    all that have ended, in the order in which they expire.
    """
    wanted = states & FINAL
    sets = [_ALL] if JobState.COMPLETED in wanted else [str(NUMBERS[state]) for state in sorted(wanted)]
    gone = 0
    for each in sets:
        gone += _walk(session, each, finished_before, digits(wanted), limit - gone)
    return gone


def _walk(session: Session, where: str, before: int, states: str, limit: int) -> int:
    gone = passed = 0
    more = True
    while more and gone < limit:
        number, passed, more = session.run(PURGE, before, states, min(limit - gone, AT_ONCE), where, passed)
        gone += number
    return gone
