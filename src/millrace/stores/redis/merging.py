"""One page of the pages of several queues. Owns how far it may go, and the cursor with which the next begins.

A cursor is the id of the last job of a page, in the form of the store of one queue: so it means the same to each, and
holds whatever comes, goes, or becomes known in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import merge
from typing import Final, TypeVar

__all__ = ["PAGES", "WHOLES", "merged"]

T = TypeVar("T")

PAGES: Final = "redis-"  #: what the cursor of a page begins with; see `listing`
WHOLES: Final = "redis-from-"  #: of an export; see `transfer`

_DIGITS = 32  # of an id


def merged(
    pages: Sequence[tuple[Sequence[T], str | None]], limit: int, id_of: Callable[[T], bytes], *, newest_first: bool
) -> tuple[list[T], bytes | None]:
    """Merge the pages of several queues, each in order, and return at most `limit`, and where the next page begins.

    >>> merged([([b"e", b"a"], None), ([b"c"], None)], 2, bytes, newest_first=True)
    ([b'e', b'c'], b'c')
    """
    found = list(merge(*(some for some, _ in pages), key=id_of, reverse=newest_first))
    ends = [bytes.fromhex(following[-_DIGITS:]) for _, following in pages if following is not None]
    if not ends:
        return found[:limit], id_of(found[limit - 1]) if len(found) > limit else None
    # Beyond the end of a page that has a next one, jobs are missing.
    end = max(ends) if newest_first else min(ends)
    found = [each for each in found if (id_of(each) >= end if newest_first else id_of(each) <= end)][:limit]
    return found, id_of(found[-1]) if found else end
