"""Deleting what has been kept long enough. Owns the choice of what goes; the scripts take all that belongs to it too.

A script deletes 200 jobs at most, so that nobody waits for a large sweep; a call goes on until its limit is reached.
"""

from __future__ import annotations

from typing import Final

from millrace.states import FINAL, JobState
from millrace.stores.redis.changing import AT_ONCE, digits
from millrace.stores.redis.looks import Look, look_once
from millrace.stores.redis.record import NUMBERS
from millrace.stores.redis.scripts import script

__all__ = ["expire", "purge"]

EXPIRE: Final = script("expire")
PURGE: Final = script("purge")

_ALL = ""  # the set of all that have ended


def expire(look: Look, limit: int) -> int:
    """Delete jobs whose retention has passed; return how many."""
    gone = 0
    more = True
    while more and gone < limit:
        number, more = look_once(look, EXPIRE, min(limit - gone, AT_ONCE))
        gone += number
    return gone


def purge(look: Look, finished_before: int, states: frozenset[JobState], limit: int) -> int:
    """Delete ended jobs that finished before a time; return how many.

    Those that are dead or cancelled are few and have sets of their own; those that have completed are looked for among
    all that have ended, in the order in which they expire.
    """
    wanted = states & FINAL
    sets = [_ALL] if JobState.COMPLETED in wanted else [str(NUMBERS[state]) for state in sorted(wanted)]
    gone = 0
    for each in sets:
        gone += _walk(look, each, finished_before, digits(wanted), limit - gone)
    return gone


def _walk(look: Look, where: str, before: int, states: str, limit: int) -> int:
    gone = passed = 0
    more = True
    while more and gone < limit:
        number, passed, more = look_once(look, PURGE, before, states, min(limit - gone, AT_ONCE), where, passed)
        gone += number
    return gone
