"""Several beats for one attempt, made one. For stores that write the beats of a call by one statement or script."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.messages import Beat

__all__ = ["attempt_of", "merged"]


def attempt_of(beat: Beat) -> tuple[bytes, int]:
    """Return the attempt that a beat is of: its job and its claim."""
    return beat.id, beat.claim


def merged(beats: Sequence[Beat]) -> Sequence[Beat]:
    """Make one beat of several for the same attempt: the last word on each matter counts.

    >>> first, last = Beat(0, b"job", 1, lease=60, result=b"1"), Beat(0, b"job", 1, result=b"2")
    >>> (both,) = merged([first, last])
    >>> both.lease, both.result
    (60, b'2')
    """
    some: dict[tuple[bytes, int], Beat] = {}
    for beat in beats:
        attempt = attempt_of(beat)
        before = some.get(attempt)
        some[attempt] = beat if before is None else _after(before, beat)
    return beats if len(some) == len(beats) else list(some.values())


def _after(before: Beat, beat: Beat) -> Beat:
    return Beat(
        beat.ref,
        beat.id,
        beat.claim,
        before.lease if beat.lease is None else beat.lease,
        beat.progress or before.progress,
        before.result if beat.result is None else beat.result,
    )
