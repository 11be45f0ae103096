"""Ending attempts. Owns which script writes which outcome, its arguments, and what its answer means.

Successes that are kept, nearly all there are, go by a script of their own, those kept alike in one call; the others say
more, and go by another. Each call is a whole by itself, and all go in one trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.redis.pieces import pieces
from millrace.stores.redis.record import NUMBERS, REASON_NUMBERS, STATES
from millrace.stores.redis.rows import pack_error
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Argument, Call

__all__ = ["AT_ONCE", "COMPLETE", "END", "Ending", "Writing"]

COMPLETE: Final = script("complete")
END: Final = script("end")
AT_ONCE: Final = 500  #: attempts that one script ends; half of it where they end otherwise than by a kept success

Ending = tuple[frozenset[int], dict[int, JobState]]  #: by index: those refused, and what ended otherwise than asked

_DONE = JobState.COMPLETED  # a name of its own: reading a member of an enumeration costs 0.1 us
_COMPLETED = NUMBERS[_DONE]
_pack = msgspec.msgpack.Encoder().encode


class Writing:
    """The writing of one list of outcomes.

    Args:
        worker: Whose attempts they end, packed.
        outcomes: In order; of two for one attempt the first counts.
        again: An earlier call may have written some, and its reply was lost.

    Attributes:
        calls: The scripts to run.
        now: When, once the answers were read.
        freed: The queues to which jobs went back.
    """

    __slots__ = ("_outcomes", "_places", "calls", "freed", "now")

    def __init__(self, worker: bytes, outcomes: Sequence[Outcome], *, again: bool) -> None:
        self._outcomes = outcomes
        self._places: list[Sequence[int]] = []  # of each call, its outcomes
        self.calls: list[Call] = []
        self.now = 0
        self.freed: set[str] = set()
        plain, others = _sorted_out(outcomes)
        for retention, places in plain.items():
            for some in _chunks(outcomes, places, AT_ONCE):
                self._add(
                    COMPLETE, some, _successes(worker, [outcomes[place] for place in some], retention, again=again)
                )
        for some in _chunks(outcomes, others, AT_ONCE // 2):
            self._add(END, some, _endings(worker, [outcomes[place] for place in some], again=again))

    def _add(self, script: Any, places: Sequence[int], args: Sequence[Argument]) -> None:
        self._places.append(places)
        self.calls.append((script, args))

    def judge(self, replies: Sequence[Any]) -> Ending:
        """Read the answers: which outcomes were refused, and which ended otherwise than they asked."""
        resulting: dict[int, JobState] = {}
        lost: list[int] = []
        written = 0
        for places, (now, refused, *rest) in zip(self._places, replies, strict=True):
            written += len(places)
            self.now = int(now)
            lost += [places[place - 1] for place in refused]
            if rest:
                otherwise, queues = rest
                for place, state in zip(otherwise[::2], otherwise[1::2], strict=True):
                    resulting[places[place - 1]] = STATES[state]
                self.freed.update(queue.decode() for queue in queues)
        if written < len(self._outcomes):  # the second outcome of an attempt
            sent = {place for places in self._places for place in places}
            lost += [place for place in range(len(self._outcomes)) if place not in sent]
        return frozenset(lost), resulting


def _sorted_out(outcomes: Sequence[Outcome]) -> tuple[dict[int | None, Sequence[int]], Sequence[int]]:
    """Return the successes by how long they are kept, and the others; of an attempt's outcomes only the first."""
    places: Iterable[int] = range(len(outcomes))
    if len({each.id for each in outcomes}) < len(outcomes):
        firsts: dict[tuple[bytes, int], int] = {}
        for place, each in enumerate(outcomes):
            firsts.setdefault((each.id, each.claim), place)
        places = firsts.values()
    plain: dict[int | None, list[int]] = {}
    others: list[int] = []
    for place in places:
        each = outcomes[place]
        if each.state is _DONE and each.retention != 0:
            kept = plain.get(each.retention)
            if kept is None:
                kept = plain[each.retention] = []
            kept.append(place)
        else:
            others.append(place)
    return dict(plain), others


def _chunks(outcomes: Sequence[Outcome], places: Sequence[int], most: int) -> list[Sequence[int]]:
    """Cut a call into what one script may take."""
    return [places[piece] for piece in pieces([len(outcomes[place].result or b"") for place in places], most)]


def _successes(worker: bytes, outcomes: Sequence[Outcome], retention: int | None, *, again: bool) -> Sequence[Argument]:
    """Return the arguments of `COMPLETE`."""
    claims = [each.claim for each in outcomes]
    results = [each.result for each in outcomes if each.result is not None]
    if not results:
        places: Any = None
    elif len(results) == len(outcomes):
        places = True
    else:
        places = [place for place, each in enumerate(outcomes, 1) if each.result is not None]
    alike = claims.count(claims[0]) == len(claims)
    head = _pack((len(outcomes), claims[0] if alike else claims, retention, places, again))
    return worker, head, b"".join([each.id for each in outcomes]), *results


def _endings(worker: bytes, outcomes: Sequence[Outcome], *, again: bool) -> Sequence[Argument]:
    """Return the arguments of `END`."""
    rows: list[Any] = []
    blobs: list[Argument] = []
    for each in outcomes:
        error, row = each.error, _attempt(each)
        rows.append(
            (
                each.claim, NUMBERS[each.state], each.delay, 0 if each.keeps_try else 1, each.retention,
                each.cancelled_retention, REASON_NUMBERS[each.reason], int(error is not None), int(row is not None),
                int(each.result is not None),
            )
        )  # fmt: skip
        if error is not None:
            blobs.append(pack_error(error.type, error.text))
        if row is not None:
            blobs.append(row)
        if each.result is not None:
            blobs.append(each.result)
    return worker, _pack((again, rows)), b"".join([each.id for each in outcomes]), *blobs


def _attempt(outcome: Outcome) -> bytes | None:
    """Return the end of the attempt's row: kind, error, traceback; None where it has none, as a success."""
    if not outcome.recorded or outcome.state is _DONE:
        return None
    error = outcome.error
    text, trace = (None, None) if error is None else (error.text, error.traceback)
    told = (outcome.kind.value, False if text is None else text, False if trace is None else trace)
    return _pack(told)[1:]  # without the head of the array, which the script writes
