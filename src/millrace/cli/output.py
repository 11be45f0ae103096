"""How things are printed: sentences, tables that fit the terminal, JSON. Owns layout and colour; knows no command.

A pipe gets whole cells and no colour. Text that jobs brought along may hold anything, so control characters are shown
as escapes: a job's error must not be able to move the cursor.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from unicodedata import category, east_asian_width

import click
import msgspec

__all__ = [
    "Column",
    "clip",
    "complain",
    "flat",
    "fold",
    "in_colour",
    "plural",
    "say",
    "say_json",
    "shown_width",
    "state_colour",
    "table",
    "width",
]

_COLOURS = {
    "completed": "green",
    "dead": "red",
    "failed": "yellow",
    "cancelled": "bright_black",
    "cancelling": "magenta",
    "running": "cyan",
    "error": "red",
    "warning": "yellow",
    "ok": "green",
    "alive": "green",
    "gone": "red",
    "paused": "yellow",
}
_GAP = "  "
_ELLIPSIS = "…"


class Column(NamedTuple):
    """One column of a table.

    Attributes:
        title: Its heading.
        rank: 0 stays always; of the others the highest goes first where the terminal is narrow.
        least: The cells it may be cut down to; with 0 it stays whole while there is any other way to fit.
        right: Numbers stand to the right.
        tail: Where it is cut, the end stays: of a dotted name that is the part that differs.
    """

    title: str
    rank: int = 0
    least: int = 0
    right: bool = False
    tail: bool = False


def say(text: str = "", *, to_stderr: bool = False) -> None:
    """Print a line; colours only where a terminal reads it and NO_COLOR is not set."""
    click.echo(text, err=to_stderr, color=False if os.environ.get("NO_COLOR") else None)


def complain(message: str) -> None:
    """Print an error on stderr, as one line."""
    say(f"millrace: {flat(message)}", to_stderr=True)


def say_json(value: object) -> None:
    """Print a value as indented JSON; times as ISO 8601, ids as text."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def plural(number: int, noun: str) -> str:
    """Write a number and its noun.

    >>> plural(0, "job"), plural(1, "job"), plural(2, "job")
    ('no jobs', '1 job', '2 jobs')
    """
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def width(stream: Any = None) -> int | None:
    """Return the terminal's width in cells, or None where no terminal reads."""
    stream = sys.stdout if stream is None else stream
    return shutil.get_terminal_size().columns if stream.isatty() else None


def state_colour(text: str) -> str | None:
    """Return the colour of a state, or None for none.

    >>> state_colour("dead ")
    'red'
    """
    return _COLOURS.get(text.strip())


def in_colour(text: str) -> str:
    """Give a state its colour.

    >>> click.unstyle(in_colour("dead")), in_colour("pending")
    ('dead', 'pending')
    """
    colour = state_colour(text)
    return click.style(text, fg=colour) if colour else text


def flat(text: str) -> str:
    r"""Put a text on one line: line breaks become spaces, other control characters escapes.

    >>> flat("one\n  two\x1b[2J")
    'one two\\x1b[2J'
    """
    joined = " ".join(text.split()) if any(each in text for each in "\n\r\t\v\f") else text
    return joined if joined.isprintable() else "".join(_visible(each) for each in joined)


def fold(text: str, indent: str = "") -> str:
    r"""Indent a text of several lines, its control characters shown as escapes.

    >>> fold("one\ntwo\x07", "  ")
    '  one\n  two\\x07'
    """
    lines = text.expandtabs(4).splitlines() or [""]
    return "\n".join(indent + "".join(_visible(each) for each in line) for line in lines)


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def shown_width(text: str) -> int:
    """Return how many cells a text takes in a terminal.

    >>> shown_width("abc"), shown_width("日本")
    (3, 4)
    """
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if category(character) in {"Mn", "Me"}:  # a mark upon the character before
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], room: int | None) -> list[str]:
    """Lay out rows under headings, in at most `room` cells where that is given.

    Columns go by rank, then give up cells down to their `least`, then the widest go on; a column that is empty in every
    row is left out unless its rank is 0. Cells that are a state have its colour.

    >>> for line in table([Column("NAME"), Column("N", right=True)], [("a", "1"), ("long", "20")], None):
    ...     print(click.unstyle(line))
    NAME   N
    a      1
    long  20
    """
    cells = [[flat(cell) for cell in row] for row in rows]
    kept = [number for number, column in enumerate(columns) if not column.rank or any(row[number] for row in cells)]
    widths = {
        number: max([shown_width(columns[number].title), *(shown_width(row[number]) for row in cells)])
        for number in kept
    }
    _fit(columns, kept, widths, room)
    lines = [_line([(columns[n], columns[n].title, widths[n]) for n in kept], styled=False)]
    lines += [_line([(columns[n], row[n], widths[n]) for n in kept], styled=True) for row in cells]
    return lines


def _fit(columns: Sequence[Column], kept: list[int], widths: dict[int, int], room: int | None) -> None:
    """Drop columns and cut others until the table fits, or nothing more can be given up."""
    if room is None:
        return

    def excess() -> int:
        return sum(widths[n] for n in kept) + len(_GAP) * (len(kept) - 1) - room

    def spare() -> int:
        return sum(max(widths[n] - columns[n].least, 0) for n in kept if columns[n].least)

    for number in sorted(kept, key=lambda n: -columns[n].rank):
        if excess() <= spare() or not columns[number].rank:
            break
        kept.remove(number)
    while excess() > 0 and spare() > 0:
        widest = max((n for n in kept if columns[n].least), key=lambda n: widths[n] - columns[n].least)
        widths[widest] -= 1
    while excess() > 0 and max(widths[n] for n in kept) > 1:  # so narrow that nothing can stay whole
        widths[max(kept, key=lambda n: widths[n])] -= 1


def _line(parts: Sequence[tuple[Column, str, int]], *, styled: bool) -> str:
    cells = [_cell(column, text, cells, styled=styled) for column, text, cells in parts]
    return _GAP.join(cells).rstrip()


def _cell(column: Column, text: str, cells: int, *, styled: bool) -> str:
    cut = clip(text[::-1], cells)[::-1] if column.tail else clip(text, cells)
    padding = " " * (cells - shown_width(cut))
    shown = in_colour(cut) if styled else click.style(cut, bold=True)
    return padding + shown if column.right else shown + padding


def clip(text: str, cells: int) -> str:
    """Cut a text to a number of cells, and say so with an ellipsis.

    >>> clip("abcdef", 4), clip("abc", 3)
    ('abc…', 'abc')
    """
    if shown_width(text) <= cells:
        return text
    left = cells - 1
    for number, each in enumerate(text):
        left -= _cells(each)
        if left < 0:
            return text[:number] + _ELLIPSIS
    return text
