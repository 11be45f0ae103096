"""Statement texts: constants with prefix and list left open, filled in once each. Owns sizes and padding, no SQL.

In a constant `{p}` is the prefix of our tables, `{ids}` a list of marks, `{rows}` a list of rows of marks. Lists come
in few sizes, so that the driver's cache of prepared statements always hits: 100 ids take the text for 128, the last id
repeated; 100 rows take it too, filled up with rows of nulls, which the statement must not match.

`NOT INDEXED` and a `+` before a column keep a statement on the primary key; see also `statistics.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["MAX_LIST", "Texts", "chunks", "padded", "padded_rows", "portions"]

T = TypeVar("T")

MAX_LIST = 1024  #: items in one list; nine columns of them are far below SQLite's 32,766 marks a statement

# Rows of one INSERT into `jobs`, which cannot be filled up: its rows are cut into these.
_PORTIONS = (256, 64, 16, 4, 1)


class Texts:
    """The statement texts of one prefix, made once each.

    >>> texts = Texts("acme_")
    >>> texts.plain("SELECT 1 FROM {p}jobs")
    'SELECT 1 FROM acme_jobs'
    >>> texts.sized("DELETE FROM {p}jobs WHERE id IN ({ids})", 4)
    'DELETE FROM acme_jobs WHERE id IN (?,?,?,?)'
    >>> texts.sized("INSERT INTO {p}tags VALUES {rows}", 2, 3)
    'INSERT INTO acme_tags VALUES (?,?,?),(?,?,?)'
    """

    __slots__ = ("_made", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made: dict[str | tuple[str, int], str] = {}

    def plain(self, template: str) -> str:
        """Return a text without a list."""
        try:
            return self._made[template]
        except KeyError:
            return self._made.setdefault(template, template.replace("{p}", self._prefix))

    def sized(self, template: str, size: int, columns: int = 0) -> str:
        """Return a text with a list of `size` marks, or of rows of that many `columns`."""
        try:
            return self._made[template, size]
        except KeyError:
            row = f"({','.join('?' * columns)})"
            made = (
                template.replace("{p}", self._prefix)
                .replace("{ids}", ",".join("?" * size))
                .replace("{rows}", ",".join([row] * size))
            )
            return self._made.setdefault((template, size), made)


def padded(items: Sequence[T]) -> list[T]:
    """Fill a list up to a power of two by repeating its last item.

    >>> padded([1, 2, 3])
    [1, 2, 3, 3]
    """
    count = len(items)
    return [*items, *[items[-1]] * ((1 << (count - 1).bit_length()) - count)]


def padded_rows(rows: Sequence[Sequence[Any]]) -> tuple[int, list[Any]]:
    """Lay rows end to end, filled up to a power of two of them with nulls; return their number too.

    >>> padded_rows([(1, 2), (3, 4), (5, 6)])
    (4, [1, 2, 3, 4, 5, 6, None, None])
    """
    count = len(rows)
    size = 1 << (count - 1).bit_length()
    flat = [value for row in rows for value in row]
    flat += [None] * (len(rows[0]) * (size - count))
    return size, flat


def chunks(items: Sequence[T], size: int = MAX_LIST) -> Iterator[Sequence[T]]:
    """Cut a sequence into parts that fit into one list.

    >>> list(chunks([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    return (items[start : start + size] for start in range(0, len(items), size))


def portions(count: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows into INSERTs of few sizes: start and size of each.

    >>> list(portions(21))
    [(0, 16), (16, 4), (20, 1)]
    """
    start = 0
    for size in _PORTIONS:
        while count - start >= size:
            yield start, size
            start += size
