"""Jobs that wait for others: what the scripts are told of links, and what they tell. Owns their arguments and answers.

No script can see both a job and its parents where each queue is a deployment of its own. So nothing hangs on one that
does: each step may be done again, and what a crash leaves half done is found by the next who settles. A job is inserted
held, then told for whom it waits, then its parents who waits for them, then it is noted that this is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from millrace.followups import Ended, Verdict, due_of, kept_until
from millrace.job import JobRow
from millrace.stores.redis.record import STATES
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Call

__all__ = ["SETTLING", "End", "follow_call", "read_ends", "tie_call", "tied_call", "unfollow_call", "unhold_call"]

TIE: Final = script("tie")
FOLLOW: Final = script("follow")
TIED: Final = script("tied")
SETTLING: Final = script("settling")
UNHOLD: Final = script("unhold")
UNFOLLOW: Final = script("unfollow")

_FOR_EVER = -1
_states = dict(enumerate(STATES))


class End(NamedTuple):
    """A parent that has ended and has not acted: as it is told, what that means, and whether it is gone for good."""

    told: bytes
    ended: Ended
    gone: bool


def read_ends(told: Sequence[bytes]) -> dict[bytes, End]:
    """Read what `settling` tells of parents."""
    ends: dict[bytes, End] = {}
    for id, how in zip(told[::2], told[1::2], strict=True):
        state, _, rest = how.partition(b":")
        gone = rest.startswith(b"gone:")
        ends[id] = End(how, Ended(_states[int(state)], rest.removeprefix(b"gone:") or None), gone)
    return ends


def tie_call(links: Mapping[bytes, Iterable[bytes]]) -> Call:
    """Return what tells jobs for whom they wait."""
    return TIE, (b"".join(links), *(b"".join(parents) for parents in links.values()))


def follow_call(links: Mapping[bytes, Iterable[bytes]], *, may_come: bool = False) -> Call:
    """Return what tells parents who waits for them; `may_come` where one that is not there may be on its way."""
    return FOLLOW, (int(may_come), b"".join(links), *(b"".join(children) for children in links.values()))


def tied_call(ids: Iterable[bytes]) -> Call:
    """Return what notes that all links of jobs are written."""
    return TIED, (b"".join(ids),)


def unhold_call(id: bytes, row: JobRow | None, verdict: Verdict, now: int) -> Call:
    """Return what carries out what becomes of a job."""
    due = due_of(row, now)
    until = None if row is None else kept_until(row, now)
    kept = _FOR_EVER if until is None else until
    args = (0, b"") if verdict.args is None else (1, verdict.args)
    return UNHOLD, (id, b"".join(verdict.counted), int(verdict.cancels), due, kept, *args)


def unfollow_call(id: bytes, done: Sequence[bytes], seen: int, end: End) -> Call:
    """Return what notes that a parent has acted."""
    return UNFOLLOW, (id, b"".join(done), seen, end.told, int(end.gone))
