"""Cutting a call into what one script may take: so many things, and so many bytes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["MOST_BYTES", "pieces"]

MOST_BYTES: Final = 16 << 20  #: in one script, but for a single thing that is larger


def pieces(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Cut a list into pieces, in order.

    Args:
        sizes: Of each thing in it, in bytes.
        most: How many things may be in a piece.

    >>> [range(4)[piece] for piece in pieces([1, 1, MOST_BYTES, 1], most=3)]
    [range(0, 2), range(2, 3), range(3, 4)]
    """
    if len(sizes) <= most and sum(sizes) <= MOST_BYTES:
        if sizes:
            yield slice(0, len(sizes))
        return
    first = total = 0
    for place, size in enumerate(sizes):
        total += size
        if place > first and (place - first == most or total > MOST_BYTES):
            yield slice(first, place)
            first, total = place, size
    yield slice(first, len(sizes))
